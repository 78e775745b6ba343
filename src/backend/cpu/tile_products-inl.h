// Small matrix products on packed tiles, whose sums stay in registers, and the packing. Tiles are
// made of cells of four bytes: a number of f32, or two neighbours of bf16 along the sum, where the
// CPU multiplies these. Cells are moved as floats. Included once for each instruction set, as
// Highway does it.
#if defined(ARGOSY_TILE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ARGOSY_TILE_PRODUCTS_INL_H_
#undef ARGOSY_TILE_PRODUCTS_INL_H_
#else
#define ARGOSY_TILE_PRODUCTS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "backend/cpu/vector_math-inl.h"
#include "ir/dtype.h"

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

/// Columns of a right operand that are packed together, as [sum, kPanel]; the last panel is one
/// vector wide where that is enough.
constexpr int64_t kPanel = 2 * kLanes;
/// The width of a panel that begins when so many columns are left.
constexpr int64_t panel_width(int64_t columns) { return columns > kLanes ? kPanel : kLanes; }

/// Vectors of numbers from memory; kLanes or fewer, as `d` says.
template <typename Tag>
HWY_INLINE hn::Vec<Tag> LoadNumbers(Tag d, const float* from) {
  return hn::LoadU(d, from);
}
template <typename Tag>
HWY_INLINE hn::Vec<Tag> LoadNumbers(Tag d, const BFloat16* from) {
  const hn::Rebind<hwy::bfloat16_t, Tag> narrow;
  return hn::PromoteTo(d, hn::LoadU(narrow, reinterpret_cast<const hwy::bfloat16_t*>(from)));
}

/// Cells that are one number of f32.
struct Singles {
  static constexpr int64_t kNumbers = 1;
  /// sum + left * right, cell by cell
  static HWY_INLINE V multiply_add(V left, V right, V sum) { return hn::MulAdd(left, right, sum); }
  static HWY_INLINE float number(float cell, int64_t) { return cell; }
  static HWY_INLINE V number(V cells, int64_t) { return cells; }
  template <typename Tag, typename Element>
  static HWY_INLINE hn::Vec<Tag> load(Tag d, const Element* from) {
    return LoadNumbers(d, from);
  }
  template <typename Element>
  static HWY_INLINE float load(const Element* from, bool) {
    return static_cast<float>(*from);
  }
};

#undef ARGOSY_HAVE_PAIRS
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
#define ARGOSY_HAVE_PAIRS 1
/// Cells that are two numbers of bf16; their products are added in f32.
struct Pairs {
  static constexpr int64_t kNumbers = 2;
  /// By name, since this Highway does not have the instruction.
  static HWY_INLINE V multiply_add(V left, V right, V sum) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(right.raw), "v"(left.raw));
    return sum;
  }
  static HWY_INLINE float number(float cell, int64_t which) {
    uint32_t bits;
    std::memcpy(&bits, &cell, sizeof(bits));
    bits = which == 0 ? bits << 16 : bits & 0xFFFF0000u;
    std::memcpy(&cell, &bits, sizeof(bits));
    return cell;
  }
  static HWY_INLINE V number(V cells, int64_t which) {
    const hn::RebindToUnsigned<D> bits;
    const auto x = hn::BitCast(bits, cells);
    return hn::BitCast(D(),
                       which == 0 ? hn::ShiftLeft<16>(x) : hn::And(x, hn::Set(bits, 0xFFFF0000u)));
  }
  template <typename Tag>
  static HWY_INLINE hn::Vec<Tag> load(Tag d, const BFloat16* from) {
    const hn::Repartition<uint8_t, Tag> bytes;
    return hn::BitCast(d, hn::LoadU(bytes, reinterpret_cast<const uint8_t*>(from)));
  }
  /// One cell, whose second number is 0 if it is not there.
  static HWY_INLINE float load(const BFloat16* from, bool whole) {
    float cell = 0;
    std::memcpy(&cell, from, whole ? 4 : 2);
    return cell;
  }
  /// x in the lower half, y in the upper one, rounded.
  static HWY_INLINE V join(V x, V y) {
    V joined;
    asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(joined.raw) : "v"(x.raw), "v"(y.raw));
    return joined;
  }
  /// Cells of x and y.
  static HWY_INLINE V pair(V x, V y) {
    alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                        21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                        11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i halves = _mm512_castps_si512(join(x, y).raw);
    return V{_mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(kOrder), halves))};
  }
};
/// Whether this CPU has what Pairs need.
inline bool has_pairs() { return __builtin_cpu_supports("avx512bf16") > 0; }
#else
#define ARGOSY_HAVE_PAIRS 0
#endif

/// Cells that hold so many numbers.
template <typename Format>
constexpr int64_t cells(int64_t numbers) {
  return (numbers + Format::kNumbers - 1) / Format::kNumbers;
}

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

/// c[row][j] = factor * sum over cells k in [begin, end) of a(row, k) b[k][j], or adds the sum, for
/// kTileRows rows and kVectors vectors of columns.
template <typename Format, int64_t kVectors, bool kAdd, typename A>
HWY_INLINE void RegisterTile(A a, int64_t begin, int64_t end, const float* HWY_RESTRICT b,
                             int64_t b_stride, float* HWY_RESTRICT c, int64_t c_stride,
                             float factor = 1) {
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
        sums[row][v] = Format::multiply_add(left, right[v], sums[row][v]);
    }
  }
#pragma GCC unroll 8
  for (int64_t row = 0; row < kTileRows; ++row)
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v)
      hn::StoreU(kAdd ? sums[row][v] : hn::Mul(sums[row][v], hn::Set(d, factor)), d,
                 c + row * c_stride + v * kLanes);
}

