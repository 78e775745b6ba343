#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/ops.h"
#include "ops/pooling.h"

// Kernels that are plain loops cut for the threads: rows by number, running sums, pooling.
namespace argosy::cpu {
namespace {

constexpr int64_t kGrain = 16384;  // elements that pay for a thread

int64_t grain_of(int64_t width) { return kGrain / std::max<int64_t>(1, width) + 1; }

/// Index i of operand 1.
int64_t index_at(const KernelArgs& k, int64_t i) {
  const auto at = static_cast<size_t>(i);
  return k.in_types[1].dtype == DType::i32 ? k.in<int32_t>(1)[at] : k.in<int64_t>(1)[at];
}

/// Before any thread runs, since none of them may throw.
void check_indices(const KernelArgs& k, int64_t rows) {
  const int64_t n = k.in_types[1].elements();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t index = index_at(k, i);
    check(index >= 0 && index < rows, "index {} is outside [0, {})", index, rows);
  }
}

template <void (*kImages)(KernelArgs&, int64_t, int64_t)>
std::optional<Kernel> make_pool(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const int64_t images = request.out[0].shape[0];
  const int64_t work = std::max(request.in[0].elements(), request.out[0].elements()) / images;
  return Kernel{.run = [=](KernelArgs& k) {
    parallel_for(images, grain_of(work),
                 [&](int64_t begin, int64_t end) { kImages(k, begin, end); });
  }};
}

}  // namespace

std::optional<Kernel> make_gather(const KernelRequest& request) {
  const int64_t rows = request.in[0].shape[0], n = request.in[1].elements();
  if (rows == 0) return {};
  const size_t bytes = request.in[0].bytes() / static_cast<size_t>(rows);
  return Kernel{.run = [=](KernelArgs& k) {
    check_indices(k, rows);
    parallel_for(n, grain_of(static_cast<int64_t>(bytes / 4)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        std::memcpy(k.out_bytes[0] + static_cast<size_t>(i) * bytes,
                    k.in_bytes[0] + static_cast<size_t>(index_at(k, i)) * bytes, bytes);
    });
  }};
}

/// Each thread owns some rows and walks all values, so that a row's sum has one order.
std::optional<Kernel> make_scatter_add(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const int64_t rows = request.out[0].shape[0], n = request.in[1].elements();
  const int64_t width = request.out[0].elements() / rows;
  return Kernel{.run = [=](KernelArgs& k) {
    check_indices(k, rows);
    const float* values = k.in(0).data();
    float* sums = k.out().data();
    parallel_for(rows, grain_of(width), [&](int64_t begin, int64_t end) {
      std::fill(sums + begin * width, sums + end * width, 0.0f);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t row = index_at(k, i);
        if (row < begin || row >= end) continue;
        for (int64_t j = 0; j < width; ++j) sums[row * width + j] += values[i * width + j];
      }
    });
  }};
}

std::optional<Kernel> make_average_pool(const KernelRequest& request) {
  return make_pool<ops::average_pool_images>(request);
}
std::optional<Kernel> make_average_pool_gradient(const KernelRequest& request) {
  return make_pool<ops::average_pool_gradient_images>(request);
}

/// Each row by itself, a long one by parts: their totals first, so that every part knows where it
/// begins.
std::optional<Kernel> make_cumulative_sum(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const bool reverse = request.attributes.get<bool>("reverse");
  const int64_t n = request.in[0].shape.back(), rows = request.in[0].elements() / n;
  const int64_t parts = (n + kGrain - 1) / kGrain;
  return Kernel{
      .run =
          [=](KernelArgs& k) {
            const float* x = k.in(0).data();
            float* y = k.out().data();
            auto* starts = reinterpret_cast<double*>(k.workspace);  // [rows, parts]
            // calls step(element) for a part, in the order of the sum
            const auto walk = [&](int64_t i, auto step) {
              const int64_t first = i % parts * kGrain, last = std::min(n, first + kGrain);
              const int64_t row = i / parts * n;
              for (int64_t j = first; j < last; ++j) step(row + (reverse ? n - 1 - j : j));
            };
            const int64_t grain = kGrain / std::min(n, kGrain);
            if (parts > 1)
              parallel_for(rows * parts, grain, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  double total = 0;
                  walk(i, [&](int64_t at) { total += x[at]; });
                  starts[i] = total;
                }
              });
            for (int64_t row = 0; parts > 1 && row < rows; ++row) {
              double total = 0;
              for (int64_t i = row * parts; i < (row + 1) * parts; ++i)
                total += std::exchange(starts[i], total);
            }
            parallel_for(rows * parts, grain, [&](int64_t begin, int64_t end) {
              for (int64_t i = begin; i < end; ++i) {
                double total = parts > 1 ? starts[i] : 0.0;
                walk(i, [&](int64_t at) { y[at] = static_cast<float>(total += x[at]); });
              }
            });
          },
      .workspace_bytes = parts > 1 ? static_cast<size_t>(rows * parts) * sizeof(double) : 0};
}

namespace {
/// Loops over few numbers, which no second thread would shorten.
Kernel as_reference(const KernelRequest& request) { return {.run = request.op.reference}; }
}  // namespace

std::optional<Kernel> make_count_values(const KernelRequest& request) {
  return as_reference(request);
}
std::optional<Kernel> make_block_gather(const KernelRequest& request) {
  return as_reference(request);
}
std::optional<Kernel> make_cache_write(const KernelRequest& request) {
  return as_reference(request);
}

}  // namespace argosy::cpu
