#include <algorithm>
#include <cmath>

#include "backend/cpu/attention_parts.h"
#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/tile_products-inl.h"

// Attention by tiles: a panel of queries, which lie side by side in vectors, meets a tile of keys.
// Scores [key, query] are a small product, the softmax runs down the lanes and is kept up to date
// as the tiles pass, and the score matrix never exists. The gradient computes the scores again.
// Every number has one order of summation, however the work is cut, so results do not depend on
// the number of threads.
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

int64_t panels_of(int64_t queries) { return (queries + kTileWidth - 1) / kTileWidth; }

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

/// products[key][query] of a panel and the keys of a tile that it meets.
HWY_INLINE void Products(const float* keys, const Meeting& meeting, const float* queries,
                         int64_t width, float* products) {
  for (int64_t key = meeting.begin; key < meeting.end; key += kTileRows)
    RegisterTile<kTileVectors, false>(Across{keys + key, kScoreRows}, 0, width, queries, kTileWidth,
                                      products + key * kTileWidth, kTileWidth);
}

/// sums[query][:] += weights[key][query]^T rows[key][:]
HWY_INLINE void AddByQueries(const AttentionShape& z, const Run& panel, const Run& tile,
                             const Meeting& meeting, const float* weights, const float* rows,
                             bool finite, float* sums) {
  for (int64_t i = 0; i < panel.count; i += kTileRows) {
    const int64_t last = panel.begin + std::min(i + kTileRows, panel.count) - 1;
    const int64_t begin = std::max(meeting.begin, z.first_key(panel.begin + i) - tile.begin),
                  end = std::min(meeting.end, z.last_key(last) + 1 - tile.begin);
    if (begin >= end) continue;
    const Across left{weights + i, kTileWidth};
    float* sum = sums + i * z.padded();
    if (finite)
      TileProduct<true>(left, begin, end, rows, z.padded(), z.padded(), sum, z.padded());
    else
      CarefulProduct(left, begin, end, rows, z.padded(), z.padded(), sum, z.padded());
  }
}

/// sums[key][:] += weights[key][query] rows[query][:]
HWY_INLINE void AddByKeys(const AttentionShape& z, const Run& panel, const Meeting& meeting,
                          const float* weights, const float* rows, bool finite, float* sums) {
  for (int64_t key = meeting.begin; key < meeting.end; key += kTileRows) {
    const Along<kTileWidth> left{weights + key * kTileWidth};
    float* sum = sums + key * z.padded();
    if (finite)
      TileProduct<true>(left, 0, panel.count, rows, z.padded(), z.padded(), sum, z.padded());
    else
      CarefulProduct(left, 0, panel.count, rows, z.padded(), z.padded(), sum, z.padded());
  }
}

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

  /// Takes in the scores of a tile, which become weights; the sums of earlier weights are to be
  /// multiplied by keep[query]. False if that is 1 for all.
  HWY_INLINE bool add(const Meeting& meeting, float* scores, float* keep) const {
    const D d;
    bool changed = false;
    V shift[kTileVectors], sum[kTileVectors];
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
      const V kept = exp2(hn::Sub(old, shift[v]));
      changed |= !hn::AllTrue(d, hn::Eq(kept, hn::Set(d, 1.0f)));
      sum[v] = hn::Mul(hn::LoadU(d, totals + v * kLanes), kept);
      hn::StoreU(kept, d, keep + v * kLanes);
      hn::StoreU(top, d, tops + v * kLanes);
    }
    for (int64_t key = meeting.begin; key < meeting.end; ++key)
      for (int64_t v = 0; v < kTileVectors; ++v) {
        float* at = scores + key * kTileWidth + v * kLanes;
        const V weight = exp2(hn::Sub(hn::LoadU(d, at), shift[v]));
        sum[v] = hn::Add(sum[v], weight);
        hn::StoreU(weight, d, at);
      }
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

/// to[j] = row[j] * factor, or adds that
template <bool kAdd>
HWY_INLINE void PutRow(const float* row, float factor, int64_t width, float* to) {
  const D d;
  const V f = hn::Set(d, factor);
  for_vectors(
      static_cast<size_t>(width),
      [&](size_t j) {
        const V x = hn::LoadU(d, row + j);
        hn::StoreU(kAdd ? hn::MulAdd(x, f, hn::LoadU(d, to + j)) : hn::Mul(x, f), d, to + j);
      },
      [&](size_t j) { to[j] = (kAdd ? to[j] : 0.0f) + row[j] * factor; });
}

