// Small matrix products on packed tiles, whose sums stay in registers, and the packing. Included
// once for each instruction set, as Highway does it.
#if defined(ARGOSY_TILE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ARGOSY_TILE_PRODUCTS_INL_H_
#undef ARGOSY_TILE_PRODUCTS_INL_H_
#else
#define ARGOSY_TILE_PRODUCTS_INL_H_
#endif

#include <algorithm>

#include "backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

constexpr int64_t kLanes = HWY_LANES(float);
// A register tile: so many rows of so many vectors, beside which the registers have room for a row
// of b and one number of a.
#if HWY_TARGET == HWY_SCALAR
constexpr int64_t kTileRows = 4, kTileVectors = 4;
#elif HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3
constexpr int64_t kTileRows = 4, kTileVectors = 3;  // 16 registers
#else
constexpr int64_t kTileRows = 8, kTileVectors = 2;  // 32 registers
#endif
constexpr int64_t kTileWidth = kTileVectors * kLanes;

/// The left operand of a product stored with its rows along memory: a[k * stride + row].
struct Across {
  const float* a;
  int64_t stride;
  HWY_INLINE float at(int64_t row, int64_t k) const { return a[k * stride + row]; }
};

/// The left operand stored as rows: a[row * kStride + k].
template <int64_t kStride>
struct Along {
  const float* a;
  HWY_INLINE float at(int64_t row, int64_t k) const { return a[row * kStride + k]; }
};

/// c[row][j] (+)= sum over k in [begin, end) of a(row, k) b[k][j], for kTileRows rows and kVectors
/// vectors of columns.
template <int64_t kVectors, bool kAdd, typename A>
HWY_INLINE void RegisterTile(A a, int64_t begin, int64_t end, const float* HWY_RESTRICT b,
                             int64_t b_stride, float* HWY_RESTRICT c, int64_t c_stride) {
  const D d;
  V sums[kTileRows][kVectors];
#pragma GCC unroll 8
  for (int64_t row = 0; row < kTileRows; ++row)
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v)
      sums[row][v] = kAdd ? hn::LoadU(d, c + row * c_stride + v * kLanes) : hn::Zero(d);
  for (int64_t k = begin; k < end; ++k) {
    V right[kVectors];
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) right[v] = hn::LoadU(d, b + k * b_stride + v * kLanes);
#pragma GCC unroll 8
    for (int64_t row = 0; row < kTileRows; ++row) {
      const V left = hn::Set(d, a.at(row, k));
#pragma GCC unroll 4
      for (int64_t v = 0; v < kVectors; ++v)
        sums[row][v] = hn::MulAdd(left, right[v], sums[row][v]);
    }
  }
#pragma GCC unroll 8
  for (int64_t row = 0; row < kTileRows; ++row)
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v)
      hn::StoreU(sums[row][v], d, c + row * c_stride + v * kLanes);
}

/// The same for `width` columns, a multiple of kLanes.
template <bool kAdd, typename A>
HWY_INLINE void TileProduct(A a, int64_t begin, int64_t end, const float* b, int64_t b_stride,
                            int64_t width, float* c, int64_t c_stride) {
  int64_t j = 0;
  for (; j + kTileWidth <= width; j += kTileWidth)
    RegisterTile<kTileVectors, kAdd>(a, begin, end, b + j, b_stride, c + j, c_stride);
  if constexpr (kTileVectors > 2)
    if (j + 2 * kLanes <= width) {
      RegisterTile<2, kAdd>(a, begin, end, b + j, b_stride, c + j, c_stride);
      j += 2 * kLanes;
    }
  if (j < width) RegisterTile<1, kAdd>(a, begin, end, b + j, b_stride, c + j, c_stride);
}

