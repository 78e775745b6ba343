#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/attention_parts.h"
#include "backend/cpu/kernels.h"
#include "base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention_gradient.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/attention_tiles-inl.h"

// The gradient of attention by tiles, as attention.cpp: the scores are computed again.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

template <typename Element>
HWY_INLINE float Dot(const Element* x, const Element* y, int64_t width) {
  const D d;
  V sum = hn::Zero(d);
  float rest = 0;
  for_vectors(
      static_cast<size_t>(width),
      [&](size_t j) { sum = hn::MulAdd(LoadNumbers(d, x + j), LoadNumbers(d, y + j), sum); },
      [&](size_t j) { rest += static_cast<float>(x[j]) * static_cast<float>(y[j]); });
  return rest + hn::GetLane(hn::SumOfLanes(d, sum));
}

/// What the gradient needs of a panel's queries.
template <typename Format, typename Element>
struct GradientPanel {
  float *queries, *grads;         // columns of cells: q, dy
  float *query_rows, *grad_rows;  // cells along the queries: q, dy
  float *lse, *through, *dq;      // lse log2(e); dy . y; [kTileWidth, padded]
  float* finite;                  // 1 or 0: of q, of dy

  GradientPanel(const AttentionShape& z, Scratch& scratch)
      : queries(scratch.take(cells<Format>(z.d) * kTileWidth)),
        grads(scratch.take(cells<Format>(z.d) * kTileWidth)),
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
      std::fill_n(queries, cells<Format>(z.d) * kTileWidth, 0.0f);
      std::fill_n(grads, cells<Format>(z.d) * kTileWidth, 0.0f);
    }
    const auto *q = reinterpret_cast<const Element*>(a.q) + at,
               *dy = reinterpret_cast<const Element*>(a.dy) + at,
               *y = reinterpret_cast<const Element*>(a.y) + at;
    PackColumns<Format>(q, step, panel.count, z.d, queries, kTileWidth);
    PackColumns<Format>(dy, step, panel.count, z.d, grads, kTileWidth);
    finite[0] = PackRows<Format>(q, step, panel.count, z.d, z.padded(), query_rows);
    finite[1] = PackRows<Format>(dy, step, panel.count, z.d, z.padded(), grad_rows);
    std::fill_n(dq, kTileWidth * z.padded(), 0.0f);
    for (int64_t i = 0; i < kTileWidth; ++i) {
      const bool there = i < panel.count;
      const float sum = there ? a.lse[z.row(batch, head, panel.begin + i)] : kNothing;
      // who sees nothing gets weights of 0, not the infinite 2^(x + infinity)
      lse[i] = sum == kNothing ? -kNothing : sum * kLog2E;
      through[i] = 0;
    }
    for (int64_t i = 0; i < panel.count; ++i) through[i] = Dot(dy + i * step, y + i * step, z.d);
  }
};

/// Where ScoreGradients leaves weights p and gradients ds of the scores, as cells.
struct ScoreGrads {
  float *weights, *changes;   // along the queries
  float* changes_by_queries;  // along the keys
};

/// Scores and products of dy and v, which stand in `scores` and `products`, become weights p and
/// gradients of q k^T without the scale: p (dp - dy . y), times the soft cap's slope.
template <typename Format, typename Panel>
HWY_INLINE void ScoreGradients(const AttentionShape& z, const Meeting& meeting, const Sight& sight,
                               const Panel& panel, const float* scores, const float* products,
                               const ScoreGrads& to) {
  const D d;
  const bool capped = z.options.soft_cap > 0;
  const V cap = hn::Set(d, z.cap()), one = hn::Set(d, 1.0f);
  V lse[kTileVectors], through[kTileVectors];  // in registers once the loops are unrolled
#pragma GCC unroll 4
  for (int64_t v = 0; v < kTileVectors; ++v) {
    lse[v] = hn::LoadU(d, panel.lse + v * kLanes);
    through[v] = hn::LoadU(d, panel.through + v * kLanes);
  }
  // ds of one key and vector of queries; p in `weight`
  const auto change = [&](int64_t key, int64_t v, V& weight) HWY_ATTR {
    V score = hn::LoadU(d, scores + key * kTileWidth + v * kLanes), slope = one;
    if (capped) {
      const V bent = tanh_quick(score);
      score = hn::Mul(cap, bent);
      slope = hn::NegMulAdd(bent, bent, one);
    }
    weight = Power<Format>(hn::Sub(score, lse[v]));
    if (meeting.masked) weight = hn::IfThenElseZero(sight.of(v, key), weight);
    V ds = hn::LoadU(d, products + key * kTileWidth + v * kLanes);
    ds = hn::Mul(weight, hn::Sub(ds, through[v]));
    if (capped) ds = hn::Mul(ds, slope);
    return hn::IfThenZeroElse(hn::Eq(weight, hn::Zero(d)), ds);
  };
  if constexpr (Format::kNumbers == 1) {
    for (int64_t key = meeting.begin; key < meeting.end; ++key)
#pragma GCC unroll 4
      for (int64_t v = 0; v < kTileVectors; ++v) {
        const int64_t at = key * kTileWidth + v * kLanes;
        V weight;
        hn::StoreU(change(key, v, weight), d, to.changes + at);
        hn::StoreU(weight, d, to.weights + at);
      }
  } else {
    static_assert(Format::kNumbers == 1 || kTileVectors == 2);
    for (int64_t cell = meeting.begin / 2; cell < cells<Format>(meeting.end); ++cell) {
      V ds[2][2];  // of two keys and two vectors of queries
#pragma GCC unroll 2
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t key = 2 * cell + i;
        if (key < meeting.begin || key >= meeting.end) {
          ds[i][0] = ds[i][1] = hn::Zero(d);
          continue;
        }
        V first, second;
        ds[i][0] = change(key, 0, first);
        ds[i][1] = change(key, 1, second);
        hn::StoreU(Format::join(first, second), d, to.weights + key * kLanes);
        hn::StoreU(Format::join(ds[i][0], ds[i][1]), d, to.changes + key * kLanes);
      }
#pragma GCC unroll 2
      for (int64_t v = 0; v < 2; ++v)
        hn::StoreU(Format::pair(ds[0][v], ds[1][v]), d,
                   to.changes_by_queries + cell * kTileWidth + v * kLanes);
    }
  }
  // register tiles reach beyond the last key
  constexpr int64_t kStep = kTileWidth / Format::kNumbers;
  for (float* rows : {to.weights, to.changes})
    std::fill_n(rows + meeting.end * kStep, (kTileRows - 1) * kStep, 0.0f);
}