HWY_INLINE float Dot(const float* x, const float* y, int64_t width) {
  const D d;
  V sum = hn::Zero(d);
  float rest = 0;
  for_vectors(
      static_cast<size_t>(width),
      [&](size_t j) { sum = hn::MulAdd(hn::LoadU(d, x + j), hn::LoadU(d, y + j), sum); },
      [&](size_t j) { rest += x[j] * y[j]; });
  return rest + hn::GetLane(hn::SumOfLanes(d, sum));
}

/// y and the log-sum-exp of a part; returns the floats of memory that it needs. Without memory it
/// does nothing else.
int64_t Forward(const AttentionShape& z, const AttentionData& a, const AttentionPart& part,
                float* memory) {
  const int64_t panels = panels_of(part.query_end - part.query_begin),
                all = panels * (part.head_end - part.head_begin), padded = z.padded();
  Scratch scratch(memory);
  float *keys = scratch.take(kScoreRows * (z.d + 1)), *values = scratch.take(kKeys * padded),
        *scores = scratch.take(kScoreRows * kTileWidth),
        *queries = scratch.take(all * z.d * kTileWidth),
        *sums = scratch.take(all * kTileWidth * padded), *tops = scratch.take(all * kTileWidth),
        *totals = scratch.take(all * kTileWidth), *keep = scratch.take(kTileWidth);
  if (!memory) return scratch.used();
  const auto panel_at = [&](int64_t p) {
    const int64_t begin = part.query_begin + p % panels * kTileWidth;
    return Run(z, a, part.batch, begin, std::min(kTileWidth, part.query_end - begin));
  };
  std::fill_n(sums, all * kTileWidth * padded, 0.0f);
  std::fill_n(tops, all * kTileWidth, kNothing);
  std::fill_n(totals, all * kTileWidth, 0.0f);
  for (int64_t p = 0; p < all; ++p) {
    const Run panel = panel_at(p);
    float* to = queries + p * z.d * kTileWidth;
    if (panel.count < kTileWidth) std::fill_n(to, z.d * kTileWidth, 0.0f);
    PackColumns(a.q + z.query(part.batch, panel.begin, part.head_begin + p / panels),
                z.query_step(), panel.count, z.d, z.query_factor(), to, kTileWidth);
  }
  const Run block(z, a, part.batch, part.query_begin, part.query_end - part.query_begin);
  const int64_t end = std::min(part.key_end, z.last_key(part.query_end - 1) + 1);
  for (int64_t first = z.first_key(part.query_begin) / kKeys * kKeys; first < end; first += kKeys) {
    const Run tile(z, a, part.batch, first, std::min(kKeys, z.s - first));
    if (Meeting(z, block, tile).empty()) continue;
    const int64_t at = z.key(part.batch, first, part.group);
    PackColumns(a.k + at, z.key_step(), tile.count, z.d, 1, keys, kScoreRows);
    const bool finite = PackRows(a.v + at, z.key_step(), tile.count, z.d, padded, 1, values);
    for (int64_t p = 0; p < all; ++p) {
      const Run panel = panel_at(p);
      const Meeting meeting(z, panel, tile);
      if (meeting.empty()) continue;
      Products(keys, meeting, queries + p * z.d * kTileWidth, z.d, scores);
      Scores(z, meeting, Sight(z, panel, tile), scores);
      float* sum = sums + p * kTileWidth * padded;
      const Softmax softmax{tops + p * kTileWidth, totals + p * kTileWidth};
      if (softmax.add(meeting, scores, keep)) ScaleRows(keep, panel.count, padded, sum);
      AddByQueries(z, panel, tile, meeting, scores, values, finite, sum);
    }
  }
  for (int64_t p = 0; p < all; ++p) {
    const Run panel = panel_at(p);
    const int64_t head = part.head_begin + p / panels;
    for (int64_t i = 0; i < panel.count; ++i) {
      const float total = totals[p * kTileWidth + i], factor = total == 0 ? 0 : 1 / total;
      const float* sum = sums + (p * kTileWidth + i) * padded;
      PutRow<false>(sum, factor, z.d, a.out + z.query(part.batch, panel.begin + i, head));
      a.lse_out[z.row(part.batch, head, panel.begin + i)] =
          tops[p * kTileWidth + i] * kLn2 + std::log(total);
    }
  }
  return scratch.used();
}

/// What the gradient needs of a panel's queries.
struct GradientPanel {
  float *queries, *grads;         // [d, kTileWidth]: q by its factor, dy
  float *query_rows, *grad_rows;  // [kTileWidth, padded]: q scale, dy
  float *lse, *through, *dq;      // lse log2(e); dy . y; [kTileWidth, padded]
  float* finite;                  // 1 or 0: of q, of dy

