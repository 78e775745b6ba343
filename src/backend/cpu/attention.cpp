#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/attention.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Attention by tiles: a block of queries meets a tile of keys, the softmax is kept up to date as
// the tiles pass, and the score matrix never exists. The gradient computes the scores again, once
// by queries (dq) and once by keys (dk, dv), so that no two threads add to one place and results do
// not depend on their number.
#ifndef ARGOSY_ATTENTION_SHAPES
#define ARGOSY_ATTENTION_SHAPES
namespace argosy::cpu {

constexpr int64_t kQueries = 32, kKeys = 64;  // a block and a tile
constexpr int64_t kWidest = 16;               // floats in the longest vector

struct AttentionShape {
  int64_t b, t, s, h, g, d;
  bool causal;
  float scale;

  int64_t padded() const { return (d + kWidest - 1) / kWidest * kWidest; }
  int64_t blocks() const { return (t + kQueries - 1) / kQueries; }
  int64_t tiles() const { return (s + kKeys - 1) / kKeys; }
  /// Keys that query `i` sees.
  int64_t visible(int64_t i) const { return causal ? s - t + i + 1 : s; }
  size_t query(int64_t batch, int64_t i, int64_t head) const {
    return static_cast<size_t>(((batch * t + i) * h + head) * d);
  }
  size_t key(int64_t batch, int64_t i, int64_t group) const {
    return static_cast<size_t>(((batch * s + i) * g + group) * d);
  }
  size_t row(int64_t batch, int64_t head, int64_t i) const {
    return static_cast<size_t>((batch * h + head) * t + i);
  }
};

struct AttentionData {
  const float *dy, *q, *k, *v, *y, *lse;
  float *out, *lse_out, *through, *dq, *dk, *dv;
};

}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// Memory of one thread, cut into pieces.
class Scratch {
 public:
  explicit Scratch(float* memory) : free_(memory) {}
  float* take(int64_t floats) {
    float* piece = free_;
    free_ += floats;
    return piece;
  }

 private:
  float* free_;
};

/// rows[i] for i < n as [n, padded], zeros behind.
void PackRows(const float* from, size_t step, int64_t n, const AttentionShape& z, float* to) {
  for (int64_t i = 0; i < n; ++i, to += z.padded()) {
    std::copy_n(from + static_cast<size_t>(i) * step, z.d, to);
    std::fill(to + z.d, to + z.padded(), 0.0f);
  }
}

/// The same rows as columns: [d, kKeys], zeros behind.
void PackColumns(const float* from, size_t step, int64_t n, const AttentionShape& z, float* to) {
  for (int64_t d = 0; d < z.d; ++d) {
    for (int64_t i = 0; i < n; ++i) to[d * kKeys + i] = from[static_cast<size_t>(i) * step + d];
    std::fill(to + d * kKeys + n, to + (d + 1) * kKeys, 0.0f);
  }
}

/// out[k] = factor * sum_d row[d] columns[d][k]
HWY_INLINE void Products(const float* row, const float* columns, int64_t width, float factor,
                         float* out) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V f = hn::Set(d, factor);
  for (int64_t k = 0; k < kKeys; k += 2 * lanes) {
    V a = hn::Zero(d), b = a;
    const bool two = k + lanes < kKeys;
    for (int64_t i = 0; i < width; ++i) {
      const V x = hn::Set(d, row[i]);
      a = hn::MulAdd(x, hn::LoadU(d, columns + i * kKeys + k), a);
      if (two) b = hn::MulAdd(x, hn::LoadU(d, columns + i * kKeys + k + lanes), b);
    }
    hn::StoreU(hn::Mul(a, f), d, out + k);
    if (two) hn::StoreU(hn::Mul(b, f), d, out + k + lanes);
  }
}

/// out[d] = out[d] * keep + sum_i weights[i * step] rows[i][d] over n rows of `width`
HWY_INLINE void Blend(const float* weights, int64_t step, const float* rows, int64_t n,
                      int64_t width, float keep, float* out) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const V kept = hn::Set(d, keep);
  for (int64_t j = 0; j < width; j += 2 * lanes) {
    const bool two = j + lanes < width;
    V a = hn::Mul(kept, hn::LoadU(d, out + j));
    V b = two ? hn::Mul(kept, hn::LoadU(d, out + j + lanes)) : hn::Zero(d);
    for (int64_t i = 0; i < n; ++i) {
      const V w = hn::Set(d, weights[i * step]);
      a = hn::MulAdd(w, hn::LoadU(d, rows + i * width + j), a);
      if (two) b = hn::MulAdd(w, hn::LoadU(d, rows + i * width + j + lanes), b);
    }
    hn::StoreU(a, d, out + j);
    if (two) hn::StoreU(b, d, out + j + lanes);
  }
}