/// c[row][j] += sum over k of a(row, k) b[k][j], where a number 0 of `a` adds nothing, whatever it
/// meets: for a `b` with infinities or NaN. Slow.
template <typename A>
HWY_NOINLINE void CarefulProduct(A a, int64_t begin, int64_t end, const float* b, int64_t b_stride,
                                 int64_t width, float* c, int64_t c_stride) {
  const D d;
  for (int64_t row = 0; row < kTileRows; ++row)
    for (int64_t k = begin; k < end; ++k) {
      if (a.at(row, k) == 0) continue;
      const V left = hn::Set(d, a.at(row, k));
      for (int64_t j = 0; j < width; j += kLanes) {
        float* sum = c + row * c_stride + j;
        hn::StoreU(hn::MulAdd(left, hn::LoadU(d, b + k * b_stride + j), hn::LoadU(d, sum)), d, sum);
      }
    }
}

/// rows[i][d] * factor for i < n as [n, padded], zeros behind; false if any is not finite.
HWY_INLINE bool PackRows(const float* from, int64_t step, int64_t n, int64_t width, int64_t padded,
                         float factor, float* to) {
  const D d;
  const V f = hn::Set(d, factor);
  V doubt = hn::Zero(d);  // x * 0, which is NaN where x is not finite
  float rest = 0;
  for (int64_t i = 0; i < n; ++i, from += step, to += padded) {
    int64_t j = 0;
    for (; j + kLanes <= width; j += kLanes) {
      const V x = hn::LoadU(d, from + j);
      doubt = hn::MulAdd(x, hn::Zero(d), doubt);
      hn::StoreU(hn::Mul(x, f), d, to + j);
    }
    for (; j < width; ++j) {
      rest += from[j] * 0.0f;
      to[j] = from[j] * factor;
    }
    std::fill(to + j, to + padded, 0.0f);
  }
  return rest == 0 && hn::AllTrue(d, hn::Eq(doubt, hn::Zero(d)));
}

#if HWY_TARGET != HWY_SCALAR
/// Four by four numbers: to[j * stride + i] = from[i * step + j] * factor
HWY_INLINE void TransposeBlock(const float* from, int64_t step, float factor, float* to,
                               int64_t stride) {
  const hn::FixedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> pairs;
  const auto f = hn::Set(d, factor);
  const auto a = hn::LoadU(d, from), b = hn::LoadU(d, from + step),
             c = hn::LoadU(d, from + 2 * step), e = hn::LoadU(d, from + 3 * step);
  const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b)),
             ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b)),
             ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e)),
             ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
  const auto put = [&](auto column, float* at) {
    hn::StoreU(hn::Mul(hn::BitCast(d, column), f), d, at);
  };
  put(hn::InterleaveLower(pairs, ab_low, ce_low), to);
  put(hn::InterleaveUpper(pairs, ab_low, ce_low), to + stride);
  put(hn::InterleaveLower(pairs, ab_high, ce_high), to + 2 * stride);
  put(hn::InterleaveUpper(pairs, ab_high, ce_high), to + 3 * stride);
}
constexpr int64_t kTransposed = 4;
#else
HWY_INLINE void TransposeBlock(const float* from, int64_t, float factor, float* to, int64_t) {
  *to = *from * factor;
}
constexpr int64_t kTransposed = 1;
#endif

/// rows[i][d] * factor for i < n as columns: to[d * stride + i].
HWY_INLINE void PackColumns(const float* from, int64_t step, int64_t n, int64_t width, float factor,
                            float* to, int64_t stride) {
  const int64_t whole = n / kTransposed * kTransposed;
  for (int64_t i = 0; i < n; ++i) {
    const float* row = from + i * step;
    int64_t j = 0;
    if (i < whole) {
      if (i % kTransposed == 0)
        for (; j + kTransposed <= width; j += kTransposed)
          TransposeBlock(row + j, step, factor, to + j * stride + i, stride);
      else
        j = width / kTransposed * kTransposed;  // written with the row that begins the four
    }
    for (; j < width; ++j) to[j * stride + i] = row[j] * factor;
  }
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
