#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/walks.h"
#include "base/threads.h"

// Slice, concat, pad and broadcast as runs of bytes: any dtype, the reference's bits.
namespace argosy::cpu {
namespace {

constexpr int64_t kGrain = 65536;  // bytes that pay for a thread

template <size_t kBytes>
void move_fixed(const std::byte* from, size_t from_step, std::byte* to, size_t to_step,
                int64_t runs) {
  for (int64_t i = 0; i < runs; ++i, from += from_step, to += to_step)
    std::memcpy(to, from, kBytes);
}

/// `runs` runs of so many bytes, each a step behind the one before. Short runs have loops of their
/// own: a call of memcpy takes longer than they do.
void move_runs(const std::byte* from, size_t from_step, std::byte* to, size_t to_step, size_t bytes,
               int64_t runs) {
  if (bytes == from_step && bytes == to_step) {
    std::memcpy(to, from, bytes * static_cast<size_t>(runs));
    return;
  }
  switch (bytes) {
    case 1:
      return move_fixed<1>(from, from_step, to, to_step, runs);
    case 2:
      return move_fixed<2>(from, from_step, to, to_step, runs);
    case 3:
      return move_fixed<3>(from, from_step, to, to_step, runs);
    case 4:
      return move_fixed<4>(from, from_step, to, to_step, runs);
    case 8:
      return move_fixed<8>(from, from_step, to, to_step, runs);
    case 12:
      return move_fixed<12>(from, from_step, to, to_step, runs);
    case 16:
      return move_fixed<16>(from, from_step, to, to_step, runs);
    case 32:
      return move_fixed<32>(from, from_step, to, to_step, runs);
    case 64:
      return move_fixed<64>(from, from_step, to, to_step, runs);
    default:
      for (int64_t i = 0; i < runs; ++i, from += from_step, to += to_step)
        std::memcpy(to, from, bytes);
  }
}

/// A tensor seen as [outer, size of the axis, inner]: the bytes of what is inside `axis`, and of
/// the axis itself.
struct Steps {
  size_t inner, whole;
  int64_t outer;
};

Steps steps(const Type& type, int64_t axis) {
  Steps s{.inner = size_of(type.dtype), .outer = 1};
  for (size_t i = 0; i < type.shape.size(); ++i)
    if (static_cast<int64_t>(i) < axis)
      s.outer *= type.shape[i];
    else if (static_cast<int64_t>(i) > axis)
      s.inner *= static_cast<size_t>(type.shape[i]);
  s.whole = s.inner * static_cast<size_t>(type.shape[static_cast<size_t>(axis)]);
  return s;
}

/// Cuts `runs` runs of so many bytes for the threads; few long ones are cut within.
/// body(first run, runs, first byte, bytes)
template <typename Body>
void for_runs(int64_t runs, size_t bytes, Body body) {
  const auto length = static_cast<int64_t>(bytes);
  if (runs >= 16 || length <= kGrain) {
    parallel_for(runs, kGrain / std::max<int64_t>(1, length) + 1,
                 [&](int64_t begin, int64_t end) { body(begin, end - begin, size_t{0}, bytes); });
    return;
  }
  for (int64_t run = 0; run < runs; ++run)
    parallel_for((length + 63) / 64, kGrain / 64, [&](int64_t begin, int64_t end) {
      const int64_t first = begin * 64, last = std::min(length, end * 64);
      body(run, int64_t{1}, static_cast<size_t>(first), static_cast<size_t>(last - first));
    });
}

size_t z(int64_t n) { return static_cast<size_t>(n); }

}  // namespace

std::optional<Kernel> make_slice(const KernelRequest& request) {
  const int64_t axis = request.attributes.get<int64_t>("axis");
  const Steps in = steps(request.in[0], axis), out = steps(request.out[0], axis);
  const size_t begin = z(request.attributes.get<int64_t>("begin")) * in.inner;
  return Kernel{.run = [=](KernelArgs& k) {
    const std::byte* from = k.in_bytes[0] + begin;
    std::byte* to = k.out_bytes[0];
    for_runs(out.outer, out.whole, [&](int64_t run, int64_t runs, size_t first, size_t bytes) {
      move_runs(from + z(run) * in.whole + first, in.whole, to + z(run) * out.whole + first,
                out.whole, bytes, runs);
    });
  }};
}

std::optional<Kernel> make_concat(const KernelRequest& request) {
  const int64_t axis = request.attributes.get<int64_t>("axis");
  const Steps out = steps(request.out[0], axis);
  std::vector<std::pair<size_t, size_t>> parts;  // place in the output's run, bytes
  size_t place = 0;
  for (const Type& part : request.in) {
    parts.emplace_back(place, steps(part, axis).whole);
    place += parts.back().second;
  }
  if (out.outer == 1)  // each part is one run
    return Kernel{.run = [=](KernelArgs& k) {
      for (size_t p = 0; p < parts.size(); ++p)
        for_runs(1, parts[p].second, [&](int64_t, int64_t, size_t first, size_t bytes) {
          if (bytes > 0)
            std::memcpy(k.out_bytes[0] + parts[p].first + first, k.in_bytes[p] + first, bytes);
        });
    }};
  // all parts of some rows, then the next rows: the output's cache lines are filled while they are
  // near
  const int64_t block = std::max<int64_t>(1, static_cast<int64_t>(16384 / out.whole));
  return Kernel{.run = [=](KernelArgs& k) {
    parallel_for(out.outer, kGrain / static_cast<int64_t>(out.whole) + 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; row += block)
                     for (size_t p = 0; p < parts.size(); ++p) {
                       const auto [at, bytes] = parts[p];
                       if (bytes > 0)
                         move_runs(k.in_bytes[p] + z(row) * bytes, bytes,
                                   k.out_bytes[0] + z(row) * out.whole + at, out.whole, bytes,
                                   std::min(block, end - row));
                     }
                 });
  }};
}

