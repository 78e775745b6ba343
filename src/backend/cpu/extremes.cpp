#include <algorithm>
#include <limits>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/extremes.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// The largest of adjacent axes, and its place: the operand is [outer, reduced, inner].
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// x where it is larger or NaN, else best: a NaN stays.
HWY_INLINE V larger_or_nan(V x, V best) {
  return hn::IfThenElse(hn::Or(hn::Gt(x, best), hn::Ne(x, x)), x, best);
}

float MaxRow(const float* x, size_t n) {
  const D d;
  V top = hn::Set(d, x[0]);
  float best = x[0];
  for_vectors(
      n, [&](size_t i) { top = larger_or_nan(hn::LoadU(d, x + i), top); },
      [&](size_t i) {
        if (x[i] > best || x[i] != x[i]) best = x[i];
      });
  if (best != best || !hn::AllFalse(d, hn::Ne(top, top)))
    return std::numeric_limits<float>::quiet_NaN();
  best = std::max(best, hn::GetLane(hn::MaxOfLanes(d, top)));
  // of zeros the first one, which has the sign that the reference gives
  return best == 0 ? *std::find(x, x + n, 0.0f) : best;
}

/// The first place of the largest; NaN is passed over.
int32_t ArgmaxRow(const float* x, size_t n) {
  const D d;
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  V top = hn::Set(d, kLeast);
  float best = kLeast;
  for_vectors(
      n,
      [&](size_t i) {
        const V v = hn::LoadU(d, x + i);
        top = hn::IfThenElse(hn::Gt(v, top), v, top);
      },
      [&](size_t i) { best = x[i] > best ? x[i] : best; });
  best = std::max(best, hn::GetLane(hn::MaxOfLanes(d, top)));
  if (best == kLeast) return 0;
  const V wanted = hn::Set(d, best);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  while (i + lanes <= n && hn::AllFalse(d, hn::Eq(hn::LoadU(d, x + i), wanted))) i += lanes;
  while (x[i] != best) ++i;
  return static_cast<int32_t>(i);
}

/// best[i] = the larger of best[i] and x[i]
void MaxInto(const float* x, float* best, size_t n) {
  const D d;
  for_vectors(
      n,
      [&](size_t i) {
        hn::StoreU(larger_or_nan(hn::LoadU(d, x + i), hn::LoadU(d, best + i)), d, best + i);
      },
      [&](size_t i) {
        if (x[i] > best[i] || x[i] != x[i]) best[i] = x[i];
      });
}

/// Where x[i] is above best[i]: best[i] = x[i], places[i] = place.
void ArgmaxInto(const float* x, int32_t place, float* best, int32_t* places, size_t n) {
  const D d;
  const hn::RebindToSigned<D> whole;
  const auto here = hn::Set(whole, place);
  for_vectors(
      n,
      [&](size_t i) {
        const V v = hn::LoadU(d, x + i), old = hn::LoadU(d, best + i);
        const auto above = hn::Gt(v, old);
        hn::StoreU(hn::IfThenElse(above, v, old), d, best + i);
        hn::StoreU(hn::IfThenElse(hn::RebindMask(whole, above), here, hn::LoadU(whole, places + i)),
                   whole, places + i);
      },
      [&](size_t i) {
        if (x[i] > best[i]) {
          best[i] = x[i];
          places[i] = place;
        }
      });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(MaxRow);
HWY_EXPORT(ArgmaxRow);
HWY_EXPORT(MaxInto);
HWY_EXPORT(ArgmaxInto);

namespace {

constexpr int64_t kGrain = 16384;  // elements that pay for a thread
constexpr int64_t kColumns = 256;  // columns that go together, so that what is best stays in L1

size_t z(int64_t n) { return static_cast<size_t>(n); }

struct Blocks {
  int64_t outer = 1, reduced = 1, inner = 1;

  explicit Blocks(const KernelRequest& request) {
    const auto axis = z(request.attributes.get<int64_t>("axis")),
               end = axis + z(request.attributes.get<int64_t>("axes"));
    for (size_t i = 0; i < request.in[0].shape.size(); ++i)
      (i < axis ? outer : i < end ? reduced : inner) *= request.in[0].shape[i];
  }
};

/// Cuts the columns of all outer parts for the threads: body(outer, first column, columns).
template <typename Body>
void for_columns(const Blocks& b, Body body) {
  const int64_t across = (b.inner + kColumns - 1) / kColumns;
  parallel_for(b.outer * across, kGrain / (b.reduced * std::min(b.inner, kColumns)) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t column = i % across * kColumns;
                   body(i / across, column, std::min(kColumns, b.inner - column));
                 }
               });
}

}  // namespace

std::optional<Kernel> make_max_reduce(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const Blocks b(request);
  if (b.inner > 1)
    return Kernel{.run = [=](KernelArgs& k) {
      for_columns(b, [&](int64_t outer, int64_t column, int64_t columns) {
        const float* x = k.in(0).data() + outer * b.reduced * b.inner + column;
        float* best = k.out().data() + outer * b.inner + column;
        std::copy_n(x, columns, best);
        for (int64_t r = 1; r < b.reduced; ++r)
          HWY_DYNAMIC_DISPATCH(MaxInto)(x + r * b.inner, best, z(columns));
      });
    }};
  // long rows go by parts
  const int64_t parts = (b.reduced + kGrain - 1) / kGrain;
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      auto* tops = reinterpret_cast<float*>(k.workspace);
                      parallel_for(b.outer * parts, kGrain / std::min(b.reduced, kGrain),
                                   [&](int64_t begin, int64_t end) {
                                     for (int64_t i = begin; i < end; ++i) {
                                       const int64_t first = i % parts * kGrain;
                                       tops[i] = HWY_DYNAMIC_DISPATCH(MaxRow)(
                                           k.in(0).data() + i / parts * b.reduced + first,
                                           z(std::min(kGrain, b.reduced - first)));
                                     }
                                   });
                      for (int64_t row = 0; row < b.outer; ++row)
                        k.out()[z(row)] =
                            HWY_DYNAMIC_DISPATCH(MaxRow)(tops + row * parts, z(parts));
                    },
                .workspace_bytes = z(b.outer * parts) * sizeof(float)};
}

std::optional<Kernel> make_argmax(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const Blocks b(request);
  if (b.inner == 1)
    return Kernel{.run = [=](KernelArgs& k) {
      parallel_for(b.outer, kGrain / b.reduced + 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
          k.out<int32_t>()[z(row)] =
              HWY_DYNAMIC_DISPATCH(ArgmaxRow)(k.in(0).data() + row * b.reduced, z(b.reduced));
      });
    }};
  return Kernel{.run = [=](KernelArgs& k) {
    for_columns(b, [&](int64_t outer, int64_t column, int64_t columns) {
      const float* x = k.in(0).data() + outer * b.reduced * b.inner + column;
      int32_t* places = k.out<int32_t>().data() + outer * b.inner + column;
      float best[kColumns];
      std::fill_n(best, columns, -std::numeric_limits<float>::infinity());
      std::fill_n(places, columns, 0);
      for (int64_t r = 0; r < b.reduced; ++r)
        HWY_DYNAMIC_DISPATCH(ArgmaxInto)(x + r * b.inner, static_cast<int32_t>(r), best, places,
                                         z(columns));
    });
  }};
}

}  // namespace argosy::cpu
#endif
