// Sums of products of whole numbers: levels of weights, which lie in panels (ir/panels.h), with
// levels of an operand. A vector has four columns of as many rows as it has lanes of 32 bits.
// Included once for each instruction set, as Highway does it.
#if defined(ARGOSY_LEVEL_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ARGOSY_LEVEL_SUMS_INL_H_
#undef ARGOSY_LEVEL_SUMS_INL_H_
#else
#define ARGOSY_LEVEL_SUMS_INL_H_
#endif

#include "backend/cpu/vector_math-inl.h"
#include "ir/panels.h"

#undef ARGOSY_HAVE_LEVEL_SUMS
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
#define ARGOSY_HAVE_LEVEL_SUMS 1

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

using Whole = hn::RebindToSigned<D>;
using Sum = hn::Vec<Whole>;
using Byte = hn::Repartition<uint8_t, D>;
using Levels = hn::Vec<Byte>;

constexpr int64_t kRowLanes = HWY_LANES(float);
constexpr int64_t kLine = 64;  // bytes of four columns of a panel

/// Four columns of the operand, for every row.
HWY_INLINE Levels FourColumns(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return hn::BitCast(Byte(), hn::Set(Whole(), four));
}

/// Without an instruction that adds four products: sums of two in 16 bits, which have room for so
/// many of them that a block of a few bits is summed there.
struct Pairwise {
  /// Levels of 8 bits are signed.
  static constexpr bool kSignedBytes = true;

  /// Sums of two products each.
  template <int bits>
  static HWY_INLINE hn::Vec<hn::Repartition<int16_t, D>> Products(Levels w, Levels x) {
#if HWY_TARGET <= HWY_AVX3
    if constexpr (bits == 8) {
      x.raw =
          _mm512_mask_sub_epi8(x.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), x.raw);
      w.raw = _mm512_abs_epi8(w.raw);
    }
    return {_mm512_maddubs_epi16(w.raw, x.raw)};
#else
    if constexpr (bits == 8) {
      x.raw = _mm256_sign_epi8(x.raw, w.raw);
      w.raw = _mm256_abs_epi8(w.raw);
    }
    return {_mm256_maddubs_epi16(w.raw, x.raw)};
#endif
  }

  /// sum + w[i] x[4i .. 4i + 3] over i < count. With `bits` < 8 levels w are below 2^bits, with 8
  /// they are signed; x is in [-127, 127].
  template <int bits, int count>
  static HWY_INLINE Sum add(const Levels* w, const int8_t* x, Sum sum) {
    // as many sums of two products as fit into 16 bits
    constexpr int kTogether = bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
    constexpr int kStep = kTogether < count ? kTogether : count;
    for (int i = 0; i < count; i += kStep) {
      auto total = Products<bits>(w[i], FourColumns(x + 4 * i));
      for (int j = 1; j < kStep; ++j)
        total = hn::Add(total, Products<bits>(w[i + j], FourColumns(x + 4 * (i + j))));
#if HWY_TARGET <= HWY_AVX3
      sum = hn::Add(sum, Sum{_mm512_madd_epi16(total.raw, _mm512_set1_epi16(1))});
#else
      sum = hn::Add(sum, Sum{_mm256_madd_epi16(total.raw, _mm256_set1_epi16(1))});
#endif
    }
    return sum;
  }
};

#undef ARGOSY_HAVE_FOURS
#if HWY_TARGET <= HWY_AVX3
#define ARGOSY_HAVE_FOURS 1
/// With VNNI, which adds four products of an unsigned and a signed byte at once.
struct Fours {
  static constexpr bool kSignedBytes = false;
  template <int bits, int count>
  static HWY_INLINE Sum add(const Levels* w, const int8_t* x, Sum sum) {
    // by name, since this Highway does not have the instruction
    for (int i = 0; i < count; ++i)
      asm("vpdpbusd %2%{1to16%}, %1, %0"
          : "+v"(sum.raw)
          : "v"(w[i].raw), "m"(*reinterpret_cast<const int(*)[1]>(x + 4 * i)));
    return sum;
  }
};
inline bool has_fours() { return __builtin_cpu_supports("avx512vnni") > 0; }
#else
#define ARGOSY_HAVE_FOURS 0
#endif

/// Bytes whose bits are moved to the left, some of them into the next byte; to the right if
/// negative.
template <int bits>
HWY_INLINE Levels Shifted(Levels bytes) {
  const hn::Repartition<uint16_t, D> pairs;
  const auto x = hn::BitCast(pairs, bytes);
  if constexpr (bits >= 0) return hn::BitCast(Byte(), hn::ShiftLeft<bits>(x));
  if constexpr (bits < 0) return hn::BitCast(Byte(), hn::ShiftRight<-bits>(x));
}