std::optional<Kernel> make_pad(const KernelRequest& request) {
  const int64_t axis = request.attributes.get<int64_t>("axis");
  const Steps in = steps(request.in[0], axis), out = steps(request.out[0], axis);
  const size_t before = z(request.attributes.get<int64_t>("before")) * in.inner,
               after = out.whole - in.whole - before;
  return Kernel{.run = [=](KernelArgs& k) {
    const std::byte* from = k.in_bytes[0];
    std::byte* to = k.out_bytes[0];
    if (out.outer < 16 && in.whole > z(kGrain)) {  // few long runs
      for (int64_t row = 0; row < out.outer; ++row) {
        std::byte* start = to + z(row) * out.whole;
        std::memset(start, 0, before);
        std::memset(start + before + in.whole, 0, after);
      }
      for_runs(out.outer, in.whole, [&](int64_t run, int64_t, size_t first, size_t bytes) {
        std::memcpy(to + z(run) * out.whole + before + first, from + z(run) * in.whole + first,
                    bytes);
      });
      return;
    }
    parallel_for(out.outer, kGrain / static_cast<int64_t>(out.whole) + 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     std::byte* start = to + z(row) * out.whole;
                     std::memset(start, 0, before);
                     if (in.whole > 0)
                       std::memcpy(start + before, from + z(row) * in.whole, in.whole);
                     std::memset(start + before + in.whole, 0, after);
                   }
                 });
  }};
}

namespace {

/// n elements that are all the one at `from`.
template <typename T>
void fill_with(const std::byte* from, std::byte* to, int64_t n) {
  std::fill_n(reinterpret_cast<T*>(to), n, *reinterpret_cast<const T*>(from));
}

void fill_elements(const std::byte* from, std::byte* to, size_t size, int64_t n) {
  switch (size) {
    case 1:
      return fill_with<uint8_t>(from, to, n);
    case 2:
      return fill_with<uint16_t>(from, to, n);
    case 4:
      return fill_with<uint32_t>(from, to, n);
    default:
      return fill_with<uint64_t>(from, to, n);
  }
}

}  // namespace

std::optional<Kernel> make_broadcast_to(const KernelRequest& request) {
  // what is innermost repeats one element, or is a run
  std::vector<Walk> walks = broadcast_walks(request.in[0].shape, request.out[0].shape);
  if (walks.empty()) walks.push_back({1, 1});
  const auto [inner, step] = walks.back();
  walks.pop_back();
  int64_t rows = 1;
  for (const Walk& walk : walks) rows *= walk.size;
  const size_t size = size_of(request.in[0].dtype), run = z(inner) * size;
  return Kernel{.run = [=, inner = inner, step = step](KernelArgs& k) {
    const std::byte* from = k.in_bytes[0];
    std::byte* out = k.out_bytes[0];
    const auto source = [&](int64_t row) {
      int64_t at = 0;
      for (size_t d = walks.size(); d-- > 0; row /= walks[d].size)
        at += row % walks[d].size * walks[d].step;
      return from + z(at) * size;
    };
    for_runs(rows, run, [&](int64_t row, int64_t runs, size_t first, size_t bytes) {
      for (int64_t r = row; r < row + runs; ++r) {
        std::byte* place = out + z(r) * run + first;
        if (step == 0)
          fill_elements(source(r), place, size, static_cast<int64_t>(bytes / size));
        else
          std::memcpy(place, source(r) + first, bytes);
      }
    });
  }};
}

}  // namespace argosy::cpu
