#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cpu/kernels.h"
#include "backend/cpu/row_access.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/rows.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Kernels that work on rows of the last axis: sums, softmax, layer norm.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {
float SumRow(const float* x, size_t n) {
  return sum_of(
      n, [&](V sum, size_t i) { return hn::Add(sum, hn::LoadU(D(), x + i)); },
      [&](float sum, size_t i) { return sum + x[i]; });
}

float SquaresOfRow(const float* x, size_t n) { return squares_of(x, n); }

/// total[i] += x[i]
void AddRow(const float* x, float* total, size_t n) {
  const D d;
  for_vectors(
      n,
      [&](size_t i) {
        hn::StoreU(hn::Add(hn::LoadU(d, total + i), hn::LoadU(d, x + i)), d, total + i);
      },
      [&](size_t i) { total[i] += x[i]; });
}

void SoftmaxRow(const float* x, float* y, size_t n) {
  const D d;
  const float highest = largest_of(x, n);
  const V shift = hn::Set(d, highest);
  V sum = hn::Zero(d);
  float rest_sum = 0;
  for_vectors(
      n,
      [&](size_t i) {
        const V e = exp_quick(hn::Sub(hn::LoadU(d, x + i), shift));
        sum = hn::Add(sum, e);
        hn::StoreU(e, d, y + i);
      },
      [&](size_t i) { rest_sum += y[i] = std::exp(x[i] - highest); });
  const float scale = 1.0f / (rest_sum + hn::GetLane(hn::SumOfLanes(d, sum)));
  const V factor = hn::Set(d, scale);
  for_vectors(
      n, [&](size_t i) { hn::StoreU(hn::Mul(hn::LoadU(d, y + i), factor), d, y + i); },
      [&](size_t i) { y[i] *= scale; });
}

void LayerNormRow(const float* x, const float* scale, const float* shift, float epsilon, float* y,
                  float* mean_out, float* inverse_out, size_t n) {
  const D d;
  const float mean = SumRow(x, n) / static_cast<float>(n);
  const V middle = hn::Set(d, mean);
  const float squares = sum_of(
      n,
      [&](V sum, size_t i) {
        const V c = hn::Sub(hn::LoadU(d, x + i), middle);
        return hn::MulAdd(c, c, sum);
      },
      [&](float sum, size_t i) { return sum + (x[i] - mean) * (x[i] - mean); });
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(n) + epsilon);
  const V factor = hn::Set(d, inverse);
  for_vectors(
      n,
      [&](size_t i) {
        const V h = hn::Mul(hn::Sub(hn::LoadU(d, x + i), middle), factor);
        hn::StoreU(hn::MulAdd(h, hn::LoadU(d, scale + i), hn::LoadU(d, shift + i)), d, y + i);
      },
      [&](size_t i) { y[i] = (x[i] - mean) * inverse * scale[i] + shift[i]; });
  *mean_out = mean;
  *inverse_out = inverse;
}

/// dx of one row; adds the row's part to dscale and dshift. dx may be dy.
void LayerNormGradientRow(const float* dy, const float* x, const float* scale, float mean,
                          float inverse, float* dx, float* dscale, float* dshift, size_t n) {
  const D d;
  const V middle = hn::Set(d, mean), factor = hn::Set(d, inverse);
  V sum_e = hn::Zero(d), sum_eh = hn::Zero(d);
  float rest_e = 0, rest_eh = 0;
  for_vectors(
      n,
      [&](size_t i) {
        const V g = hn::LoadU(d, dy + i), h = hn::Mul(hn::Sub(hn::LoadU(d, x + i), middle), factor);
        const V e = hn::Mul(g, hn::LoadU(d, scale + i));
        sum_e = hn::Add(sum_e, e);
        sum_eh = hn::MulAdd(e, h, sum_eh);
        hn::StoreU(hn::MulAdd(g, h, hn::LoadU(d, dscale + i)), d, dscale + i);
        hn::StoreU(hn::Add(g, hn::LoadU(d, dshift + i)), d, dshift + i);
      },
      [&](size_t i) {
        const float h = (x[i] - mean) * inverse, e = dy[i] * scale[i];
        rest_e += e;
        rest_eh += e * h;
        dscale[i] += dy[i] * h;
        dshift[i] += dy[i];
      });
  const float mean_e = (rest_e + hn::GetLane(hn::SumOfLanes(d, sum_e))) / static_cast<float>(n);
  const float mean_eh = (rest_eh + hn::GetLane(hn::SumOfLanes(d, sum_eh))) / static_cast<float>(n);
  const V e_middle = hn::Set(d, mean_e), eh_middle = hn::Set(d, mean_eh);
  for_vectors(
      n,
      [&](size_t i) {
        const V h = hn::Mul(hn::Sub(hn::LoadU(d, x + i), middle), factor);
        const V e = hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, scale + i));
        hn::StoreU(hn::Mul(factor, hn::NegMulAdd(h, eh_middle, hn::Sub(e, e_middle))), d, dx + i);
      },
      [&](size_t i) {
        dx[i] = inverse * (dy[i] * scale[i] - mean_e - (x[i] - mean) * inverse * mean_eh);
      });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(SumRow);