/// x[k] = e^(x[k] - shift) for all kKeys; the sum.
HWY_INLINE float Exponentials(float* x, float shift) {
  const D d;
  const V s = hn::Set(d, shift);
  V total = hn::Zero(d);
  for (int64_t k = 0; k < kKeys; k += static_cast<int64_t>(hn::Lanes(d))) {
    const V e = exp(hn::Sub(hn::LoadU(d, x + k), s));
    total = hn::Add(total, e);
    hn::StoreU(e, d, x + k);
  }
  return hn::GetLane(hn::SumOfLanes(d, total));
}

/// ds = p * (dp - through) * scale
HWY_INLINE void ScoreGradients(const float* p, const float* dp, float through, float scale,
                               float* ds) {
  const D d;
  const V t = hn::Set(d, through), f = hn::Set(d, scale);
  for (int64_t k = 0; k < kKeys; k += static_cast<int64_t>(hn::Lanes(d)))
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, p + k), hn::Sub(hn::LoadU(d, dp + k), t)), f), d,
               ds + k);
}

constexpr float kNothing = -std::numeric_limits<float>::infinity();

/// Scores of one query for the tile at `first`; keys it does not see get -infinity. False if it
/// sees none.
HWY_INLINE bool Scores(const AttentionShape& z, int64_t query, int64_t first, const float* q,
                       const float* columns, float* scores) {
  const int64_t seen = std::min(kKeys, z.visible(query) - first);
  if (seen <= 0) return false;
  Products(q, columns, z.d, z.scale, scores);
  std::fill(scores + seen, scores + kKeys, kNothing);
  return true;
}

int64_t ForwardScratch(const AttentionShape& z) {
  return kKeys * z.d + kKeys * z.padded() + kQueries * z.padded() + kKeys + 2 * kQueries;
}

