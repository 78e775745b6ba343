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
constexpr int64_t kTransposed = 4;
/// Four by four numbers: to[j * stride + i] = from[i * step + j] * factor
HWY_INLINE void TransposeBlock(const float* from, int64_t step, float factor, float* to,
                               int64_t stride) {
  const hn::FixedTag<float, kTransposed> d;
  const auto f = hn::Set(d, factor);
  const auto row = [&](int64_t i) { return hn::Mul(hn::LoadU(d, from + i * step), f); };
  const auto v0 = row(0), v1 = row(1), v2 = row(2), v3 = row(3);
  const auto low02 = hn::InterleaveLower(d, v0, v2), low13 = hn::InterleaveLower(d, v1, v3),
             high02 = hn::InterleaveUpper(d, v0, v2), high13 = hn::InterleaveUpper(d, v1, v3);
  hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to);
  hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + stride);
  hn::StoreU(hn::InterleaveLower(d, high02, high13), d, to + 2 * stride);
  hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, to + 3 * stride);
}
#else
constexpr int64_t kTransposed = 1;
HWY_INLINE void TransposeBlock(const float* from, int64_t, float factor, float* to, int64_t) {
  *to = *from * factor;
}
#endif

/// rows[i][d] * factor for i < n as columns: to[d * stride + i].
HWY_INLINE void PackColumns(const float* from, int64_t step, int64_t n, int64_t width, float factor,
                            float* to, int64_t stride) {
  const int64_t whole_n = n / kTransposed * kTransposed,
                whole_width = width / kTransposed * kTransposed;
  for (int64_t j = 0; j < whole_width; j += kTransposed)
    for (int64_t i = 0; i < whole_n; i += kTransposed)
      TransposeBlock(from + i * step + j, step, factor, to + j * stride + i, stride);
  for (int64_t j = 0; j < width; ++j)
    for (int64_t i = j < whole_width ? whole_n : 0; i < n; ++i)
      to[j * stride + i] = from[i * step + j] * factor;
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
