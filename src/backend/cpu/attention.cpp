#include <algorithm>
#include <cmath>

#include "backend/cpu/attention_parts.h"
#include "backend/cpu/kernels.h"
#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/attention_tiles-inl.h"

// Attention by tiles: a panel of queries, which lie side by side in vectors, meets a tile of keys.
// Scores [key, query] are a small product, the softmax runs down the lanes and is kept up to date
// as the tiles pass, and the score matrix never exists. The gradient computes the scores again.
// Every number has one order of summation, however the work is cut, so results do not depend on
// the number of threads.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// Products become scores times log2(e): bent by the soft cap, -infinity where not seen.
HWY_INLINE void Scores(const AttentionShape& z, const Meeting& meeting, const Sight& sight,
                       float* scores) {
  const D d;
  const bool capped = z.options.soft_cap > 0;
  if (!capped && !meeting.masked) return;
  const V cap = hn::Set(d, z.cap()), nothing = hn::Set(d, kNothing);
  for (int64_t key = meeting.begin; key < meeting.end; ++key)
    for (int64_t v = 0; v < kTileVectors; ++v) {
      float* at = scores + key * kTileWidth + v * kLanes;
      V x = hn::LoadU(d, at);
      if (capped) x = hn::Mul(cap, tanh_quick(x));
      if (meeting.masked) x = hn::IfThenElse(sight.of(v, key), x, nothing);
      hn::StoreU(x, d, at);
    }
}

/// A panel's softmax so far: the highest score and the sum of 2^(score - highest) of each query.
struct Softmax {
  float *tops, *totals;  // [kTileWidth]

  /// Takes in the scores of a tile, which become weights, cells along the keys; the sums of earlier
  /// weights are to be multiplied by keep[query]. False if that is 1 for all.
  template <typename Format>
  HWY_INLINE bool add(const Meeting& meeting, float* scores, float* keep) const {
    const D d;
    bool changed = false;
    V shift[kTileVectors], sum[kTileVectors];  // in registers once the loops are unrolled
#pragma GCC unroll 4
    for (int64_t v = 0; v < kTileVectors; ++v) {
      const float* x = scores + v * kLanes;
      const V old = hn::LoadU(d, tops + v * kLanes);
      V top = old, other = old;  // two chains, since each step waits for the one before
      int64_t key = meeting.begin;
      for (; key + 2 <= meeting.end; key += 2) {
        top = hn::Max(top, hn::LoadU(d, x + key * kTileWidth));
        other = hn::Max(other, hn::LoadU(d, x + (key + 1) * kTileWidth));
      }
      if (key < meeting.end) top = hn::Max(top, hn::LoadU(d, x + key * kTileWidth));
      top = hn::Max(top, other);
      // who has seen nothing yet gets weights of 0, not the NaN of infinity - infinity
      shift[v] = hn::IfThenElse(hn::Eq(top, hn::Set(d, kNothing)), hn::Zero(d), top);
      const V kept = Power<Format>(hn::Sub(old, shift[v]));
      changed |= !hn::AllTrue(d, hn::Eq(kept, hn::Set(d, 1.0f)));
      sum[v] = hn::Mul(hn::LoadU(d, totals + v * kLanes), kept);
      hn::StoreU(kept, d, keep + v * kLanes);
      hn::StoreU(top, d, tops + v * kLanes);
    }
    constexpr int64_t kNumbers = Format::kNumbers;
    for (int64_t cell = meeting.begin / kNumbers; cell < cells<Format>(meeting.end); ++cell)
#pragma GCC unroll 4
      for (int64_t v = 0; v < kTileVectors; ++v) {
        const auto weight = [&](int64_t key) {
          if (kNumbers > 1 && (key < meeting.begin || key >= meeting.end)) return hn::Zero(d);
          const V x = hn::LoadU(d, scores + key * kTileWidth + v * kLanes);
          const V w = Power<Format>(hn::Sub(x, shift[v]));
          sum[v] = hn::Add(sum[v], w);
          return w;
        };
        float* to = scores + cell * kTileWidth + v * kLanes;
        const V first = weight(cell * kNumbers);
        if constexpr (kNumbers == 1)
          hn::StoreU(first, d, to);
        else
          hn::StoreU(Format::pair(first, weight(cell * kNumbers + 1)), d, to);
      }
#pragma GCC unroll 4
    for (int64_t v = 0; v < kTileVectors; ++v) hn::StoreU(sum[v], d, totals + v * kLanes);
    return changed;
  }
};

/// rows[i][:] *= factors[i]
HWY_INLINE void ScaleRows(const float* factors, int64_t n, int64_t width, float* rows) {
  const D d;
  for (int64_t i = 0; i < n; ++i, rows += width)
    for (int64_t j = 0; j < width; j += kLanes)
      hn::StoreU(hn::Mul(hn::LoadU(d, rows + j), hn::Set(d, factors[i])), d, rows + j);
}

