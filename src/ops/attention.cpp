#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/ops.h"

// Scaled dot-product attention on q [B, T, H, D], k and v [B, S, G, D] with H a multiple of G
// (grouped query heads). The score matrix is never kept; the gradient recomputes it from the
// log-sum-exp. A key that a query does not see, or whose weight is 0, adds nothing to it, not even
// the NaN of 0 * infinity: what is not finite stays in the rows that see it.
namespace argosy::ops {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

/// What the attributes and operands of one attention say.
struct Attention {
  int64_t b, t, s, h, g, d;
  AttentionOptions options;
  const int32_t* segments = nullptr;      ///< [B, T]; null: one segment
  const int32_t* key_segments = nullptr;  ///< [B, S]

  Attention(const Shape& q, const Shape& k, const Attributes& attributes)
      : b(q[0]),
        t(q[1]),
        s(k[1]),
        h(q[2]),
        g(k[2]),
        d(q[3]),
        options(attention_options(attributes)) {}
  /// The last query stands at the last key.
  int64_t last_key(int64_t query) const { return options.causal ? s - t + query : s - 1; }
  int64_t first_key(int64_t query) const {
    return options.window > 0 ? std::max<int64_t>(0, last_key(query) - options.window + 1) : 0;
  }
  bool sees(int64_t batch, int64_t query, int64_t key) const {
    if (key < first_key(query) || key > last_key(query)) return false;
    if (!segments) return true;
    const int32_t own = segments[batch * t + query];
    return own >= 0 && key_segments[batch * s + key] == own;
  }
  /// Segments, and perhaps those of the keys, stand from operand `first` on.
  void read_segments(const KernelArgs& a, size_t first) {
    if (a.in_types.size() <= first) return;
    segments = a.in<int32_t>(first).data();
    key_segments = a.in_types.size() > first + 1 ? a.in<int32_t>(first + 1).data() : segments;
  }
  size_t query_at(int64_t batch, int64_t query, int64_t head) const {
    return static_cast<size_t>(((batch * t + query) * h + head) * d);
  }
  size_t key_at(int64_t batch, int64_t key, int64_t head) const {
    return static_cast<size_t>(((batch * s + key) * g + head / (h / g)) * d);
  }
  size_t row(int64_t batch, int64_t head, int64_t query) const {
    return static_cast<size_t>((batch * h + head) * t + query);
  }
  template <typename Visit>
  void for_each_query(Visit visit) const {
    for (int64_t batch = 0; batch < b; ++batch)
      for (int64_t head = 0; head < h; ++head)
        for (int64_t query = 0; query < t; ++query) visit(batch, head, query);
  }
};

/// The types of y and the log-sum-exp for q, k and v, which stand from operand `first` on, and
/// perhaps segments from `segments` on.
std::vector<Type> outputs_of(const InferArgs& args, size_t first, size_t segments) {
  args.require(args.in.size() >= segments && args.in.size() <= segments + 2,
               "needs q, k, v and perhaps segments and the keys' segments");
  const Types in = args.in.subspan(first, 3);
  const Shape &q = in[0].shape, &k = in[1].shape;
  args.require(q.size() == 4 && k.size() == 4 && in[2].shape == k,
               "needs q [B, T, H, D] and k, v [B, S, G, D]");
  args.require(q[0] == k[0] && q[3] == k[3] && k[2] > 0 && q[2] % k[2] == 0,
               "batches, widths or heads do not fit");
  for (const Type& type : in)
    args.require(is_floating(type.dtype) && type.dtype == in[0].dtype,
                 "operands need one real dtype");
  args.require(k[1] > 0, "there are no keys");
  const AttentionOptions options = attention_options(args.attributes);
  args.require(!options.causal || q[1] <= k[1], "causal attention to a shorter past");
  args.require(options.window >= 0 && (options.window == 0 || options.causal),
               "a window needs causal attention and at least one key");
  args.require(options.soft_cap >= 0, "soft_cap is negative");
  if (args.in.size() > segments)
    args.require(args.in[segments] == Type{DType::i32, {q[0], q[1]}}, "segments are i32 [B, T]");
  if (args.in.size() == segments + 1)
    args.require(q[1] == k[1], "segments need T = S, or the keys' segments beside them");
  if (args.in.size() == segments + 2)
    args.require(args.in[segments + 1] == Type{DType::i32, {k[0], k[1]}},
                 "the keys' segments are i32 [B, S]");
  return {in[0], {DType::f32, {q[0], q[2], q[1]}}};
}

std::vector<Type> infer(const InferArgs& args) { return outputs_of(args, 0, 3); }

std::vector<Tensor> gradient(const GradArgs& g) {
  std::vector operands = {g.output_grad(0), g.input(0),  g.input(1),
                          g.input(2),       g.output(0), g.output(1)};
  for (size_t i = 3; i < g.inputs(); ++i) operands.push_back(g.input(i));
  std::vector<Tensor> grads = g.input(0).graph().add(attention_gradient, operands, g.attributes());
  grads.resize(g.inputs());  // segments have none
  return grads;
}

double dot(const float* a, const float* b, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(a[i]) * b[i];
  return total;
}

/// A score, and its slope: what it changes when the product of q and k does.
struct Score {
  double value, slope;
};

Score score_of(const AttentionOptions& options, double product) {
  const double plain = options.scale * product;
  if (options.soft_cap == 0) return {plain, options.scale};
  const double bent = std::tanh(plain / options.soft_cap);
  return {options.soft_cap * bent, options.scale * (1 - bent * bent)};
}

void reference(KernelArgs& a) {
  Attention z(a.shape(0), a.shape(1), a.attributes);
  const auto q = a.in(0), k = a.in(1), v = a.in(2);
  z.read_segments(a, 3);
  z.for_each_query([&](int64_t b, int64_t h, int64_t t) {
    std::vector<double> scores(static_cast<size_t>(z.s), kNothing), y(static_cast<size_t>(z.d));
    double top = kNothing;
    for (int64_t s = 0; s < z.s; ++s) {
      if (!z.sees(b, t, s)) continue;
      double& score = scores[static_cast<size_t>(s)];
      score = score_of(z.options,
                       dot(q.data() + z.query_at(b, t, h), k.data() + z.key_at(b, s, h), z.d))
                  .value;
      top = std::max(top, score);
    }
    const double shift = top == kNothing ? 0 : top;
    double total = 0;
    for (int64_t s = 0; s < z.s; ++s) {
      const double weight = std::exp(scores[static_cast<size_t>(s)] - shift);
      if (weight == 0) continue;
      total += weight;
      for (size_t d = 0; d < y.size(); ++d) y[d] += weight * v[z.key_at(b, s, h) + d];
    }
    for (size_t d = 0; d < y.size(); ++d)
      a.out(0)[z.query_at(b, t, h) + d] = total == 0 ? 0 : static_cast<float>(y[d] / total);
    a.out(1)[z.row(b, h, t)] = static_cast<float>(top + std::log(total));
  });
}

std::vector<Type> infer_gradient(const InferArgs& args) {
  args.require(args.in.size() >= 6, "needs dy, q, k, v, y and the log-sum-exp");
  const std::vector<Type> outputs = outputs_of(args, 1, 6);
  args.require(args.in[0] == args.in[1] && args.in[4] == outputs[0] && args.in[5] == outputs[1],
               "needs dy, q, k, v, y and the log-sum-exp [B, H, T]");
  return {args.in[1], args.in[2], args.in[3]};
}

// p = exp(score - lse); dv = p^T dy; dp = dy v^T; dscore = p (dp - dy . y); dq = slope dscore k, dk
// = slope dscore^T q
void gradient_reference(KernelArgs& a) {
  Attention z(a.shape(1), a.shape(2), a.attributes);
  const auto dy = a.in(0), q = a.in(1), k = a.in(2), v = a.in(3), y = a.in(4), lse = a.in(5);
  z.read_segments(a, 6);
  std::vector<double> dq(q.size()), dk(k.size()), dv(v.size());
  z.for_each_query([&](int64_t b, int64_t h, int64_t t) {
    const size_t row = z.query_at(b, t, h);
    const double through = dot(dy.data() + row, y.data() + row, z.d), total = lse[z.row(b, h, t)];
    if (total == kNothing) return;  // saw nothing
    for (int64_t s = 0; s < z.s; ++s) {
      if (!z.sees(b, t, s)) continue;
      const size_t key = z.key_at(b, s, h);
      const Score score = score_of(z.options, dot(q.data() + row, k.data() + key, z.d));
      const double p = std::exp(score.value - total);
      if (p == 0) continue;
      const double change = score.slope * p * (dot(dy.data() + row, v.data() + key, z.d) - through);
      for (size_t d = 0; d < static_cast<size_t>(z.d); ++d) {
        dv[key + d] += p * dy[row + d];
        dq[row + d] += change * k[key + d];
        dk[key + d] += change * q[row + d];
      }
    }
  });
  std::copy(dq.begin(), dq.end(), a.out(0).begin());
  std::copy(dk.begin(), dk.end(), a.out(1).begin());
  std::copy(dv.begin(), dv.end(), a.out(2).begin());
}

/// `per_product` for each number of q and each key that its query sees (all of one segment).
double flops(const Shape& q, const Shape& k, const Attributes& attributes, double per_product) {
  const Attention z(q, k, attributes);
  double seen = 0;
  for (int64_t t = 0; t < z.t; ++t) seen += static_cast<double>(z.last_key(t) - z.first_key(t) + 1);
  return per_product * seen * static_cast<double>(z.b * z.h * z.d);
}

Attributes options(bool causal, int64_t window = 0, double soft_cap = 0) {
  return {{"causal", causal}, {"scale", 0.5}, {"window", window}, {"soft_cap", soft_cap}};
}

/// Attention within segments 0, 1 and 2, as they fall; with `s` the keys have their own.
Sample packed(Sample sample, int64_t b, int64_t t, int64_t s = 0) {
  sample.inputs.push_back({DType::i32, {b, t}});
  if (s > 0) sample.inputs.push_back({DType::i32, {b, s}});
  sample.index_limit = 3;
  return sample;
}

/// As the forward pass would leave it: a log-sum-exp of nothing would let probabilities overflow.
Sample gradient_sample(int64_t t, int64_t s, int64_t h, int64_t g, int64_t d, int64_t window = 0,
                       double soft_cap = 0) {
  Attributes attributes = options(true, window, soft_cap);
  attributes.set("scale", 0.25);
  Sample result =
      sample({{1, t, h, d}, {1, t, h, d}, {1, s, g, d}, {1, s, g, d}, {1, t, h, d}, {1, h, t}},
             attributes);
  result.low = -1, result.high = 1;
  return result;
}

}  // namespace