/// Adds the same for `width` columns, a multiple of kLanes.
template <typename Format, typename A>
HWY_INLINE void TileProduct(A a, int64_t begin, int64_t end, const float* b, int64_t b_stride,
                            int64_t width, float* c, int64_t c_stride) {
  int64_t j = 0;
  for (; j + kTileWidth <= width; j += kTileWidth)
    RegisterTile<Format, kTileVectors, true>(a, begin, end, b + j, b_stride, c + j, c_stride);
  if constexpr (kTileVectors > 2)
    if (j + 2 * kLanes <= width) {
      RegisterTile<Format, 2, true>(a, begin, end, b + j, b_stride, c + j, c_stride);
      j += 2 * kLanes;
    }
  if (j < width) RegisterTile<Format, 1, true>(a, begin, end, b + j, b_stride, c + j, c_stride);
}

/// c[row][j] += sum over k of a(row, k) b[k][j], where a number 0 of `a` adds nothing, whatever it
/// meets: for a `b` with infinities or NaN. Slow.
template <typename Format, typename A>
HWY_NOINLINE void CarefulProduct(A a, int64_t begin, int64_t end, const float* b, int64_t b_stride,
                                 int64_t width, float* c, int64_t c_stride) {
  const D d;
  for (int64_t row = 0; row < kTileRows; ++row)
    for (int64_t k = begin; k < end; ++k)
      for (int64_t half = 0; half < Format::kNumbers; ++half) {
        const float number = Format::number(a.at(row, k), half);
        if (number == 0) continue;
        const V left = hn::Set(d, number);
        for (int64_t j = 0; j < width; j += kLanes) {
          float* sum = c + row * c_stride + j;
          const V right = Format::number(hn::LoadU(d, b + k * b_stride + j), half);
          hn::StoreU(hn::MulAdd(left, right, hn::LoadU(d, sum)), d, sum);
        }
      }
}

/// Rows [n, width] as cells along the rows' numbers [cells(n), padded], zeros behind; false if any
/// is not finite.
template <typename Format, typename Element>
HWY_INLINE bool PackRows(const Element* from, int64_t step, int64_t n, int64_t width,
                         int64_t padded, float* to) {
  const D d;
  V doubt = hn::Zero(d);  // x * 0, which is NaN where x is not finite
  HWY_ALIGN float edge[kLanes];
  const auto load = [&](int64_t row, int64_t j) {
    if (row >= n) return hn::Zero(d);
    const Element* at = from + row * step + j;
    if (j + kLanes <= width) return LoadNumbers(d, at);
    for (int64_t i = 0; i < kLanes; ++i) edge[i] = j + i < width ? static_cast<float>(at[i]) : 0.0f;
    return hn::Load(d, edge);
  };
  for (int64_t row = 0; row < n; row += Format::kNumbers, to += padded)
    for (int64_t j = 0; j < padded; j += kLanes) {
      const V x = load(row, j);
      doubt = hn::MulAdd(x, hn::Zero(d), doubt);
      if constexpr (Format::kNumbers == 2) {
        const V y = load(row + 1, j);
        doubt = hn::MulAdd(y, hn::Zero(d), doubt);
        const hn::RebindToUnsigned<D> bits;
        hn::StoreU(
            hn::BitCast(d, hn::Or(hn::ShiftRight<16>(hn::BitCast(bits, x)), hn::BitCast(bits, y))),
            d, to + j);
      } else {
        hn::StoreU(x, d, to + j);
      }
    }
  return hn::AllTrue(d, hn::Eq(doubt, hn::Zero(d)));
}

#if HWY_TARGET != HWY_SCALAR
constexpr int64_t kTransposed = 4;
/// Four by four cells: to[j * stride + i] = cell j of the run at from[i * step]
template <typename Format, typename Element>
HWY_INLINE void TransposeBlock(const Element* from, int64_t step, float* to, int64_t stride) {
  const hn::FixedTag<float, kTransposed> d;
  const auto v0 = Format::load(d, from), v1 = Format::load(d, from + step),
             v2 = Format::load(d, from + 2 * step), v3 = Format::load(d, from + 3 * step);
  const auto low02 = hn::InterleaveLower(d, v0, v2), low13 = hn::InterleaveLower(d, v1, v3),
             high02 = hn::InterleaveUpper(d, v0, v2), high13 = hn::InterleaveUpper(d, v1, v3);
  hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to);
  hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + stride);
  hn::StoreU(hn::InterleaveLower(d, high02, high13), d, to + 2 * stride);
  hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, to + 3 * stride);
}
#else
constexpr int64_t kTransposed = 1;
template <typename Format, typename Element>
HWY_INLINE void TransposeBlock(const Element* from, int64_t, float* to, int64_t) {
  *to = Format::load(from, true);
}
#endif

/// Rows [n, width] as columns of cells: cell c of row i at to[c * stride + i].
template <typename Format, typename Element>
HWY_INLINE void PackColumns(const Element* from, int64_t step, int64_t n, int64_t width, float* to,
                            int64_t stride) {
  constexpr int64_t kNumbers = Format::kNumbers;
  const int64_t whole_n = n / kTransposed * kTransposed,
                whole = width / (kTransposed * kNumbers) * kTransposed;
  for (int64_t c = 0; c < whole; c += kTransposed)
    for (int64_t i = 0; i < whole_n; i += kTransposed)
      TransposeBlock<Format>(from + i * step + c * kNumbers, step, to + c * stride + i, stride);
  for (int64_t c = 0; c < cells<Format>(width); ++c)
    for (int64_t i = c < whole ? whole_n : 0; i < n; ++i)
      to[c * stride + i] =
          Format::load(from + i * step + c * kNumbers, (c + 1) * kNumbers <= width);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