/// y and the log-sum-exp of a part; returns the floats of memory that it needs. Without memory it
/// does nothing else.
template <typename Format, typename Element>
int64_t ForwardOf(const AttentionShape& z, const AttentionData& a, const AttentionPart& part,
                  float* memory) {
  const int64_t panels = panels_of(part.query_end - part.query_begin),
                all = panels * (part.head_end - part.head_begin), padded = z.padded(),
                deep = cells<Format>(z.d);
  const auto *q = reinterpret_cast<const Element*>(a.q), *k = reinterpret_cast<const Element*>(a.k),
             *v = reinterpret_cast<const Element*>(a.v);
  Scratch scratch(memory);
  float *keys = scratch.take(kScoreRows * (deep + 1)), *values = scratch.take(kKeys * padded),
        *scores = scratch.take(kScoreRows * kTileWidth),
        *queries = scratch.take(all * deep * kTileWidth),
        *sums = scratch.take(all * kTileWidth * padded), *tops = scratch.take(all * kTileWidth),
        *totals = scratch.take(all * kTileWidth), *keep = scratch.take(kTileWidth);
  if (!memory) return scratch.used();
  const auto panel_at = [&](int64_t p) {
    const int64_t begin = part.query_begin + p % panels * kTileWidth;
    return Run::of_queries(z, a, part.batch, begin, std::min(kTileWidth, part.query_end - begin));
  };
  std::fill_n(sums, all * kTileWidth * padded, 0.0f);
  std::fill_n(tops, all * kTileWidth, kNothing);
  std::fill_n(totals, all * kTileWidth, 0.0f);
  for (int64_t p = 0; p < all; ++p) {
    const Run panel = panel_at(p);
    float* to = queries + p * deep * kTileWidth;
    if (panel.count < kTileWidth) std::fill_n(to, deep * kTileWidth, 0.0f);
    PackColumns<Format>(q + z.query(part.batch, panel.begin, part.head_begin + p / panels),
                        z.query_step(), panel.count, z.d, to, kTileWidth);
  }
  const Run block =
      Run::of_queries(z, a, part.batch, part.query_begin, part.query_end - part.query_begin);
  const int64_t end = std::min(part.key_end, z.last_key(part.query_end - 1) + 1);
  for (int64_t first = z.first_key(part.query_begin) / kKeys * kKeys; first < end; first += kKeys) {
    const Run tile = Run::of_keys(z, a, part.batch, first, std::min(kKeys, z.s - first));
    if (Meeting(z, block, tile).empty()) continue;
    const int64_t at = z.key(part.batch, first, part.group);
    PackColumns<Format>(k + at, z.key_step(), tile.count, z.d, keys, kScoreRows);
    const bool finite = PackRows<Format>(v + at, z.key_step(), tile.count, z.d, padded, values);
    for (int64_t p = 0; p < all; ++p) {
      const Run panel = panel_at(p);
      const Meeting meeting(z, panel, tile);
      if (meeting.empty()) continue;
      Products<Format>(keys, meeting, queries + p * deep * kTileWidth, z.d, z.query_factor(),
                       scores);
      Scores(z, meeting, Sight(z, panel, tile), scores);
      float* sum = sums + p * kTileWidth * padded;
      const Softmax softmax{tops + p * kTileWidth, totals + p * kTileWidth};
      if (softmax.add<Format>(meeting, scores, keep)) ScaleRows(keep, panel.count, padded, sum);
      AddByQueries<Format>(z, panel, tile, meeting, scores, values, finite, sum);
    }
  }
  for (int64_t p = 0; p < all; ++p) {
    const Run panel = panel_at(p);
    const int64_t head = part.head_begin + p / panels;
    for (int64_t i = 0; i < panel.count; ++i) {
      const float total = totals[p * kTileWidth + i], factor = total == 0 ? 0 : 1 / total;
      StoreRow(a, sums + (p * kTileWidth + i) * padded, factor, z.d,
               a.out + z.query(part.batch, panel.begin + i, head) * sizeof(Element));
      a.lse_out[z.row(part.batch, head, panel.begin + i)] =
          tops[p * kTileWidth + i] * kLn2 + std::log(total);
    }
  }
  return scratch.used();
}

int64_t Forward(const AttentionShape& z, const AttentionData& a, const AttentionPart& part,
                float* memory) {
  if (!a.bf16) return ForwardOf<Singles, float>(z, a, part, memory);
#if ARGOSY_HAVE_PAIRS
  if (has_pairs()) return ForwardOf<Pairs, BFloat16>(z, a, part, memory);
#endif
  return ForwardOf<Singles, BFloat16>(z, a, part, memory);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(Forward);

std::optional<Kernel> make_attention(const KernelRequest& request) {
  if (request.in[0].elements() == 0) return {};
  const AttentionShape z(request, 0, 3);
  const DType dtype = request.in[0].dtype;
  const AttentionSweep sweep(z, dtype, HWY_DYNAMIC_DISPATCH(Forward),
                             {.heads = heads_together(z), .queries = kQueries, .keys = z.s});
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      AttentionData data(dtype);
                      data.q = k.in_bytes[0], data.k = k.in_bytes[1], data.v = k.in_bytes[2];
                      data.out = k.out_bytes[0], data.lse_out = k.out(1).data();
                      data.read_segments(k, 3);
                      sweep.run(data, k.workspace);
                    },
                .workspace_bytes = sweep.workspace_bytes()};
}

}  // namespace argosy::cpu
#endif