HWY_EXPORT(SquaresOfRow);
HWY_EXPORT(AddRow);
HWY_EXPORT(SoftmaxRow);
HWY_EXPORT(LayerNormRow);
HWY_EXPORT(LayerNormGradientRow);

namespace {

constexpr int64_t kGrain = 16384;  // elements that pay for a thread

/// Long sums go by parts of a fixed number of rows, added in order: the result does not depend on
/// the number of threads.
constexpr int64_t kPart = 16384;

bool all_f32(const KernelRequest& request) {
  for (const Type& type : request.in)
    if (type.dtype != DType::f32) return false;
  return true;
}

size_t z(int64_t n) { return static_cast<size_t>(n); }

/// Rows per part when a column sum over `rows` of `width` is cut so that parts have about kPart
/// elements.
int64_t rows_per_part(int64_t width) {
  return std::max<int64_t>(1, 4 * kPart / std::max<int64_t>(1, width));
}

/// How many of `rows` are added as one long row, so that a row is worth a call: a divisor of them.
int64_t rows_joined(int64_t rows, int64_t width) {
  constexpr int64_t kWorthACall = 512;
  int64_t joined = std::clamp<int64_t>(kWorthACall / width, 1, std::max<int64_t>(1, rows));
  while (rows % joined != 0) --joined;
  return joined;
}

/// sums[j] = sum over rows of x[first + row, j], by parts held in `parts`.
void sum_columns(const ReadRows& x, int64_t first, int64_t rows, int64_t width, float* sums,
                 float* parts) {
  const int64_t step = rows_per_part(width), count = (rows + step - 1) / step;
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      float* total = parts + part * width;
      std::fill_n(total, width, 0.0f);
      for (int64_t row = part * step; row < std::min(rows, (part + 1) * step); ++row)
        HWY_DYNAMIC_DISPATCH(AddRow)(x[first + row], total, z(width));
    }
  });
  std::fill_n(sums, width, 0.0f);
  for (int64_t part = 0; part < count; ++part)
    HWY_DYNAMIC_DISPATCH(AddRow)(parts + part * width, sums, z(width));
}

/// y[row] = the sum of part_sum(begin, n) over the row's parts.
Kernel sum_rows(int64_t rows, int64_t width, float (*part_sum)(const float*, size_t)) {
  const int64_t parts = std::max<int64_t>(1, (width + kPart - 1) / kPart);
  const int64_t grain = std::max<int64_t>(1, kGrain / std::clamp<int64_t>(width, 1, kPart));
  return {.run =
              [=](KernelArgs& k) {
                auto* totals = reinterpret_cast<float*>(k.workspace);
                parallel_for(rows * parts, grain, [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t row = i / parts, first = i % parts * kPart;
                    totals[i] = part_sum(k.in(0).data() + row * width + first,
                                         z(std::min(kPart, width - first)));
                  }
                });
                for (int64_t row = 0; row < rows; ++row) {
                  double total = 0;
                  for (int64_t part = 0; part < parts; ++part) total += totals[row * parts + part];
                  k.out()[z(row)] = static_cast<float>(total);
                }
              },
          .workspace_bytes = z(rows * parts) * sizeof(float)};
}

}  // namespace

std::optional<Kernel> make_reduction(const KernelRequest& request) {
  if (is_integer(request.in[0].dtype) || request.out[0].dtype != DType::f32) return {};
  const auto axis = z(request.attributes.get<int64_t>("axis")),
             end = axis + z(request.attributes.get<int64_t>("axes"));
  int64_t outer = 1, reduced = 1, inner = 1;
  for (size_t i = 0; i < request.in[0].shape.size(); ++i)
    (i < axis ? outer : i < end ? reduced : inner) *= request.in[0].shape[i];
  if (inner > 1) {
    const int64_t joined = rows_joined(reduced, inner), width = joined * inner,
                  rows = reduced / joined;
    const int64_t parts = (rows + rows_per_part(width) - 1) / rows_per_part(width);
    return Kernel{.run =
                      [=](KernelArgs& k) {
                        const ReadRows x(k, 0, width);
                        auto* totals = reinterpret_cast<float*>(k.workspace);
                        for (int64_t o = 0; o < outer; ++o) {
                          sum_columns(x, o * rows, rows, width, totals, totals + width);
                          float* sums = k.out().data() + o * inner;
                          std::fill_n(sums, inner, 0.0f);
                          for (int64_t row = 0; row < joined; ++row)
                            HWY_DYNAMIC_DISPATCH(AddRow)(totals + row * inner, sums, z(inner));
                        }
                      },
                  .workspace_bytes = z((parts + 1) * width) * sizeof(float)};
  }
  if (!all_f32(request)) return {};
  return sum_rows(outer, reduced,
                  [](const float* x, size_t n) { return HWY_DYNAMIC_DISPATCH(SumRow)(x, n); });
}

