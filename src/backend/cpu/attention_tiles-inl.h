// What a panel of queries and a tile of keys give, for attention and its gradient. Tiles are packed
// in the cells of a Format (tile_products-inl.h). Included once for each instruction set, as
// Highway does it.
#if defined(ARGOSY_ATTENTION_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ARGOSY_ATTENTION_TILES_INL_H_
#undef ARGOSY_ATTENTION_TILES_INL_H_
#else
#define ARGOSY_ATTENTION_TILES_INL_H_
#endif

#include <algorithm>

#include "backend/cpu/attention_parts.h"
#include "backend/cpu/tile_products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

static_assert(kQueries % kTileWidth == 0 && kTileWidth % kTileRows == 0 && kKeys % kTileRows == 0);
constexpr int64_t kScoreRows = kKeys + kTileRows;  // register tiles may reach beyond the keys

using I = hn::Vec<hn::RebindToSigned<D>>;

/// Memory of one thread, cut into pieces that begin at cache lines. Without memory it only counts.
class Scratch {
 public:
  explicit Scratch(float* memory) : memory_(memory) {}
  float* take(int64_t floats) {
    float* piece = memory_ ? memory_ + used_ : nullptr;
    used_ += (floats + kWidest - 1) / kWidest * kWidest;
    return piece;
  }
  int64_t used() const { return used_; }

 private:
  float* memory_;
  int64_t used_ = 0;
};

inline int64_t panels_of(int64_t queries) { return (queries + kTileWidth - 1) / kTileWidth; }

/// Which keys the queries of a panel see, vector by vector.
class Sight {
 public:
  Sight(const AttentionShape& z, const Run& panel, const Run& tile) : tile_(tile) {
    const hn::RebindToSigned<D> d;
    HWY_ALIGN int32_t own[kTileWidth];
    std::fill_n(own, kTileWidth, -1);
    if (panel.numbers) std::copy_n(panel.numbers, panel.count, own);
    for (int64_t v = 0; v < kTileVectors; ++v) {
      const auto place = static_cast<int32_t>(z.last_key(panel.begin) - tile.begin);
      last_[v] = z.options.causal ? hn::Iota(d, place + static_cast<int32_t>(v * kLanes))
                                  : hn::Set(d, place);
      before_[v] = z.options.window > 0
                       ? hn::Sub(last_[v], hn::Set(d, static_cast<int32_t>(z.options.window)))
                       : hn::Set(d, -1);
      own_[v] = hn::Load(d, own + v * kLanes);
    }
  }
  /// Which queries of vector `v` see `key`, counted from the tile's first.
  HWY_INLINE hn::Mask<D> of(int64_t v, int64_t key) const {
    const hn::RebindToSigned<D> d;
    const I k = hn::Set(d, static_cast<int32_t>(key));
    auto seen = hn::AndNot(hn::Gt(k, last_[v]), hn::Gt(k, before_[v]));
    if (tile_.numbers)  // -2: a key of padding is like nobody's, not even like padding
      seen = hn::And(seen,
                     hn::Eq(own_[v], hn::Set(d, tile_.numbers[key] < 0 ? -2 : tile_.numbers[key])));
    return hn::RebindMask(D(), seen);
  }

 private:
  const Run& tile_;
  I last_[kTileVectors], before_[kTileVectors], own_[kTileVectors];  // before_: the first not seen
};

/// scores[key][query] of a panel and the keys of a tile that it meets: q k^T by the factor.
template <typename Format>
HWY_INLINE void Products(const float* keys, const Meeting& meeting, const float* queries,
                         int64_t width, float factor, float* products) {
  for (int64_t key = meeting.begin; key < meeting.end; key += kTileRows)
    RegisterTile<Format, kTileVectors, false>(Across{keys + key, kScoreRows}, 0,
                                              cells<Format>(width), queries, kTileWidth,
                                              products + key * kTileWidth, kTileWidth, factor);
}

template <typename Format, typename Left>
HWY_INLINE void AddRows(Left left, int64_t begin, int64_t end, const float* rows, int64_t padded,
                        bool finite, float* sums) {
  if (finite)
    TileProduct<Format>(left, begin, end, rows, padded, padded, sums, padded);
  else
    CarefulProduct<Format>(left, begin, end, rows, padded, padded, sums, padded);
}

/// sums[query][:] += weights[key][query]^T rows[key][:], where weights are cells along the keys
template <typename Format>
HWY_INLINE void AddByQueries(const AttentionShape& z, const Run& panel, const Run& tile,
                             const Meeting& meeting, const float* weights, const float* rows,
                             bool finite, float* sums) {
  for (int64_t i = 0; i < panel.count; i += kTileRows) {
    const int64_t last = panel.begin + std::min(i + kTileRows, panel.count) - 1;
    const int64_t begin = std::max(meeting.begin, z.first_key(panel.begin + i) - tile.begin),
                  end = std::min(meeting.end, z.last_key(last) + 1 - tile.begin);
    if (begin < end)
      AddRows<Format>(Across{weights + i, kTileWidth}, begin / Format::kNumbers, cells<Format>(end),
                      rows, z.padded(), finite, sums + i * z.padded());
  }
}

/// sums[key][:] += weights[key][query] rows[query][:], where weights are cells along the queries
template <typename Format>
HWY_INLINE void AddByKeys(const AttentionShape& z, const Run& panel, const Meeting& meeting,
                          const float* weights, const float* rows, bool finite, float* sums) {
  constexpr int64_t kStep = kTileWidth / Format::kNumbers;
  for (int64_t key = meeting.begin; key < meeting.end; key += kTileRows)
    AddRows<Format>(Along<kStep>{weights + key * kStep}, 0, cells<Format>(panel.count), rows,
                    z.padded(), finite, sums + key * z.padded());
}

/// 2^x as near as the numbers of the format ask for.
template <typename Format>
HWY_INLINE V Power(V x) {
  return Format::kNumbers == 2 ? exp2_quick(x) : exp2(x);
}

/// Stores row[j] * factor, which row[j] becomes, as the narrow function does.
HWY_INLINE void StoreRow(const AttentionData& a, float* row, float factor, int64_t width,
                         std::byte* to) {
  const D d;
  const V f = hn::Set(d, factor);
  for (int64_t j = 0; j < width; j += kLanes)  // rows are padded
    hn::StoreU(hn::Mul(hn::LoadU(d, row + j), f), d, row + j);
  a.narrow(row, to, static_cast<size_t>(width));
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