  GradientPanel(const AttentionShape& z, Scratch& scratch)
      : queries(scratch.take(z.d * kTileWidth)),
        grads(scratch.take(z.d * kTileWidth)),
        query_rows(scratch.take(kTileWidth * z.padded())),
        grad_rows(scratch.take(kTileWidth * z.padded())),
        lse(scratch.take(kTileWidth)),
        through(scratch.take(kTileWidth)),
        dq(scratch.take(kTileWidth * z.padded())),
        finite(scratch.take(2)) {}

  void load(const AttentionShape& z, const AttentionData& a, int64_t batch, int64_t head,
            const Run& panel) const {
    const int64_t at = z.query(batch, panel.begin, head), step = z.query_step();
    if (panel.count < kTileWidth) {
      std::fill_n(queries, z.d * kTileWidth, 0.0f);
      std::fill_n(grads, z.d * kTileWidth, 0.0f);
    }
    PackColumns(a.q + at, step, panel.count, z.d, z.query_factor(), queries, kTileWidth);
    PackColumns(a.dy + at, step, panel.count, z.d, 1, grads, kTileWidth);
    finite[0] = PackRows(a.q + at, step, panel.count, z.d, z.padded(), z.scale(), query_rows);
    finite[1] = PackRows(a.dy + at, step, panel.count, z.d, z.padded(), 1, grad_rows);
    std::fill_n(dq, kTileWidth * z.padded(), 0.0f);
    for (int64_t i = 0; i < kTileWidth; ++i) {
      const bool there = i < panel.count;
      const float sum = there ? a.lse[z.row(batch, head, panel.begin + i)] : kNothing;
      // who sees nothing gets weights of 0, not the infinite 2^(x + infinity)
      lse[i] = sum == kNothing ? -kNothing : sum * kLog2E;
      through[i] = 0;
    }
    for (int64_t i = 0; i < panel.count; ++i) {
      const float *dy = a.dy + at + i * step, *y = a.y + at + i * step;
      through[i] = Dot(dy, y, z.d);
    }
  }
};

/// Products of q and k become weights p; products of dy and v become gradients of q k^T without
/// the scale: p (dp - dy . y), times the soft cap's slope.
HWY_INLINE void ScoreGradients(const AttentionShape& z, const Meeting& meeting, const Sight& sight,
                               const GradientPanel& panel, float* weights, float* changes) {
  const D d;
  const bool capped = z.options.soft_cap > 0;
  const V cap = hn::Set(d, z.cap()), one = hn::Set(d, 1.0f);
  V lse[kTileVectors], through[kTileVectors];
  for (int64_t v = 0; v < kTileVectors; ++v) {
    lse[v] = hn::LoadU(d, panel.lse + v * kLanes);
    through[v] = hn::LoadU(d, panel.through + v * kLanes);
  }
  for (int64_t key = meeting.begin; key < meeting.end; ++key)
    for (int64_t v = 0; v < kTileVectors; ++v) {
      float *weight = weights + key * kTileWidth + v * kLanes,
            *change = changes + key * kTileWidth + v * kLanes;
      V score = hn::LoadU(d, weight), slope = one;
      if (capped) {
        const V bent = tanh_quick(score);
        score = hn::Mul(cap, bent);
        slope = hn::NegMulAdd(bent, bent, one);
      }
      V p = exp2(hn::Sub(score, lse[v]));
      if (meeting.masked) p = hn::IfThenElseZero(sight.of(v, key), p);
      V ds = hn::Mul(p, hn::Sub(hn::LoadU(d, change), through[v]));
      if (capped) ds = hn::Mul(ds, slope);
      hn::StoreU(p, d, weight);
      hn::StoreU(hn::IfThenZeroElse(hn::Eq(p, hn::Zero(d)), ds), d, change);
    }
  // register tiles reach beyond the last key
  for (float* rows : {weights, changes})
    std::fill_n(rows + meeting.end * kTileWidth, (kTileRows - 1) * kTileWidth, 0.0f);
}

