#include "backend/cpu/optimizer_states.h"

#include <algorithm>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/optimizer_states.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

using Bits = hn::RebindToUnsigned<D>;
using B = hn::Vec<Bits>;
using Whole = hn::RebindToSigned<D>;
using Halves = hn::Rebind<uint16_t, D>;
using Octets = hn::Rebind<uint8_t, D>;

void DrawRoundingBits(uint32_t key, uint32_t first, uint32_t* to, size_t n) {
  const Bits bits;
  const B step = hn::Set(bits, 0x9E3779B9U);
  for_vectors(
      n,
      [&](size_t i) {
        const B element = hn::Iota(bits, first + static_cast<uint32_t>(i));
        B x = hn::Add(hn::Set(bits, key), hn::Mul(element, step));
        x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(bits, 0x85EBCA6BU));
        x = hn::Mul(hn::Xor(x, hn::ShiftRight<13>(x)), hn::Set(bits, 0xC2B2AE35U));
        hn::StoreU(hn::Xor(x, hn::ShiftRight<16>(x)), bits, to + i);
      },
      [&](size_t i) { to[i] = ops::rounding_bits(key, first + static_cast<uint32_t>(i)); });
}

/// ops::state_bits of the elements at `bits`.
template <size_t state>
HWY_INLINE B StateBits(const uint32_t* bits) {
  const B all = hn::LoadU(Bits(), bits);
  return state == 0 ? hn::And(all, hn::Set(Bits(), 0xFFFFU)) : hn::ShiftRight<16>(all);
}

void Widen(const uint16_t* from, float* to, size_t n) {
  const D d;
  for_vectors(
      n,
      [&](size_t i) {
        const B wide = hn::PromoteTo(Bits(), hn::LoadU(Halves(), from + i));
        hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(wide)), d, to + i);
      },
      [&](size_t i) {
        BFloat16 value;
        value.bits = from[i];
        to[i] = static_cast<float>(value);
      });
}

template <size_t state>
void NarrowState(const float* from, uint16_t* to, size_t n, const uint32_t* draws) {
  const D d;
  const Bits bits;
  for_vectors(
      n,
      [&](size_t i) {
        const B value = hn::BitCast(bits, hn::LoadU(d, from + i));
        const B sum = hn::Add(value, StateBits<state>(draws + i));
        const auto upper = hn::BitCast(Whole(), hn::ShiftRight<16>(sum));
        hn::StoreU(hn::DemoteTo(Halves(), upper), Halves(), to + i);
      },
      [&](size_t i) {
        to[i] = ops::round_at_random(from[i], ops::state_bits(draws[i], state)).bits;
      });
}

void Narrow(const float* from, uint16_t* to, size_t n, const uint32_t* draws, size_t state) {
  (state == 0 ? NarrowState<0> : NarrowState<1>)(from, to, n, draws);
}

HWY_INLINE B LoadCodes(const uint8_t* codes) {
  return hn::PromoteTo(Bits(), hn::LoadU(Octets(), codes));
}
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
        B code = LoadCodes(codes + i), sign = hn::Zero(bits);
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
  for_vectors(
      n,
      [&](size_t i) {
        const V value = hn::LoadU(d, from + i), share = hn::Mul(hn::Abs(value), inverse);
        V root = hn::Sqrt(share);
        if (!kEither) root = hn::Sqrt(root);
        const V steps = hn::Set(d, kEither ? 127.0f : 255.0f);
        const V below = hn::Min(hn::Sub(steps, one), hn::Floor(hn::Mul(root, steps)));
        const V low = SizeOf(range, below, 1), high = SizeOf(range, hn::Add(below, one), 1);
        const V unit = hn::Mul(Number(StateBits<state>(draws + i)), hn::Set(d, 0x1p-16f));
        const auto up = hn::Lt(hn::Mul(unit, hn::Sub(high, low)), hn::Sub(share, low));
        V code = hn::IfThenElse(up, hn::Add(below, one), below);
        if (!kEither) code = hn::IfThenElse(hn::Gt(share, hn::Zero(d)), hn::Max(code, one), code);
        B whole = hn::BitCast(bits, hn::ConvertTo(Whole(), code));
        if (kEither) {
          const auto negative = hn::Lt(value, hn::Zero(d));
          whole = hn::Or(
              whole, hn::BitCast(
                         bits, hn::IfThenElseZero(negative, hn::BitCast(d, hn::Set(bits, 0x80U)))));
        }
        hn::StoreU(hn::DemoteTo(Octets(), hn::BitCast(Whole(), whole)), Octets(), codes + i);
      },
      [&](size_t i) {
        codes[i] = ops::code_of(range, from[i], largest, ops::state_bits(draws[i], state));
      });
}

void Decode(ops::StateRange range, const uint8_t* codes, const float* scales, float* to, size_t n) {
  using enum ops::StateRange;
  const auto block = range == either_sign ? DecodeBlock<either_sign> : DecodeBlock<positive>;
  for (size_t i = 0; i < n; i += ops::kStateBlock)
    block(codes + i, scales[i / ops::kStateBlock], to + i,
          std::min<size_t>(ops::kStateBlock, n - i));
}

void Encode(ops::StateRange range, const float* from, uint8_t* codes, float* scales, size_t n,
            const uint32_t* draws, size_t state) {
  using enum ops::StateRange;
  const auto block =
      state == 0 ? (range == either_sign ? EncodeBlock<either_sign, 0> : EncodeBlock<positive, 0>)
                 : (range == either_sign ? EncodeBlock<either_sign, 1> : EncodeBlock<positive, 1>);
  for (size_t i = 0; i < n; i += ops::kStateBlock)
    block(from + i, codes + i, scales + i / ops::kStateBlock,
          std::min<size_t>(ops::kStateBlock, n - i), draws + i);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(DrawRoundingBits);
HWY_EXPORT(Widen);
HWY_EXPORT(Narrow);
HWY_EXPORT(Decode);
HWY_EXPORT(Encode);

void draw_rounding_bits(uint32_t key, int64_t first_element, uint32_t* bits, size_t n) {
  HWY_DYNAMIC_DISPATCH(DrawRoundingBits)(key, static_cast<uint32_t>(first_element), bits, n);
}
void widen(const BFloat16* from, float* to, size_t n) {
  HWY_DYNAMIC_DISPATCH(Widen)(&from->bits, to, n);
}
void narrow(const float* from, BFloat16* to, size_t n, const uint32_t* bits, size_t state) {
  HWY_DYNAMIC_DISPATCH(Narrow)(from, &to->bits, n, bits, state);
}
void decode(ops::StateRange range, const uint8_t* codes, const float* scales, float* to, size_t n) {
  HWY_DYNAMIC_DISPATCH(Decode)(range, codes, scales, to, n);
}
void encode(ops::StateRange range, const float* from, uint8_t* codes, float* scales, size_t n,
            const uint32_t* bits, size_t state) {
  HWY_DYNAMIC_DISPATCH(Encode)(range, from, codes, scales, n, bits, state);
}

}  // namespace argosy::cpu
#endif
