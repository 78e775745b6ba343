#include "backend/cpu/losses.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/losses.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Rows of logits to losses without storing probabilities, and RMS norm.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// In parts that stay in the first cache between their maximum and their sum.
float LogSumExpRow(const float* x, size_t n) {
  constexpr size_t kPart = 512;
  const D d;
  float highest = -INFINITY, total = 0;  // of what was seen; total is of e^(x - highest)
  for (size_t begin = 0; begin < n; begin += kPart) {
    const float* part = x + begin;
    const size_t taken = std::min(kPart, n - begin);
    const float top = largest_of(part, taken);
    if (top > highest) {
      total *= std::exp(highest - top);
      highest = top;
    }
    const float middle = highest > -INFINITY ? highest : 0;
    const V shift = hn::Set(d, middle);
    V sum = hn::Zero(d);
    float rest = 0;
    for_vectors(
        taken,
        [&](size_t i) { sum = hn::Add(sum, exp_quick(hn::Sub(hn::LoadU(d, part + i), shift))); },
        [&](size_t i) { rest += std::exp(part[i] - middle); });
    total += rest + hn::GetLane(hn::SumOfLanes(d, sum));
  }
  return std::isinf(highest) ? NAN : highest + std::log(total);
}

/// dx = factor * e^(x - all); dx may be x.
void SoftmaxTimesRow(const float* x, float all, float factor, float* dx, size_t n) {
  const D d;
  const V shift = hn::Set(d, all), f = hn::Set(d, factor);
  for_vectors(
      n,
      [&](size_t i) {
        hn::StoreU(hn::Mul(f, exp_quick(hn::Sub(hn::LoadU(d, x + i), shift))), d, dx + i);
      },
      [&](size_t i) { dx[i] = factor * std::exp(x[i] - all); });
}

float SquaresRow(const float* x, size_t n) { return squares_of(x, n); }

void ScaleRow(const float* x, const float* weight, float factor, float* y, size_t n) {
  const D d;
  const V f = hn::Set(d, factor);
  for_vectors(
      n,
      [&](size_t i) {
        hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), f), hn::LoadU(d, weight + i)), d, y + i);
      },
      [&](size_t i) { y[i] = x[i] * factor * weight[i]; });
}

/// dx of one row; adds the row's part to dweight. dx may be dy.
void RmsGradientRow(const float* dy, const float* x, const float* weight, float inverse, float* dx,
                    float* dweight, size_t n) {
  const D d;
  const V factor = hn::Set(d, inverse);
  V sum = hn::Zero(d);
  float rest = 0;
  for_vectors(
      n,
      [&](size_t i) {
        const V g = hn::LoadU(d, dy + i), h = hn::Mul(hn::LoadU(d, x + i), factor);
        sum = hn::MulAdd(hn::Mul(g, hn::LoadU(d, weight + i)), h, sum);
        hn::StoreU(hn::MulAdd(g, h, hn::LoadU(d, dweight + i)), d, dweight + i);
      },
      [&](size_t i) {
        const float h = x[i] * inverse;
        rest += dy[i] * weight[i] * h;
        dweight[i] += dy[i] * h;
      });
  const float mean = (rest + hn::GetLane(hn::SumOfLanes(d, sum))) / static_cast<float>(n);
  const V middle = hn::Set(d, mean);
  for_vectors(
      n,
      [&](size_t i) {
        const V h = hn::Mul(hn::LoadU(d, x + i), factor);
        const V e = hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i));
        hn::StoreU(hn::Mul(factor, hn::NegMulAdd(h, middle, e)), d, dx + i);
      },
      [&](size_t i) { dx[i] = inverse * (dy[i] * weight[i] - x[i] * inverse * mean); });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(LogSumExpRow);
HWY_EXPORT(SoftmaxTimesRow);
HWY_EXPORT(SquaresRow);
HWY_EXPORT(ScaleRow);
HWY_EXPORT(RmsGradientRow);