/// dq, or dk and dv, or all three of a part; returns the floats of memory that it needs. Without
/// memory it does nothing else.
int64_t Gradient(const AttentionShape& z, const AttentionData& a, const AttentionPart& part,
                 float* memory) {
  const int64_t padded = z.padded(), panels = panels_of(part.query_end - part.query_begin);
  Scratch scratch(memory);
  float *keys = scratch.take(kScoreRows * (z.d + 1)),
        *values = scratch.take(kScoreRows * (z.d + 1)), *key_rows = scratch.take(kKeys * padded),
        *weights = scratch.take(kScoreRows * kTileWidth),
        *changes = scratch.take(kScoreRows * kTileWidth), *dk = scratch.take(kScoreRows * padded),
        *dv = scratch.take(kScoreRows * padded);
  const int64_t before = scratch.used();
  GradientPanel(z, scratch);
  const int64_t each = scratch.used() - before;
  if (!memory) return before + panels * each;
  const auto panel_at = [&](int64_t p) {
    Scratch piece(memory + before + p * each);
    return GradientPanel(z, piece);
  };
  const auto run_at = [&](int64_t p) {
    const int64_t begin = part.query_begin + p * kTileWidth;
    return Run(z, a, part.batch, begin, std::min(kTileWidth, part.query_end - begin));
  };
  const Run block(z, a, part.batch, part.query_begin, part.query_end - part.query_begin);
  for (int64_t head = part.head_begin; head < part.head_end; ++head) {
    for (int64_t p = 0; p < panels; ++p) panel_at(p).load(z, a, part.batch, head, run_at(p));
    for (int64_t first = part.key_begin; first < part.key_end; first += kKeys) {
      const Run tile(z, a, part.batch, first, std::min(kKeys, z.s - first));
      const bool met = !Meeting(z, block, tile).empty();
      if (!met && !part.gives_dkv) continue;
      const int64_t at = z.key(part.batch, first, part.group), step = z.key_step();
      std::fill_n(dk, tile.count * padded, 0.0f);
      std::fill_n(dv, tile.count * padded, 0.0f);
      bool finite = true;
      if (met) {
        PackColumns(a.k + at, step, tile.count, z.d, 1, keys, kScoreRows);
        PackColumns(a.v + at, step, tile.count, z.d, 1, values, kScoreRows);
        finite = PackRows(a.k + at, step, tile.count, z.d, padded, 1, key_rows);
      }
      for (int64_t p = 0; met && p < panels; ++p) {
        const Run run = run_at(p);
        const Meeting meeting(z, run, tile);
        if (meeting.empty()) continue;
        const GradientPanel panel = panel_at(p);
        Products(keys, meeting, panel.queries, z.d, weights);
        Products(values, meeting, panel.grads, z.d, changes);
        ScoreGradients(z, meeting, Sight(z, run, tile), panel, weights, changes);
        if (part.gives_dq) AddByQueries(z, run, tile, meeting, changes, key_rows, finite, panel.dq);
        if (part.gives_dkv) {
          AddByKeys(z, run, meeting, changes, panel.query_rows, panel.finite[0] == 1, dk);
          AddByKeys(z, run, meeting, weights, panel.grad_rows, panel.finite[1] == 1, dv);
        }
      }
      const bool starts = head == part.group * z.heads_per_group();
      for (int64_t i = 0; part.gives_dkv && i < tile.count; ++i)
        for (const auto& [sums, to] : {std::pair(dk, a.dk), std::pair(dv, a.dv)}) {
          const float* sum = sums + i * padded;
          starts ? PutRow<false>(sum, 1, z.d, to + at + i * step)
                 : PutRow<true>(sum, 1, z.d, to + at + i * step);
        }
    }
    for (int64_t p = 0; part.gives_dq && p < panels; ++p) {
      const Run run = run_at(p);
      for (int64_t i = 0; i < run.count; ++i)
        PutRow<false>(panel_at(p).dq + i * padded, z.scale(), z.d,
                      a.dq + z.query(part.batch, run.begin + i, head));
    }
  }
  return scratch.used();
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(Forward);
HWY_EXPORT(Gradient);

namespace {

constexpr int64_t kKeyBlock = 4 * kKeys;  // keys of a part that gives dk and dv alone

/// `shape` of q and k from operand `first` on; nothing for types that the kernels do not take.
std::optional<AttentionShape> shape_of(const KernelRequest& request, size_t first,
                                       size_t segments) {
  for (size_t i = 0; i < segments; ++i)
    if (request.in[i].dtype != DType::f32) return {};
  const Shape &q = request.in[first].shape, &k = request.in[first + 1].shape;
  ops::AttentionOptions options = ops::attention_options(request.attributes);
  if (options.window >= k[1]) options.window = 0;  // longer than any past; vectors count in int32
  return AttentionShape{.b = q[0],
                        .t = q[1],
                        .s = k[1],
                        .h = q[2],
                        .g = k[2],
                        .d = q[3],
                        .options = options,
                        .segmented = request.in.size() > segments};
}

using Work = int64_t (*)(const AttentionShape&, const AttentionData&, const AttentionPart&, float*);

/// This thread's memory of at least so many floats, from a cache line on; it grows to the largest
/// and stays.
float* thread_memory(int64_t floats) {
  static thread_local std::vector<float> memory;
  const size_t needed = static_cast<size_t>(floats) + kWidest;
  if (memory.size() < needed) memory = std::vector<float>(needed);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + (64 - address % 64) % 64 / sizeof(float);
}

/// Item `i` of `n`, the first, the last, the second and so on: with causal attention neighbours
/// make pairs of equal work.
int64_t from_both_ends(int64_t i, int64_t n) { return i % 2 == 0 ? i / 2 : n - 1 - i / 2; }

/// Runs `work` on parts of one group each: its heads cut by `heads`, its queries by `queries`, its
/// keys by `keys`. `like` says what they give.
void run_parts(const AttentionShape& z, const AttentionData& data, Work work, int64_t heads,
               int64_t queries, int64_t keys, const AttentionPart& like) {
  const auto pieces = [](int64_t n, int64_t size) { return (n + size - 1) / size; };
  const int64_t blocks = pieces(z.t, queries), shares = pieces(z.heads_per_group(), heads),
                tiles = pieces(z.s, keys);
  parallel_for(z.b * z.g * shares * blocks * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      int64_t left = item;
      const auto next = [&](int64_t n) {
        const int64_t at = left % n;
        left /= n;
        return at;
      };
      AttentionPart part = like;
      part.query_begin = from_both_ends(next(blocks), blocks) * queries;
      part.query_end = std::min(z.t, part.query_begin + queries);
      part.key_begin = from_both_ends(next(tiles), tiles) * keys;
      part.key_end = std::min(z.s, part.key_begin + keys);
      const int64_t share = next(shares);
      part.group = next(z.g);
      part.batch = left;
      part.head_begin = part.group * z.heads_per_group() + share * heads;
      part.head_end = std::min(part.head_begin + heads, (part.group + 1) * z.heads_per_group());
      work(z, data, part, thread_memory(work(z, data, part, nullptr)));
    }
  });
}