void Forward(const AttentionShape& z, const AttentionData& a, int64_t item, float* memory) {
  const int64_t block = item % z.blocks(), head = item / z.blocks() % z.h,
                batch = item / z.blocks() / z.h, group = head / (z.h / z.g);
  const int64_t begin = block * kQueries, n = std::min(kQueries, z.t - begin);
  Scratch scratch(memory);
  float *columns = scratch.take(kKeys * z.d), *values = scratch.take(kKeys * z.padded()),
        *sums = scratch.take(kQueries * z.padded()), *scores = scratch.take(kKeys),
        *tops = scratch.take(kQueries), *totals = scratch.take(kQueries);
  std::fill_n(sums, kQueries * z.padded(), 0.0f);
  std::fill_n(tops, kQueries, kNothing);
  std::fill_n(totals, kQueries, 0.0f);
  const auto step = static_cast<size_t>(z.g * z.d);
  for (int64_t first = 0; first < z.visible(begin + n - 1); first += kKeys) {
    const int64_t keys = std::min(kKeys, z.s - first);
    PackColumns(a.k + z.key(batch, first, group), step, keys, z, columns);
    PackRows(a.v + z.key(batch, first, group), step, keys, z, values);
    for (int64_t i = 0; i < n; ++i) {
      if (!Scores(z, begin + i, first, a.q + z.query(batch, begin + i, head), columns, scores))
        continue;
      // beyond the tile there are no keys: their scores do not count
      std::fill(scores + keys, scores + kKeys, kNothing);
      float top = tops[i];
      for (int64_t k = 0; k < keys; ++k) top = std::max(top, scores[k]);
      const float keep = tops[i] == top ? 1.0f : std::exp(tops[i] - top);
      totals[i] = totals[i] * keep + Exponentials(scores, top);
      tops[i] = top;
      Blend(scores, 1, values, keys, z.padded(), keep, sums + i * z.padded());
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    float* y = a.out + z.query(batch, begin + i, head);
    for (int64_t d = 0; d < z.d; ++d) y[d] = sums[i * z.padded() + d] / totals[i];
    a.lse_out[z.row(batch, head, begin + i)] = tops[i] + std::log(totals[i]);
  }
}

int64_t GradientScratch(const AttentionShape& z) {
  return 2 * kKeys * z.d + kKeys * z.padded() + 2 * kQueries * z.padded() + 2 * kKeys * z.padded() +
         2 * kQueries * kKeys + kKeys;
}

/// dq of a block of queries, and dy . y of each of them.
void GradientByQueries(const AttentionShape& z, const AttentionData& a, int64_t item,
                       float* memory) {
  const int64_t block = item % z.blocks(), head = item / z.blocks() % z.h,
                batch = item / z.blocks() / z.h, group = head / (z.h / z.g);
  const int64_t begin = block * kQueries, n = std::min(kQueries, z.t - begin);
  Scratch scratch(memory);
  float *keys_across = scratch.take(kKeys * z.d), *values_across = scratch.take(kKeys * z.d),
        *keys_along = scratch.take(kKeys * z.padded()), *dq = scratch.take(kQueries * z.padded()),
        *p = scratch.take(kKeys), *dp = scratch.take(kKeys);
  std::fill_n(dq, kQueries * z.padded(), 0.0f);
  for (int64_t i = 0; i < n; ++i) {
    const float *dy = a.dy + z.query(batch, begin + i, head),
                *y = a.y + z.query(batch, begin + i, head);
    double through = 0;
    for (int64_t d = 0; d < z.d; ++d) through += static_cast<double>(dy[d]) * y[d];
    a.through[z.row(batch, head, begin + i)] = static_cast<float>(through);
  }
  const auto step = static_cast<size_t>(z.g * z.d);
  for (int64_t first = 0; first < z.visible(begin + n - 1); first += kKeys) {
    const int64_t keys = std::min(kKeys, z.s - first);
    PackColumns(a.k + z.key(batch, first, group), step, keys, z, keys_across);
    PackColumns(a.v + z.key(batch, first, group), step, keys, z, values_across);
    PackRows(a.k + z.key(batch, first, group), step, keys, z, keys_along);
    for (int64_t i = 0; i < n; ++i) {
      const size_t at = z.query(batch, begin + i, head), row = z.row(batch, head, begin + i);
      if (!Scores(z, begin + i, first, a.q + at, keys_across, p)) continue;
      Exponentials(p, a.lse[row]);
      Products(a.dy + at, values_across, z.d, 1, dp);
      ScoreGradients(p, dp, a.through[row], z.scale, p);
      Blend(p, 1, keys_along, keys, z.padded(), 1, dq + i * z.padded());
    }
  }
  for (int64_t i = 0; i < n; ++i)
    std::copy_n(dq + i * z.padded(), z.d, a.dq + z.query(batch, begin + i, head));
}

/// dk and dv of a tile of keys, from all heads of its group.
void GradientByKeys(const AttentionShape& z, const AttentionData& a, int64_t item, float* memory) {
  const int64_t tile = item % z.tiles(), group = item / z.tiles() % z.g,
                batch = item / z.tiles() / z.g;
  const int64_t first = tile * kKeys, keys = std::min(kKeys, z.s - first);
  Scratch scratch(memory);
  float *keys_across = scratch.take(kKeys * z.d), *values_across = scratch.take(kKeys * z.d),
        *queries = scratch.take(kQueries * z.padded()),
        *grads = scratch.take(kQueries * z.padded()), *dk = scratch.take(kKeys * z.padded()),
        *dv = scratch.take(kKeys * z.padded()), *p = scratch.take(kQueries * kKeys),
        *ds = scratch.take(kQueries * kKeys);
  std::fill_n(dk, kKeys * z.padded(), 0.0f);
  std::fill_n(dv, kKeys * z.padded(), 0.0f);
  const auto step = static_cast<size_t>(z.g * z.d), query_step = static_cast<size_t>(z.h * z.d);
  PackColumns(a.k + z.key(batch, first, group), step, keys, z, keys_across);
  PackColumns(a.v + z.key(batch, first, group), step, keys, z, values_across);
  for (int64_t head = group * (z.h / z.g); head < (group + 1) * (z.h / z.g); ++head)
    for (int64_t begin = 0; begin < z.t; begin += kQueries) {
      const int64_t n = std::min(kQueries, z.t - begin);
      if (z.visible(begin + n - 1) <= first) continue;
      PackRows(a.q + z.query(batch, begin, head), query_step, n, z, queries);
      PackRows(a.dy + z.query(batch, begin, head), query_step, n, z, grads);
      for (int64_t i = 0; i < n; ++i) {
        float *weights = p + i * kKeys, *changes = ds + i * kKeys;
        const size_t row = z.row(batch, head, begin + i);
        if (!Scores(z, begin + i, first, queries + i * z.padded(), keys_across, weights)) {
          std::fill_n(weights, kKeys, 0.0f);
          std::fill_n(changes, kKeys, 0.0f);
          continue;
        }
        Exponentials(weights, a.lse[row]);
        Products(grads + i * z.padded(), values_across, z.d, 1, changes);
        ScoreGradients(weights, changes, a.through[row], z.scale, changes);
      }
      for (int64_t k = 0; k < keys; ++k) {
        Blend(ds + k, kKeys, queries, n, z.padded(), 1, dk + k * z.padded());
        Blend(p + k, kKeys, grads, n, z.padded(), 1, dv + k * z.padded());
      }
    }
  for (int64_t k = 0; k < keys; ++k) {
    std::copy_n(dk + k * z.padded(), z.d, a.dk + z.key(batch, first + k, group));
    std::copy_n(dv + k * z.padded(), z.d, a.dv + z.key(batch, first + k, group));
  }
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(ForwardScratch);
HWY_EXPORT(Forward);
HWY_EXPORT(GradientScratch);
HWY_EXPORT(GradientByQueries);
HWY_EXPORT(GradientByKeys);

namespace {

std::optional<AttentionShape> shape_of(const KernelRequest& request, size_t first) {
  for (const Type& type : request.in)
    if (type.dtype != DType::f32) return {};
  const Shape &q = request.in[first].shape, &k = request.in[first + 1].shape;
  return AttentionShape{.b = q[0],
                        .t = q[1],
                        .s = k[1],
                        .h = q[2],
                        .g = k[2],
                        .d = q[3],
                        .causal = request.attributes.get<bool>("causal"),
                        .scale = static_cast<float>(request.attributes.get<double>("scale"))};
}

/// This thread's memory of at least so many floats; it grows to the largest and stays.
float* thread_memory(int64_t floats) {
  static thread_local std::vector<float> memory;
  if (memory.size() < static_cast<size_t>(floats)) memory.resize(static_cast<size_t>(floats));
  return memory.data();
}

}  // namespace

std::optional<Kernel> make_attention(const KernelRequest& request) {
  const auto shape = shape_of(request, 0);
  if (!shape) return {};
  return Kernel{.run = [z = *shape](KernelArgs& k) {
    const AttentionData data = {.q = k.in(0).data(),
                                .k = k.in(1).data(),
                                .v = k.in(2).data(),
                                .out = k.out(0).data(),
                                .lse_out = k.out(1).data()};
    parallel_for(z.b * z.h * z.blocks(), 1, [&](int64_t begin, int64_t end) {
      float* memory = thread_memory(HWY_DYNAMIC_DISPATCH(ForwardScratch)(z));
      for (int64_t item = begin; item < end; ++item)
        HWY_DYNAMIC_DISPATCH(Forward)(z, data, item, memory);
    });
  }};
}

std::optional<Kernel> make_attention_gradient(const KernelRequest& request) {
  const auto shape = shape_of(request, 1);
  if (!shape) return {};
  return Kernel{
      .run =
          [z = *shape](KernelArgs& k) {
            const AttentionData data = {.dy = k.in(0).data(),
                                        .q = k.in(1).data(),
                                        .k = k.in(2).data(),
                                        .v = k.in(3).data(),
                                        .y = k.in(4).data(),
                                        .lse = k.in(5).data(),
                                        .through = reinterpret_cast<float*>(k.workspace),
                                        .dq = k.out(0).data(),
                                        .dk = k.out(1).data(),
                                        .dv = k.out(2).data()};
            const int64_t floats = HWY_DYNAMIC_DISPATCH(GradientScratch)(z);
            parallel_for(z.b * z.h * z.blocks(), 1, [&](int64_t begin, int64_t end) {
              for (int64_t item = begin; item < end; ++item)
                HWY_DYNAMIC_DISPATCH(GradientByQueries)(z, data, item, thread_memory(floats));
            });
            parallel_for(z.b * z.g * z.tiles(), 1, [&](int64_t begin, int64_t end) {
              for (int64_t item = begin; item < end; ++item)
                HWY_DYNAMIC_DISPATCH(GradientByKeys)(z, data, item, thread_memory(floats));
            });
          },
      .workspace_bytes = static_cast<size_t>(shape->b * shape->h * shape->t) * sizeof(float)};
}

}  // namespace argosy::cpu
#endif
