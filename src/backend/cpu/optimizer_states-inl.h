// Formats of an optimizer's states, as numbers and back. Included once for each instruction set, as
// Highway does it.
#if defined(ARGOSY_OPTIMIZER_STATES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ARGOSY_OPTIMIZER_STATES_INL_H_
#undef ARGOSY_OPTIMIZER_STATES_INL_H_
#else
#define ARGOSY_OPTIMIZER_STATES_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/vector_math-inl.h"
#include "ops/optimizer.h"

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

template <typename Tag>
using BitsOf = hn::RebindToUnsigned<Tag>;
using Bits = BitsOf<D>;
using B = hn::Vec<Bits>;

/// ops::rounding_bits of the elements from `first` on.
template <typename Tag>
HWY_INLINE hn::Vec<BitsOf<Tag>> RoundingBits(Tag, uint32_t key, uint32_t first) {
  const BitsOf<Tag> bits;
  const auto element = hn::Iota(bits, first);
  auto x = hn::Add(hn::Set(bits, key), hn::Mul(element, hn::Set(bits, 0x9E3779B9U)));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(bits, 0x85EBCA6BU));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<13>(x)), hn::Set(bits, 0xC2B2AE35U));
  return hn::Xor(x, hn::ShiftRight<16>(x));
}

/// ops::state_bits
template <typename Tag>
HWY_INLINE hn::Vec<BitsOf<Tag>> StateBits(Tag, hn::Vec<BitsOf<Tag>> bits, size_t state) {
  return state == 0 ? hn::And(bits, hn::Set(BitsOf<Tag>(), 0xFFFFU)) : hn::ShiftRight<16>(bits);
}

template <typename Tag>
HWY_INLINE hn::Vec<Tag> LoadBf16(Tag d, const uint16_t* from) {
  const auto wide = hn::PromoteTo(BitsOf<Tag>(), hn::LoadU(hn::Rebind<uint16_t, Tag>(), from));
  return hn::BitCast(d, hn::ShiftLeft<16>(wide));
}

/// ops::round_at_random by 16 bits
template <typename Tag>
HWY_INLINE void StoreBf16(Tag, hn::Vec<Tag> value, hn::Vec<BitsOf<Tag>> draw, uint16_t* to) {
  const hn::Rebind<uint16_t, Tag> half;
  const auto sum = hn::Add(hn::BitCast(BitsOf<Tag>(), value), draw);
  hn::StoreU(hn::TruncateTo(half, hn::ShiftRight<16>(sum)), half, to);
}

using Whole = hn::RebindToSigned<D>;
using Octets = hn::Rebind<uint8_t, D>;

HWY_INLINE V Number(B whole) { return hn::ConvertTo(D(), hn::BitCast(Whole(), whole)); }

/// (c / 127)^2 and (c / 255)^4 times `largest`.
HWY_INLINE V SizeOf(ops::StateRange range, V code, float largest) {
  const D d;
  const V square = hn::Mul(code, code);
  if (range == ops::StateRange::either_sign)
    return hn::Mul(square, hn::Set(d, largest / (127.0f * 127.0f)));
  return hn::Mul(hn::Mul(square, square),
                 hn::Set(d, largest / (255.0f * 255.0f * 255.0f * 255.0f)));
}

template <ops::StateRange range>
void DecodeBlock(const uint8_t* codes, float largest, float* to, size_t n) {
  const D d;
  const Bits bits;
  for_vectors(
      n,
      [&](size_t i) {
        B code = hn::PromoteTo(bits, hn::LoadU(Octets(), codes + i)), sign = hn::Zero(bits);
        if (range == ops::StateRange::either_sign) {
          sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(bits, 0x80U)));
          code = hn::And(code, hn::Set(bits, 0x7FU));
        }
        const V size = SizeOf(range, Number(code), largest);
        hn::StoreU(hn::BitCast(d, hn::Or(hn::BitCast(bits, size), sign)), d, to + i);
      },
      [&](size_t i) { to[i] = ops::value_of(range, codes[i], largest); });
}

template <ops::StateRange range, size_t state>
void EncodeBlock(const float* from, uint8_t* codes, float* scale, size_t n, const uint32_t* draws) {
  const D d;
  const Bits bits;
  constexpr bool kEither = range == ops::StateRange::either_sign;
  V top = hn::Zero(d);
  float largest = 0;
  for_vectors(
      n, [&](size_t i) { top = hn::Max(top, hn::Abs(hn::LoadU(d, from + i))); },
      [&](size_t i) { largest = std::max(largest, std::abs(from[i])); });
  largest = std::max(largest, hn::GetLane(hn::MaxOfLanes(d, top)));
  *scale = largest;
  const bool normal = largest >= std::numeric_limits<float>::min();
  const V inverse = hn::Set(d, normal ? 1.0f / largest : 0.0f), one = hn::Set(d, 1);
  const V steps = hn::Set(d, kEither ? 127.0f : 255.0f), last = hn::Sub(steps, one);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    const V value = hn::LoadU(d, from + i), share = hn::Mul(hn::Abs(value), inverse);
    V root = hn::Sqrt(share);
    if (!kEither) root = hn::Sqrt(root);
    const V below = hn::Min(last, hn::Floor(hn::Mul(root, steps))), above = hn::Add(below, one);
    const V low = SizeOf(range, below, 1), high = SizeOf(range, above, 1);
    const V unit =
        hn::Mul(Number(StateBits(d, hn::LoadU(bits, draws + i), state)), hn::Set(d, 0x1p-16f));
    const auto up = hn::Lt(hn::Mul(unit, hn::Sub(high, low)), hn::Sub(share, low));
    V code = hn::IfThenElse(up, above, below);
    if (!kEither) code = hn::IfThenElse(hn::Gt(share, hn::Zero(d)), hn::Max(code, one), code);
    // the whole number lies in the lowest bits
    B whole = hn::BitCast(bits, hn::Add(code, hn::Set(d, kMagic)));
    if (kEither) {
      const V sign = hn::BitCast(d, hn::Set(bits, 0x80U));
      whole =
          hn::Or(whole, hn::BitCast(bits, hn::IfThenElseZero(hn::Lt(value, hn::Zero(d)), sign)));
    }
    hn::StoreU(hn::TruncateTo(Octets(), whole), Octets(), codes + i);
  }
  for (; i < n; ++i)
    codes[i] = ops::code_of(range, from[i], largest, ops::state_bits(draws[i], state));
}

/// Whole blocks of ops::kStateBlock codes, the last one may be shorter.
inline void Decode(ops::StateRange range, const uint8_t* codes, const float* scales, float* to,
                   size_t n) {
  using enum ops::StateRange;
  for (size_t i = 0; i < n; i += ops::kStateBlock)
    (range == either_sign ? DecodeBlock<either_sign>
                          : DecodeBlock<positive>)(codes + i, scales[i / ops::kStateBlock], to + i,
                                                   std::min<size_t>(ops::kStateBlock, n - i));
}

/// `draws` are ops::rounding_bits.
template <size_t state>
void Encode(ops::StateRange range, const float* from, uint8_t* codes, float* scales, size_t n,
            const uint32_t* draws) {
  using enum ops::StateRange;
  for (size_t i = 0; i < n; i += ops::kStateBlock)
    (range == either_sign
         ? EncodeBlock<either_sign, state>
         : EncodeBlock<positive, state>)(from + i, codes + i, scales + i / ops::kStateBlock,
                                         std::min<size_t>(ops::kStateBlock, n - i), draws + i);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
