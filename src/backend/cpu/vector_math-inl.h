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
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// y, or x where x is NaN.
HWY_INLINE V keep_nan(V x, V y) { return hn::IfThenElse(hn::Eq(x, x), y, x); }

/// x moved into [low, high]; NaN stays.
HWY_INLINE V clamp(V x, float low, float high) {
  const D d;
  // NaN stands second, so that the instructions of x86 keep it
  const V y = hn::Min(hn::Set(d, high), hn::Max(hn::Set(d, low), x));
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  return y;
#else
  return keep_nan(x, y);
#endif
}

/// 1 / x for normal x, within 2e-7 of itself: the CPU's estimate and one step of Newton's.
HWY_INLINE V quick_reciprocal(V x) {
  const V estimate = hn::ApproximateReciprocal(x);
  return hn::Mul(estimate, hn::NegMulAdd(x, estimate, hn::Set(D(), 2.0f)));
}

/// highest x^n + ... + last. As a chain of instructions: a loop over few constants stays a loop, at
/// several instructions for each.
template <typename... Coefficients>
HWY_INLINE V polynomial(V x, float highest, Coefficients... rest) {
  const D d;
  V y = hn::Set(d, highest);
  ((y = hn::MulAdd(y, x, hn::Set(d, rest))), ...);
  return y;
}

/// e^x without its power of two, within 1e-7 of itself: e^x = returned * 2^whole, where
/// `shifted` = magic + whole has `whole` in its lowest bits.
HWY_INLINE V exp_mantissa(V x, float magic, V& shifted) {
  const D d;
  const V base = hn::Set(d, magic);
  shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), base);
  const V whole = hn::Sub(shifted, base);
  // log(2) in two parts; the first has few digits, so that its product is exact
  V rest = hn::NegMulAdd(whole, hn::Set(d, 0.693359375f), x);
  rest = hn::MulAdd(whole, hn::Set(d, 2.12194440e-4f), rest);
  return polynomial(rest, 0.0013843653557432012f, 0.008374155688959987f, 0.041668000129541395f,
                    0.1666643095119788f, 0.4999999384444835f, 1.0f, 1.0f);
}

constexpr float kMagic = 12582912.0f;  // adding 3 * 2^22 rounds to a whole number

HWY_INLINE V exp(V x) {
  const D d;
  const hn::RebindToSigned<D> whole;
  V shifted;
  const V y = exp_mantissa(clamp(x, -104, 89), kMagic, shifted);
  // in two factors, so that each is a normal number where e^x is not, and the largest overflow
  const auto power = hn::Sub(hn::BitCast(whole, shifted), hn::BitCast(whole, hn::Set(d, kMagic)));
  const auto half = hn::ShiftRight<1>(power), bias = hn::Set(whole, 127);
  const auto factor = [&](auto exponent) {
    return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(exponent, bias)));
  };
  return hn::Mul(hn::Mul(y, factor(half)), factor(hn::Sub(power, half)));
}

/// e^x in two thirds of the instructions: 0 below -87.7, infinity above 88.3.
HWY_INLINE V exp_quick(V x) {
  const D d;
  const hn::RebindToUnsigned<D> bits;
  V shifted;
  const V y = exp_mantissa(clamp(x, -88.02969f, 88.72284f), kMagic + 127, shifted);
  return hn::Mul(y, hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(bits, shifted))));
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

/// 2^x by a polynomial on [-1/2, 1/2], coefficients from the highest to that of x, then 1; 0 below
/// 2^-126.5, infinity above 2^127.5, NaN stays.
template <typename... Coefficients>
HWY_INLINE V exp2_by(V x, Coefficients... coefficients) {
  const D d;
  x = clamp(x, -127, 128);
  // the whole number with its bias lies in the lowest bits
  const V magic = hn::Set(d, kMagic + 127), shifted = hn::Add(x, magic);
  const V rest = hn::Sub(x, hn::Sub(shifted, magic));
  const hn::RebindToUnsigned<D> bits;
  const V power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(bits, shifted)));
  return hn::Mul(polynomial(rest, coefficients..., 1.0f), power);
}