/// The eight vectors of levels of a cell, from the vectors that begin at `cell`.
template <int bits, bool kSignedBytes>
HWY_INLINE void LoadLevels(const uint8_t* cell, Levels* words) {
  const Byte d;
  if constexpr (bits == 8) {
    for (int64_t i = 0; i < 8; ++i) {
      words[i] = hn::LoadU(d, cell + i * kLine);
      if (!kSignedBytes) words[i] = hn::Xor(words[i], hn::Set(d, 0x80));
    }
    return;
  }
  const Levels low = hn::Set(d, 15);
  for (int64_t i = 0; i < 4; ++i) {
    const Levels both = hn::LoadU(d, cell + i * kLine);
    words[i] = hn::And(both, low);
    words[i + 4] = hn::And(Shifted<-4>(both), low);
  }
  const auto add = [&](int64_t word, Levels moved, uint8_t mask) {
    words[word] = hn::Or(words[word], hn::And(moved, hn::Set(d, mask)));
  };
  if constexpr (bits == 5) {
    const Levels fifths = hn::LoadU(d, cell + 4 * kLine);
    add(0, Shifted<4>(fifths), 0x10);
    add(1, Shifted<3>(fifths), 0x10);
    add(2, Shifted<2>(fifths), 0x10);
    add(3, Shifted<1>(fifths), 0x10);
    add(4, fifths, 0x10);
    add(5, Shifted<-1>(fifths), 0x10);
    add(6, Shifted<-2>(fifths), 0x10);
    add(7, Shifted<-3>(fifths), 0x10);
  }
  if constexpr (bits == 6)
    for (int64_t i = 0; i < 2; ++i) {
      const Levels above = hn::LoadU(d, cell + (4 + i) * kLine);
      add(i, Shifted<4>(above), 0x30);
      add(i + 2, Shifted<2>(above), 0x30);
      add(i + 4, above, 0x30);
      add(i + 6, Shifted<-2>(above), 0x30);
    }
}

/// 16-bit reals, or whole numbers of a byte, of as many rows as a vector has lanes.
HWY_INLINE V LoadHalves(const uint8_t* from) {
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(D(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
}
template <typename Small>
HWY_INLINE V LoadSmall(const uint8_t* from) {
  const hn::Rebind<Small, D> small;
  return hn::ConvertTo(
      D(), hn::PromoteTo(Whole(), hn::LoadU(small, reinterpret_cast<const Small*>(from))));
}

/// What a cell's levels are multiplied with, and what is added.
struct Scales {
  V factor[2];  ///< of the first and second 16 columns; the same where kHalves is 1
  V minimum;
};

/// Formats whose cells have scales of their own. A weight is factor * level + minimum, or, with
/// kMiddle, factor * (level - 2^kMiddle).
template <int bits, int middle, bool minimum>
struct PlainFormat {
  static constexpr int kBits = bits, kMiddle = middle, kHalves = 1;
  static constexpr bool kMinimum = minimum;
  static constexpr int64_t kCells = 1, kScaleBytes = minimum ? 64 : 32;
  static HWY_INLINE Scales scales(const uint8_t* at, int64_t, int64_t row) {
    Scales s;
    s.factor[0] = LoadHalves(at + 2 * row);
    if (minimum) s.minimum = LoadHalves(at + 32 + 2 * row);
    return s;
  }
};

/// q4_k and q5_k.
template <int bits>
struct FactorFormat {
  static constexpr int kBits = bits, kMiddle = 0, kHalves = 1;
  static constexpr bool kMinimum = true;
  static constexpr int64_t kCells = 8, kScaleBytes = 64 + 256;
  static HWY_INLINE Scales scales(const uint8_t* at, int64_t cell, int64_t row) {
    const uint8_t* small = at + 64 + cell * 32 + row;
    Scales s;
    s.factor[0] = hn::Mul(LoadHalves(at + 2 * row), LoadSmall<uint8_t>(small));
    s.minimum = hn::Neg(hn::Mul(LoadHalves(at + 32 + 2 * row), LoadSmall<uint8_t>(small + 16)));
    return s;
  }
};

/// q6_k.
struct HalvesFormat {
  static constexpr int kBits = 6, kMiddle = 5, kHalves = 2;
  static constexpr bool kMinimum = false;
  static constexpr int64_t kCells = 8, kScaleBytes = 32 + 256;
  static HWY_INLINE Scales scales(const uint8_t* at, int64_t cell, int64_t row) {
    const V scale = LoadHalves(at + 2 * row);
    Scales s;
    for (int64_t half = 0; half < 2; ++half)
      s.factor[half] =
          hn::Mul(scale, LoadSmall<int8_t>(at + 32 + (2 * cell + half) * kPanelRows + row));
    return s;
  }
};

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#else
#define ARGOSY_HAVE_LEVEL_SUMS 0
#endif
#endif
