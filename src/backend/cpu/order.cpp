#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "backend/cpu/kernels.h"
#include "base/threads.h"

// Order along the last axis, by whole-number keys: top_k, sort, and the gradient of both.
namespace argosy::cpu {
namespace {

constexpr int64_t kGrain = 4096;      // elements that pay for a thread
constexpr int64_t kInsertion = 32;    // up to so many are kept by insertion
constexpr int64_t kComparison = 256;  // rows up to this size are compared, longer ones counted

/// A number that is larger for what comes first in falling order: NaN before all, -0 as +0.
uint32_t falling_key(float x) {
  if (x != x) return 0xFFFFFFFF;
  const auto bits = std::bit_cast<uint32_t>(x + 0.0f);
  return bits >> 31 ? ~bits : bits | 0x80000000;
}

/// A key that comes first by being small, in front of the place: no two are equal.
struct Order {
  bool descending;
  uint64_t operator()(float x, int64_t place) const {
    const uint32_t key = falling_key(x);
    return uint64_t{descending ? ~key : key} << 32 | static_cast<uint64_t>(place);
  }
};

std::vector<uint64_t>& thread_keys(size_t which) {
  static thread_local std::vector<uint64_t> keys[2];  // grow to the longest row and stay
  return keys[which];
}

/// Sorts by the upper half, places of equal keys staying in order: 11 bits at a time from the
/// lowest, digits in which all agree left out (Knuth, The Art of Computer Programming 3, 5.2.5).
void sort_by_digits(std::vector<uint64_t>& keys, std::vector<uint64_t>& other, size_t n) {
  constexpr int kBits = 11;
  constexpr size_t kValues = size_t{1} << kBits;
  if (other.size() < n) other.resize(n);
  uint32_t starts[3][kValues] = {};
  for (size_t i = 0; i < n; ++i)
    for (int digit = 0; digit < 3; ++digit)
      ++starts[digit][keys[i] >> (32 + digit * kBits) & (kValues - 1)];
  for (int digit = 0; digit < 3; ++digit) {
    const int shift = 32 + digit * kBits;
    uint32_t* start = starts[digit];
    if (start[keys[0] >> shift & (kValues - 1)] == n) continue;
    uint32_t total = 0;
    for (size_t value = 0; value < kValues; ++value) total += std::exchange(start[value], total);
    for (size_t i = 0; i < n; ++i) other[start[keys[i] >> shift & (kValues - 1)]++] = keys[i];
    keys.swap(other);
  }
}

/// The first `kept` keys of a row, in order.
const uint64_t* order_row(const float* x, int64_t n, int64_t kept, Order order) {
  std::vector<uint64_t>&keys = thread_keys(0), &other = thread_keys(1);
  if (keys.size() < static_cast<size_t>(n)) keys.resize(static_cast<size_t>(n));
  if (kept <= kInsertion && kept < n) {
    uint64_t* first = keys.data();
    for (int64_t i = 0; i < n; ++i) {
      const uint64_t key = order(x[i], i);
      int64_t at = std::min(i, kept);
      if (at == kept && key > first[kept - 1]) continue;
      if (at == kept) --at;
      for (; at > 0 && first[at - 1] > key; --at) first[at] = first[at - 1];
      first[at] = key;
    }
    return first;
  }
  for (int64_t i = 0; i < n; ++i) keys[static_cast<size_t>(i)] = order(x[i], i);
  if (n <= kComparison)
    std::sort(keys.begin(), keys.begin() + n);
  else
    sort_by_digits(keys, other, static_cast<size_t>(n));
  return keys.data();
}

Kernel order_rows(const KernelRequest& request, bool descending) {
  const int64_t n = request.in[0].shape.back(), kept = request.out[0].shape.back(),
                rows = request.in[0].elements() / n;
  return {.run = [=](KernelArgs& k) {
    parallel_for(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const float* x = k.in(0).data() + row * n;
        const uint64_t* keys = order_row(x, n, kept, {descending});
        float* values = k.out(0).data() + row * kept;
        int32_t* places = k.out<int32_t>(1).data() + row * kept;
        for (int64_t i = 0; i < kept; ++i) {
          places[i] = static_cast<int32_t>(keys[i]);
          values[i] = x[places[i]];
        }
      }
    });
  }};
}

bool takes(const KernelRequest& request) {
  return request.in[0].dtype == DType::f32 && request.in[0].shape.back() < INT32_MAX;
}

}  // namespace

std::optional<Kernel> make_top_k(const KernelRequest& request) {
  if (!takes(request)) return {};
  return order_rows(request, true);
}

std::optional<Kernel> make_sort(const KernelRequest& request) {
  if (!takes(request)) return {};
  return order_rows(request, request.attributes.get<bool>("descending"));
}

std::optional<Kernel> make_scatter_last(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const int64_t n = request.out[0].shape.back(), width = request.in[0].shape.back(),
                rows = request.out[0].elements() / n;
  return Kernel{.run = [=](KernelArgs& k) {
    // before any thread runs, since none of them may throw
    for (const int32_t index : k.in<int32_t>(1))
      check(index >= 0 && index < n, "index {} is outside [0, {})", index, n);
    const float* values = k.in(0).data();
    const int32_t* places = k.in<int32_t>(1).data();
    float* sums = k.out().data();
    parallel_for(rows, 4 * kGrain / (n + width) + 1, [&](int64_t begin, int64_t end) {
      std::fill(sums + begin * n, sums + end * n, 0.0f);
      for (int64_t row = begin; row < end; ++row)
        for (int64_t i = row * width; i < (row + 1) * width; ++i)
          sums[row * n + places[i]] += values[i];
    });
  }};
}

}  // namespace argosy::cpu