/// The group's heads stay together, so that they share what is packed of keys and values, unless
/// that leaves too few parts for the threads.
int64_t heads_together(const AttentionShape& z) {
  return z.b * z.g * z.blocks() >= 4 * thread_count() ? z.heads_per_group() : 1;
}

void run_gradient(const AttentionShape& z, const AttentionData& data) {
  const Work work = HWY_DYNAMIC_DISPATCH(Gradient);
  // At once where that keeps the threads busy, else dq and then dk with dv, at the price of
  // computing the scores twice. Both ways give the same bits.
  const int64_t groups = z.b * z.g, threads = thread_count();
  const int64_t rounds = (groups + threads - 1) / threads;
  if (groups * 7 >= rounds * threads * 5) {
    run_parts(z, data, work, z.heads_per_group(), z.t, z.s, {.gives_dq = true, .gives_dkv = true});
    return;
  }
  run_parts(z, data, work, heads_together(z), kQueries, z.s, {.gives_dq = true});
  run_parts(z, data, work, z.heads_per_group(), z.t, kKeyBlock, {.gives_dkv = true});
}

}  // namespace

std::optional<Kernel> make_attention(const KernelRequest& request) {
  const auto shape = shape_of(request, 0, 3);
  if (!shape) return {};
  return Kernel{.run = [z = *shape](KernelArgs& k) {
    const AttentionData data = {.q = k.in(0).data(),
                                .k = k.in(1).data(),
                                .v = k.in(2).data(),
                                .segments = z.segmented ? k.in<int32_t>(3).data() : nullptr,
                                .out = k.out(0).data(),
                                .lse_out = k.out(1).data()};
    run_parts(z, data, HWY_DYNAMIC_DISPATCH(Forward), heads_together(z), kQueries, z.s, {});
  }};
}

std::optional<Kernel> make_attention_gradient(const KernelRequest& request) {
  const auto shape = shape_of(request, 1, 6);
  if (!shape) return {};
  return Kernel{.run = [z = *shape](KernelArgs& k) {
    const AttentionData data = {.dy = k.in(0).data(),
                                .q = k.in(1).data(),
                                .k = k.in(2).data(),
                                .v = k.in(3).data(),
                                .y = k.in(4).data(),
                                .lse = k.in(5).data(),
                                .segments = z.segmented ? k.in<int32_t>(6).data() : nullptr,
                                .dq = k.out(0).data(),
                                .dk = k.out(1).data(),
                                .dv = k.out(2).data()};
    run_gradient(z, data);
  }};
}

}  // namespace argosy::cpu
#endif