/// Queries of a head that are packed at a time: so many that packing keys for each such block is
/// little beside what is computed with them.
constexpr int64_t kLoadedQueries = 8 * kQueries;

/// dq, or dk and dv, or all three of a part; returns the floats of memory that it needs. Without
/// memory it does nothing else.
template <typename Format, typename Element>
int64_t GradientOf(const AttentionShape& z, const AttentionData& a, const AttentionPart& part,
                   float* memory) {
  const int64_t padded = z.padded(), queries = part.query_end - part.query_begin,
                blocks = (queries + kLoadedQueries - 1) / kLoadedQueries,
                rounds = (part.head_end - part.head_begin) * blocks,
                most_panels = panels_of(std::min(queries, kLoadedQueries)),
                deep = cells<Format>(z.d);
  // several rounds add to the sums of all the part's keys
  const bool shared = part.gives_dkv && rounds > 1;
  const int64_t summed =
      (shared ? (part.key_end - part.key_begin + kKeys - 1) / kKeys * kKeys : kKeys) + kTileRows;
  const auto *k = reinterpret_cast<const Element*>(a.k), *v = reinterpret_cast<const Element*>(a.v);
  using Panel = GradientPanel<Format, Element>;
  Scratch scratch(memory);
  float *keys = scratch.take(kScoreRows * (deep + 1)),
        *values = scratch.take(kScoreRows * (deep + 1)), *key_rows = scratch.take(kKeys * padded),
        *scores = scratch.take(kScoreRows * kTileWidth),
        *products = scratch.take(kScoreRows * kTileWidth), *all_dk = scratch.take(summed * padded),
        *all_dv = scratch.take(summed * padded);
  ScoreGrads grads{scores, products, products};
  if constexpr (Format::kNumbers > 1)
    grads = {scratch.take(kScoreRows * kLanes), scratch.take(kScoreRows * kLanes), scores};
  const int64_t before = scratch.used();
  Panel(z, scratch);
  const int64_t each = scratch.used() - before;
  if (!memory) return before + most_panels * each;
  const auto panel_at = [&](int64_t p) {
    Scratch piece(memory + before + p * each);
    return Panel(z, piece);
  };
  for (int64_t round = 0; round < rounds; ++round) {
    const int64_t head = part.head_begin + round / blocks,
                  query_begin = part.query_begin + round % blocks * kLoadedQueries,
                  query_end = std::min(part.query_end, query_begin + kLoadedQueries),
                  panels = panels_of(query_end - query_begin);
    const auto run_at = [&](int64_t p) {
      const int64_t begin = query_begin + p * kTileWidth;
      return Run::of_queries(z, a, part.batch, begin, std::min(kTileWidth, query_end - begin));
    };
    const Run block = Run::of_queries(z, a, part.batch, query_begin, query_end - query_begin);
    for (int64_t p = 0; p < panels; ++p) panel_at(p).load(z, a, part.batch, head, run_at(p));
    for (int64_t first = part.key_begin; first < part.key_end; first += kKeys) {
      const Run tile = Run::of_keys(z, a, part.batch, first, std::min(kKeys, z.s - first));
      const bool met = !Meeting(z, block, tile).empty();
      if (!met && !part.gives_dkv) continue;
      const int64_t at = z.key(part.batch, first, part.group), step = z.key_step();
      const int64_t row = shared ? (first - part.key_begin) * padded : 0;
      float *dk = all_dk + row, *dv = all_dv + row;
      if (!shared || round == 0) {
        std::fill_n(dk, tile.count * padded, 0.0f);
        std::fill_n(dv, tile.count * padded, 0.0f);
      }
      bool finite = true;
      if (met) {
        PackColumns<Format>(k + at, step, tile.count, z.d, keys, kScoreRows);
        PackColumns<Format>(v + at, step, tile.count, z.d, values, kScoreRows);
        finite = PackRows<Format>(k + at, step, tile.count, z.d, padded, key_rows);
      }
      for (int64_t p = 0; met && p < panels; ++p) {
        const Run run = run_at(p);
        const Meeting meeting(z, run, tile);
        if (meeting.empty()) continue;
        const Panel panel = panel_at(p);
        Products<Format>(keys, meeting, panel.queries, z.d, z.query_factor(), scores);
        Products<Format>(values, meeting, panel.grads, z.d, 1, products);
        ScoreGradients<Format>(z, meeting, Sight(z, run, tile), panel, scores, products, grads);
        if (part.gives_dq)
          AddByQueries<Format>(z, run, tile, meeting, grads.changes_by_queries, key_rows, finite,
                               panel.dq);
        if (part.gives_dkv) {
          AddByKeys<Format>(z, run, meeting, grads.changes, panel.query_rows, panel.finite[0] == 1,
                            dk);
          AddByKeys<Format>(z, run, meeting, grads.weights, panel.grad_rows, panel.finite[1] == 1,
                            dv);
        }
      }
      if (!part.gives_dkv || round + 1 < rounds) continue;
      for (int64_t i = 0; i < tile.count; ++i) {
        const size_t place = static_cast<size_t>(at + i * step) * sizeof(Element);
        StoreRow(a, dk + i * padded, z.scale(), z.d, a.dk + place);
        StoreRow(a, dv + i * padded, 1, z.d, a.dv + place);
      }
    }
    for (int64_t p = 0; part.gives_dq && p < panels; ++p) {
      const Run run = run_at(p);
      for (int64_t i = 0; i < run.count; ++i)
        StoreRow(a, panel_at(p).dq + i * padded, z.scale(), z.d,
                 a.dq + z.query(part.batch, run.begin + i, head) * sizeof(Element));
    }
  }
  return scratch.used();
}