/// Within 1.5e-7 of itself.
HWY_INLINE V exp2(V x) {
  return exp2_by(x, 0.00015353361959569156f, 0.0013398875016719103f, 0.00961843691766262f,
                 0.055503323674201965f, 0.24022647738456726f, 0.6931471824645996f);
}

/// Within 3e-06 of itself: for what is rounded to bf16.
HWY_INLINE V exp2_quick(V x) {
  return exp2_by(x, 0.00958285317f, 0.055906425f, 0.240240986f, 0.693124193f);
}

/// tanh within 5e-7 of itself, by the quotient of two polynomials. For where tanh() is too slow.
HWY_INLINE V tanh_quick(V x) {
  x = clamp(x, -7.90531110763549805f, 7.90531110763549805f);
  const V square = hn::Mul(x, x);
  const V above = polynomial(square, -2.76076847742355e-16f, 2.00018790482477e-13f,
                             -8.60467152213735e-11f, 5.12229709037114e-08f, 1.48572235717979e-05f,
                             6.37261928875436e-04f, 4.89352455891786e-03f);
  const V below = polynomial(square, 1.19825839466702e-06f, 1.18534705686654e-04f,
                             2.26843463243900e-03f, 4.89352518554385e-03f);
  return hn::Div(hn::Mul(x, above), below);
}

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

/// Calls body(0), body(1), ... one after another, so that what they index stays in registers.
template <size_t n, typename Body>
HWY_INLINE void unrolled(Body body) {
  [&]<size_t... i>(std::index_sequence<i...>)
      HWY_ATTR { (body(i), ...); }(std::make_index_sequence<n>());
}

/// Calls body(tag, first channel) for full vectors of channels, then for shorter and shorter ones:
/// the same code for all.
template <typename Body>
HWY_INLINE void for_channels(size_t channels, Body body) {
  size_t c = 0;
  const auto with = [&](auto d) HWY_ATTR {
    for (; c + hn::Lanes(d) <= channels; c += hn::Lanes(d)) body(d, c);
  };
  with(D());
  with(hn::CappedTag<float, 8>());
  with(hn::CappedTag<float, 4>());
  with(hn::CappedTag<float, 1>());
}

/// A sum over n places in four chains, so that no addition waits for the one before: term(sum, i)
/// adds what stands at a vector of places, rest(sum, i) what stands at one.
template <typename Term, typename Rest>
HWY_INLINE float sum_of(size_t n, Term term, Rest rest) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V sums[4];
#pragma GCC unroll 4
  for (V& sum : sums) sum = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
#pragma GCC unroll 4
    for (size_t chain = 0; chain < 4; ++chain) sums[chain] = term(sums[chain], i + chain * lanes);
  for (; i + lanes <= n; i += lanes) sums[0] = term(sums[0], i);
  float total =
      hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3]))));
  for (; i < n; ++i) total = rest(total, i);
  return total;
}

HWY_INLINE float squares_of(const float* x, size_t n) {
  return sum_of(
      n,
      [&](V sum, size_t i) {
        const V v = hn::LoadU(D(), x + i);
        return hn::MulAdd(v, v, sum);
      },
      [&](float sum, size_t i) { return sum + x[i] * x[i]; });
}

/// The largest of x[0..n), n > 0, in four chains, so that no maximum waits for the one before.
HWY_INLINE float largest_of(const float* x, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  V top[4];
#pragma GCC unroll 4
  for (V& t : top) t = hn::Set(d, x[0]);
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes)
#pragma GCC unroll 4
    for (size_t chain = 0; chain < 4; ++chain)
      top[chain] = hn::Max(top[chain], hn::LoadU(d, x + i + chain * lanes));
  for (; i + lanes <= n; i += lanes) top[0] = hn::Max(top[0], hn::LoadU(d, x + i));
  float highest =
      hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(top[0], top[1]), hn::Max(top[2], top[3]))));
  for (; i < n; ++i) highest = highest < x[i] ? x[i] : highest;
  return highest;
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