AttentionOptions attention_options(const Attributes& attributes) {
  return {.causal = attributes.get<bool>("causal"),
          .scale = attributes.get<double>("scale"),
          .window = attributes.get<int64_t>("window"),
          .soft_cap = attributes.get<double>("soft_cap")};
}

extern const OpDef attention = {
    .name = "attention",
    .formula =
        "y = softmax(scores) v per head with scores = scale q k^T, bent to soft_cap "
        "tanh(scores / soft_cap) if soft_cap > 0; a query sees all keys, with causal those up to "
        "its own, with window > 0 the last so many of them, with segments [B, T] those of its own "
        "segment (negative: none, y = 0), where the keys' segments [B, S] may differ from the "
        "queries'; also the log-sum-exp of the scores [B, H, T]",
    .infer = infer,
    .gradient = gradient,
    .flops =
        [](Types in, Types, const Attributes& attributes) {
          return flops(in[0].shape, in[1].shape, attributes, 4);
        },
    .reference = reference,
    .kept_for_gradient = 1,
    .precision = Precision::narrow,
    .samples = {sample({{2, 5, 2, 4}, {2, 5, 2, 4}, {2, 5, 2, 4}}, options(false)),
                sample({{1, 7, 4, 3}, {1, 7, 2, 3}, {1, 7, 2, 3}}, options(true)),
                sample({{1, 3, 2, 5}, {1, 6, 1, 5}, {1, 6, 1, 5}}, options(true)),
                sample({{2, 1, 1, 1}, {2, 1, 1, 1}, {2, 1, 1, 1}}, options(false)),
                sample({{1, 67, 2, 20}, {1, 131, 1, 20}, {1, 131, 1, 20}}, options(true)),
                sample({{1, 75, 2, 33}, {1, 139, 2, 33}, {1, 139, 2, 33}}, options(false)),
                sample({{2, 9, 2, 4}, {2, 11, 2, 4}, {2, 11, 2, 4}}, options(true, 3)),
                sample({{1, 150, 2, 6}, {1, 203, 1, 6}, {1, 203, 1, 6}}, options(true, 70)),
                sample({{1, 5, 2, 4}, {1, 5, 2, 4}, {1, 5, 2, 4}}, options(true, 100)),
                sample({{1, 70, 4, 7}, {1, 70, 2, 7}, {1, 70, 2, 7}}, options(true, 0, 1.5)),
                packed(sample({{2, 6, 2, 3}, {2, 6, 2, 3}, {2, 6, 2, 3}}, options(false)), 2, 6),
                packed(
                    sample({{2, 141, 2, 5}, {2, 141, 1, 5}, {2, 141, 1, 5}}, options(true, 65, 2)),
                    2, 141),
                packed(sample({{2, 5, 2, 3}, {2, 9, 1, 3}, {2, 9, 1, 3}}, options(true)), 2, 5, 9),
                packed(sample({{1, 70, 2, 4}, {1, 133, 2, 4}, {1, 133, 2, 4}}, options(true, 0, 3)),
                       1, 70, 133)},
};

extern const OpDef attention_gradient = {
    .name = "attention_gradient",
    .formula =
        "gradients of attention for q, k and v, from dy, q, k, v, y, the log-sum-exp and perhaps "
        "segments and the keys' segments",
    .infer = infer_gradient,
    .flops =
        [](Types in, Types, const Attributes& attributes) {
          return flops(in[1].shape, in[2].shape, attributes, 10);
        },
    .reference = gradient_reference,
    .precision = Precision::narrow,
    .wide_operands = {5},
    .samples = {gradient_sample(5, 5, 2, 1, 4), gradient_sample(67, 131, 2, 1, 20),
                gradient_sample(3, 3, 1, 1, 1), gradient_sample(75, 139, 4, 2, 33, 66),
                gradient_sample(9, 11, 2, 2, 4, 3), gradient_sample(70, 70, 2, 1, 5, 0, 0.7),
                packed(gradient_sample(141, 141, 2, 1, 6, 65, 2), 1, 141),
                packed(gradient_sample(70, 133, 2, 1, 6), 1, 70, 133)},
};

}  // namespace argosy::ops
