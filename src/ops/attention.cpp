#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/ops.h"

// Scaled dot-product attention on q [B, T, H, D], k and v [B, S, G, D] with H a multiple of G
// (grouped query heads). The score matrix is never kept; the gradient recomputes it from the
// log-sum-exp.
namespace argosy::ops {
namespace {

struct Sizes {
  int64_t b, t, s, h, g, d;
};

Sizes sizes(const Shape& q, const Shape& k) { return {q[0], q[1], k[1], q[2], k[2], q[3]}; }

/// The types of y and the log-sum-exp for q, k and v, which stand from operand `first` on.
std::vector<Type> outputs_of(const InferArgs& args, size_t first) {
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
  args.require(!args.attributes.get<bool>("causal") || q[1] <= k[1],
               "causal attention to a shorter past");
  return {in[0], {DType::f32, {q[0], q[2], q[1]}}};
}

std::vector<Type> infer(const InferArgs& args) { return outputs_of(args, 0); }

std::vector<Tensor> gradient(const GradArgs& g) {
  return g.input(0).graph().add(
      attention_gradient,
      std::vector{g.output_grad(0), g.input(0), g.input(1), g.input(2), g.output(0), g.output(1)},
      g.attributes());
}

/// The keys that query `t` sees: all, or with causal those at or before its own place, the last
/// query standing at the last key.
int64_t visible(const Sizes& z, const Attributes& attributes, int64_t t) {
  return attributes.get<bool>("causal") ? z.s - z.t + t + 1 : z.s;
}

size_t at(const Sizes& z, int64_t length, int64_t heads, int64_t b, int64_t t, int64_t h) {
  return static_cast<size_t>(((b * length + t) * heads + h) * z.d);
}

double dot(const float* a, const float* b, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(a[i]) * b[i];
  return total;
}

template <typename Visit>
void for_each_query(const Sizes& z, Visit visit) {
  for (int64_t b = 0; b < z.b; ++b)
    for (int64_t h = 0; h < z.h; ++h)
      for (int64_t t = 0; t < z.t; ++t) visit(b, h, t);
}

void reference(KernelArgs& a) {
  const Sizes z = sizes(a.shape(0), a.shape(1));
  const auto q = a.in(0), k = a.in(1), v = a.in(2);
  const double scale = a.attributes.get<double>("scale");
  for_each_query(z, [&](int64_t b, int64_t h, int64_t t) {
    const int64_t group = h / (z.h / z.g), seen = visible(z, a.attributes, t);
    std::vector<double> scores(static_cast<size_t>(seen)), y(static_cast<size_t>(z.d));
    for (int64_t s = 0; s < seen; ++s)
      scores[static_cast<size_t>(s)] =
          scale * dot(&q[at(z, z.t, z.h, b, t, h)], &k[at(z, z.s, z.g, b, s, group)], z.d);
    const double top = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (const double score : scores) total += std::exp(score - top);
    for (int64_t s = 0; s < seen; ++s)
      for (int64_t d = 0; d < z.d; ++d)
        y[static_cast<size_t>(d)] += std::exp(scores[static_cast<size_t>(s)] - top) / total *
                                     v[at(z, z.s, z.g, b, s, group) + static_cast<size_t>(d)];
    std::copy(y.begin(), y.end(), &a.out(0)[at(z, z.t, z.h, b, t, h)]);
    a.out(1)[static_cast<size_t>((b * z.h + h) * z.t + t)] =
        static_cast<float>(top + std::log(total));
  });
}

std::vector<Type> infer_gradient(const InferArgs& args) {
  const std::vector<Type> outputs = outputs_of(args, 1);
  args.require(args.in[0] == args.in[1] && args.in[4] == outputs[0] && args.in[5] == outputs[1],
               "needs dy, q, k, v, y and the log-sum-exp [B, H, T]");
  return {args.in[1], args.in[2], args.in[3]};
}

// p = exp(score - lse); dv = p^T dy; dp = dy v^T; dscore = p (dp - dy . y); dq = scale dscore k, dk
// = scale dscore^T q
void gradient_reference(KernelArgs& a) {
  const Sizes z = sizes(a.shape(1), a.shape(2));
  const auto dy = a.in(0), q = a.in(1), k = a.in(2), v = a.in(3), y = a.in(4), lse = a.in(5);
  const double scale = a.attributes.get<double>("scale");
  std::vector<double> dq(q.size()), dk(k.size()), dv(v.size());
  for_each_query(z, [&](int64_t b, int64_t h, int64_t t) {
    const int64_t group = h / (z.h / z.g);
    const size_t row = at(z, z.t, z.h, b, t, h);
    const double through = dot(&dy[row], &y[row], z.d);
    for (int64_t s = 0; s < visible(z, a.attributes, t); ++s) {
      const size_t key = at(z, z.s, z.g, b, s, group);
      const double p = std::exp(scale * dot(&q[row], &k[key], z.d) -
                                lse[static_cast<size_t>((b * z.h + h) * z.t + t)]);
      const double dscore = scale * p * (dot(&dy[row], &v[key], z.d) - through);
      for (size_t d = 0; d < static_cast<size_t>(z.d); ++d) {
        dv[key + d] += p * dy[row + d];
        dq[row + d] += dscore * k[key + d];
        dk[key + d] += dscore * q[row + d];
      }
    }
  });
  std::copy(dq.begin(), dq.end(), a.out(0).begin());
  std::copy(dk.begin(), dk.end(), a.out(1).begin());
  std::copy(dv.begin(), dv.end(), a.out(2).begin());
}

double flops(const Shape& q, const Shape& k, double per_product) {
  const Sizes z = sizes(q, k);
  return per_product * static_cast<double>(z.b * z.h * z.t) * static_cast<double>(z.s * z.d);
}

/// As the forward pass would leave it: a log-sum-exp of nothing would let probabilities overflow.
Sample gradient_sample(int64_t t, int64_t s, int64_t h, int64_t g, int64_t d) {
  Sample result =
      sample({{1, t, h, d}, {1, t, h, d}, {1, s, g, d}, {1, s, g, d}, {1, t, h, d}, {1, h, t}},
             {{"causal", true}, {"scale", 0.25}});
  result.low = -1, result.high = 1;
  return result;
}

Attributes options(bool causal) { return {{"causal", causal}, {"scale", 0.5}}; }

}  // namespace

extern const OpDef attention = {
    .name = "attention",
    .formula =
        "y = softmax(scale q k^T) v per head, causal if asked; also the log-sum-exp of the scores "
        "[B, H, T]",
    .infer = infer,
    .gradient = gradient,
    .flops = [](Types in, Types, const Attributes&) { return flops(in[0].shape, in[1].shape, 4); },
    .reference = reference,
    .kept_for_gradient = 1,
    .samples = {sample({{2, 5, 2, 4}, {2, 5, 2, 4}, {2, 5, 2, 4}}, options(false)),
                sample({{1, 7, 4, 3}, {1, 7, 2, 3}, {1, 7, 2, 3}}, options(true)),
                sample({{1, 3, 2, 5}, {1, 6, 1, 5}, {1, 6, 1, 5}}, options(true)),
                sample({{2, 1, 1, 1}, {2, 1, 1, 1}, {2, 1, 1, 1}}, options(false)),
                sample({{1, 67, 2, 20}, {1, 131, 1, 20}, {1, 131, 1, 20}}, options(true))},
};

extern const OpDef attention_gradient = {
    .name = "attention_gradient",
    .formula = "gradients of attention for q, k and v, from dy, q, k, v, y and the log-sum-exp",
    .infer = infer_gradient,
    .flops = [](Types in, Types, const Attributes&) { return flops(in[1].shape, in[2].shape, 10); },
    .reference = gradient_reference,
    .samples = {gradient_sample(5, 5, 2, 1, 4), gradient_sample(67, 131, 2, 1, 20),
                gradient_sample(3, 3, 1, 1, 1)},
};

}  // namespace argosy::ops