/// All operands together, cut into parts of at most kPart elements.
std::optional<Kernel> make_sum_of_squares(const KernelRequest& request) {
  if (!all_f32(request)) return {};
  std::vector<int64_t> first_part = {0};  // of each operand, and the number of all
  for (const Type& type : request.in)
    first_part.push_back(first_part.back() + (type.elements() + kPart - 1) / kPart);
  const int64_t parts = first_part.back();
  return Kernel{.run =
                    [first_part = std::move(first_part), parts](KernelArgs& k) {
                      auto* totals = reinterpret_cast<float*>(k.workspace);
                      parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
                        const auto after =
                            std::upper_bound(first_part.begin(), first_part.end(), begin);
                        auto operand = z(after - first_part.begin() - 1);
                        for (int64_t part = begin; part < end; ++part) {
                          while (part >= first_part[operand + 1]) ++operand;
                          const auto x = k.in(operand);
                          const size_t first = z((part - first_part[operand]) * kPart);
                          totals[part] = HWY_DYNAMIC_DISPATCH(SquaresOfRow)(
                              x.data() + first, std::min(z(kPart), x.size() - first));
                        }
                      });
                      k.out()[0] = static_cast<float>(std::accumulate(totals, totals + parts, 0.0));
                    },
                .workspace_bytes = z(parts) * sizeof(float)};
}

std::optional<Kernel> make_softmax(const KernelRequest& request) {
  const int64_t n = request.in[0].shape.back(), rows = request.in[0].elements() / n;
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows x(k, 0, n);
    const WriteRows y(k, 0, n);
    parallel_for(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        HWY_DYNAMIC_DISPATCH(SoftmaxRow)(x[row], y.place(row), z(n));
        y.store(row);
      }
    });
  }};
}

std::optional<Kernel> make_layer_norm(const KernelRequest& request) {
  if (!is_wide(request.in.subspan(1))) return {};
  const int64_t n = request.in[0].shape.back(), rows = request.in[0].elements() / n;
  const auto epsilon = static_cast<float>(request.attributes.get<double>("epsilon"));
  return Kernel{.run = [=](KernelArgs& k) {
    const ReadRows x(k, 0, n);
    const WriteRows y(k, 0, n, Stores::past_caches);
    parallel_for(rows, kGrain / n + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        HWY_DYNAMIC_DISPATCH(LayerNormRow)(x[row], k.in(1).data(), k.in(2).data(), epsilon,
                                           y.place(row), &k.out(1)[z(row)], &k.out(2)[z(row)],
                                           z(n));
        y.store(row);
      }
    });
  }};
}

std::optional<Kernel> make_layer_norm_gradient(const KernelRequest& request) {
  if (!is_wide(request.in.subspan(2))) return {};
  const int64_t n = request.in[0].shape.back(), rows = request.in[0].elements() / n;
  const int64_t step = rows_per_part(n), parts = (rows + step - 1) / step;
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      auto* sums = reinterpret_cast<float*>(k.workspace);  // [parts, 2, n]
                      const ReadRows dy(k, 0, n), x(k, 1, n);
                      const WriteRows dx(k, 0, n, Stores::past_caches);
                      parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
                        for (int64_t part = begin; part < end; ++part) {
                          float* dscale = sums + part * 2 * n;
                          std::fill_n(dscale, 2 * n, 0.0f);
                          for (int64_t row = part * step; row < std::min(rows, (part + 1) * step);
                               ++row) {
                            HWY_DYNAMIC_DISPATCH(LayerNormGradientRow)(
                                dy[row], x[row], k.in(2).data(), k.in(3)[z(row)], k.in(4)[z(row)],
                                dx.place(row), dscale, dscale + n, z(n));
                            dx.store(row);
                          }
                        }
                      });
                      for (int o = 1; o <= 2; ++o) {
                        std::fill_n(k.out(z(o)).data(), n, 0.0f);
                        for (int64_t part = 0; part < parts; ++part)
                          HWY_DYNAMIC_DISPATCH(AddRow)(sums + (part * 2 + o - 1) * n,
                                                       k.out(z(o)).data(), z(n));
                      }
                    },
                .workspace_bytes = z(parts * 2 * n) * sizeof(float)};
}

}  // namespace argosy::cpu
#endif