namespace {

constexpr int64_t kGrain = 16384;  // elements that pay for a thread

size_t z(int64_t n) { return static_cast<size_t>(n); }

/// Calls body(row) for all rows of `width`, on the threads.
template <typename Body>
void for_rows(int64_t rows, int64_t width, Body body) {
  parallel_for(rows, kGrain / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

}  // namespace

void check_labels(std::span<const int32_t> labels, int64_t classes) {
  for (const int32_t label : labels)
    check(label < classes, "label {} with {} classes", label, classes);
}

void loss_of_row(const float* logits, int32_t label, int64_t n, float& loss, float& log_sum_exp) {
  log_sum_exp = HWY_DYNAMIC_DISPATCH(LogSumExpRow)(logits, z(n));
  loss = label < 0 ? 0.0f : log_sum_exp - logits[label];
}

void gradient_of_row(const float* logits, int32_t label, float log_sum_exp, float dloss, int64_t n,
                     float* gradient) {
  if (label < 0) {
    std::fill_n(gradient, n, 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(SoftmaxTimesRow)(logits, log_sum_exp, dloss, gradient, z(n));
  if (label < n) gradient[label] -= dloss;
}

std::optional<Kernel> make_cross_entropy(const KernelRequest& request) {
  const int64_t rows = request.in[0].shape[0], n = request.in[0].shape[1];
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows logits(k, 0, n);
    const auto labels = k.in<int32_t>(1);
    check_labels(labels, n);
    for_rows(rows, n, [&](int64_t row) {
      loss_of_row(logits[row], labels[z(row)], n, k.out(0)[z(row)], k.out(1)[z(row)]);
    });
  }};
}

std::optional<Kernel> make_cross_entropy_gradient(const KernelRequest& request) {
  const int64_t rows = request.in[0].shape[0], n = request.in[0].shape[1];
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows logits(k, 0, n);
    const WriteRows gradient(k, 0, n);
    for_rows(rows, n, [&](int64_t row) {
      gradient_of_row(logits[row], k.in<int32_t>(1)[z(row)], k.in(2)[z(row)], k.in(3)[z(row)], n,
                      gradient.place(row));
      gradient.store(row);
    });
  }};
}

std::optional<Kernel> make_rms_norm(const KernelRequest& request) {
  if (!is_wide(request.in.subspan(1))) return {};
  const int64_t n = request.in[0].shape.back(), rows = request.in[0].elements() / n;
  const auto epsilon = static_cast<float>(request.attributes.get<double>("epsilon"));
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows from(k, 0, n);
    const WriteRows y(k, 0, n, Stores::past_caches);
    for_rows(rows, n, [&](int64_t row) {
      const float* x = from[row];
      const float mean = HWY_DYNAMIC_DISPATCH(SquaresRow)(x, z(n)) / static_cast<float>(n);
      const float inverse = 1.0f / std::sqrt(mean + epsilon);
      k.out(1)[z(row)] = inverse;
      HWY_DYNAMIC_DISPATCH(ScaleRow)(x, k.in(1).data(), inverse, y.place(row), z(n));
      y.store(row);
    });
  }};
}

std::optional<Kernel> make_rms_norm_gradient(const KernelRequest& request) {
  if (!is_wide(request.in.subspan(2))) return {};
  const int64_t n = request.in[0].shape.back(), rows = request.in[0].elements() / n;
  // parts of a fixed number of rows, added in order: the same sums at every thread count
  const int64_t step = std::max<int64_t>(1, 4 * kGrain / n), parts = (rows + step - 1) / step;
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      auto* sums = reinterpret_cast<float*>(k.workspace);  // [parts, n]
                      const ReadRows dy(k, 0, n), x(k, 1, n);
                      const WriteRows dx(k, 0, n, Stores::past_caches);
                      parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
                        for (int64_t part = begin; part < end; ++part) {
                          std::fill_n(sums + part * n, n, 0.0f);
                          for (int64_t row = part * step; row < std::min(rows, (part + 1) * step);
                               ++row) {
                            HWY_DYNAMIC_DISPATCH(RmsGradientRow)(dy[row], x[row], k.in(2).data(),
                                                                 k.in(3)[z(row)], dx.place(row),
                                                                 sums + part * n, z(n));
                            dx.store(row);
                          }
                        }
                      });
                      float* dweight = k.out(1).data();
                      std::fill_n(dweight, n, 0.0f);
                      for (int64_t part = 0; part < parts; ++part)
                        for (int64_t i = 0; i < n; ++i) dweight[i] += sums[part * n + i];
                    },
                .workspace_bytes = z(parts * n) * sizeof(float)};
}

}  // namespace argosy::cpu
#endif
