// Elementary functions on vectors that also hold for infinities, NaN and arguments for which
// Highway's own are not defined. Included once for each instruction set, as Highway does it.
#if defined(ARGOSY_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ARGOSY_VECTOR_MATH_INL_H_
#undef ARGOSY_VECTOR_MATH_INL_H_
#else
#define ARGOSY_VECTOR_MATH_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// y, or x where x is NaN.
HWY_INLINE V keep_nan(V x, V y) { return hn::IfThenElse(hn::Eq(x, x), y, x); }

HWY_INLINE V exp(V x) {
  const D d;
  const V largest = hn::Set(d, 88.7228317f);  // the last argument whose exponential is finite
  const V y = hn::Exp(d, hn::Min(x, largest));
  return keep_nan(x, hn::IfThenElse(hn::Gt(x, largest), hn::Inf(d), y));
}

HWY_INLINE V log(V x) {
  const D d;
  const V zero = hn::Zero(d), infinite = hn::Inf(d);
  V y = hn::Log(d, x);
  y = hn::IfThenElse(hn::Eq(x, infinite), x, y);
  y = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinite), y);
  return hn::IfThenElse(hn::Ge(x, zero), y, hn::NaN(d));
}

HWY_INLINE V tanh(V x) { return keep_nan(x, hn::Tanh(D(), x)); }

/// `fast` where all lanes lie in its range, else `plain` lane by lane.
template <typename Fast>
HWY_INLINE V within(V x, float range, Fast fast, float (*plain)(float)) {
  const D d;
  if (hn::AllTrue(d, hn::Le(hn::Abs(x), hn::Set(d, range)))) return fast(x);
  HWY_ALIGN float lanes[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(x, d, lanes);
  for (size_t i = 0; i < hn::Lanes(d); ++i) lanes[i] = plain(lanes[i]);
  return hn::Load(d, lanes);
}

HWY_INLINE V sin(V x) {
  return within(x, 39000, [](V v) { return hn::Sin(D(), v); }, [](float v) { return std::sin(v); });
}
HWY_INLINE V cos(V x) {
  return within(x, 39000, [](V v) { return hn::Cos(D(), v); }, [](float v) { return std::cos(v); });
}

/// Calls body(first element) for full vectors, then rest(element index) for what is left.
template <typename Body, typename Rest>
HWY_INLINE void for_vectors(size_t n, Body body, Rest rest) {
  const size_t lanes = hn::Lanes(D());
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) body(i);
  for (; i < n; ++i) rest(i);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