int64_t Gradient(const AttentionShape& z, const AttentionData& a, const AttentionPart& part,
                 float* memory) {
  if (!a.bf16) return GradientOf<Singles, float>(z, a, part, memory);
#if ARGOSY_HAVE_PAIRS
  if (has_pairs()) return GradientOf<Pairs, BFloat16>(z, a, part, memory);
#endif
  return GradientOf<Singles, BFloat16>(z, a, part, memory);
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(Gradient);

namespace {

constexpr int64_t kKeyBlock = 4 * kKeys;  // keys of a part that gives dk and dv alone

std::vector<AttentionSweep> sweeps_of(const AttentionShape& z, DType dtype) {
  const AttentionWork work = HWY_DYNAMIC_DISPATCH(Gradient);
  const int64_t heads = z.heads_per_group();
  // At once where that keeps the threads busy, else dq and then dk with dv, at the price of
  // computing the scores twice. Both ways give the same bits.
  const int64_t groups = z.b * z.g, threads = thread_count();
  const int64_t rounds = (groups + threads - 1) / threads;
  if (groups * 7 >= rounds * threads * 5)
    return {{z, dtype, work, {heads, z.t, z.s}, {.gives_dq = true, .gives_dkv = true}}};
  return {{z, dtype, work, {heads_together(z), kQueries, z.s}, {.gives_dq = true}},
          {z, dtype, work, {heads, z.t, kKeyBlock}, {.gives_dkv = true}}};
}

}  // namespace

std::optional<Kernel> make_attention_gradient(const KernelRequest& request) {
  if (request.in[0].elements() == 0) return {};
  const DType dtype = request.in[0].dtype;
  const std::vector<AttentionSweep> sweeps = sweeps_of(AttentionShape(request, 1, 6), dtype);
  Kernel kernel{.run = [=](KernelArgs& k) {
    AttentionData data(dtype);
    data.dy = k.in_bytes[0], data.q = k.in_bytes[1], data.k = k.in_bytes[2];
    data.v = k.in_bytes[3], data.y = k.in_bytes[4], data.lse = k.in(5).data();
    data.dq = k.out_bytes[0], data.dk = k.out_bytes[1], data.dv = k.out_bytes[2];
    data.read_segments(k, 6);
    for (const AttentionSweep& sweep : sweeps) sweep.run(data, k.workspace);
  }};
  for (const AttentionSweep& sweep : sweeps)
    kernel.workspace_bytes = std::max(kernel.workspace_bytes, sweep.workspace_bytes());
  return kernel;
}

}  // namespace argosy::cpu
#endif
