#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "base/random.h"
#include "base/threads.h"
#include "ops/ops.h"
#include "ops/pooling.h"

// Kernels that are plain loops cut for the threads: rows by number, pooling, random numbers. Each
// gives the reference's bits.
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

std::optional<Kernel> make_max_pool(const KernelRequest& request) {
  return make_pool<ops::max_pool_images>(request);
}
std::optional<Kernel> make_max_pool_gradient(const KernelRequest& request) {
  return make_pool<ops::max_pool_gradient_images>(request);
}
std::optional<Kernel> make_average_pool(const KernelRequest& request) {
  return make_pool<ops::average_pool_images>(request);
}
std::optional<Kernel> make_average_pool_gradient(const KernelRequest& request) {
  return make_pool<ops::average_pool_gradient_images>(request);
}

std::optional<Kernel> make_random_uniform(const KernelRequest& request) {
  const auto stream = static_cast<uint64_t>(request.attributes.get<int64_t>("stream"));
  return Kernel{.run = [=](KernelArgs& k) {
    const auto seed = static_cast<uint64_t>(k.in<int64_t>(0)[0]);
    const auto n = static_cast<int64_t>(k.out().size());
    parallel_for((n + 3) / 4, kGrain / 16, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const auto words = philox(seed, stream, static_cast<uint64_t>(block));
        for (int64_t j = 0; j < std::min<int64_t>(4, n - block * 4); ++j)
          k.out()[static_cast<size_t>(block * 4 + j)] = unit_float(words[static_cast<size_t>(j)]);
      }
    });
  }};
}

std::optional<Kernel> make_sgd(const KernelRequest& request) {
  for (const Type& type : request.in)
    if (type.dtype != DType::f32) return {};
  const auto momentum = static_cast<float>(request.attributes.get<double>("momentum"));
  const auto decay = static_cast<float>(request.attributes.get<double>("weight_decay"));
  return Kernel{.run = [=](KernelArgs& k) {
    const float rate = k.in(3)[0], scale = k.in(4)[0];
    const bool skip = k.in(5)[0] == 0;
    const float *p = k.in(0).data(), *g = k.in(1).data(), *b = k.in(2).data();
    float *p_out = k.out(0).data(), *b_out = k.out(1).data();
    parallel_for(static_cast<int64_t>(k.out(0).size()), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float old = p[i], kept = b[i], next = momentum * kept + (g[i] * scale + decay * old);
        p_out[i] = skip ? old : old - rate * next;
        b_out[i] = skip ? kept : next;
      }
    });
  }};
}

}  // namespace argosy::cpu
