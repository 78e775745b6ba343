#include <cmath>

#include "ops/ops.h"

// Rotary position embedding (Su et al. 2021) in the form of two halves, as GPT-NeoX, Llama and Grok
// have it: a head's element j turns together with element j + K/2.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  const Type& x = args.in[0];
  args.require(args.in.size() <= 2 && x.shape.size() == 4 && x.shape[3] % 2 == 0,
               "needs [B, T, H, K] with an even K, and perhaps angles");
  args.require(is_floating(x.dtype), "needs a real dtype");
  args.require(args.attributes.get<double>("base") > 1, "needs a base above 1");
  if (args.in.size() > 1)
    args.require(args.in[1] == Type{DType::f32, {x.shape[1], x.shape[3]}},
                 "needs f32 angles [T, K]");
  return {x};
}

// A rotation's transpose turns back.
std::vector<Tensor> gradient(const GradArgs& g) {
  Attributes back = g.attributes();
  back.set("inverse", !back.get<bool>("inverse"));
  if (g.inputs() == 1) return {apply(rotary, {g.output_grad(0)}, back)};
  return {apply(rotary, {g.output_grad(0), g.input(1)}, back), Tensor()};
}

void reference(KernelArgs& a) {
  const Shape& shape = a.shape(0);
  const int64_t times = shape[1], heads = shape[2], width = shape[3], half = width / 2;
  const double base = a.attributes.get<double>("base");
  const double sign = a.attributes.get<bool>("inverse") ? -1 : 1;
  const auto x = a.in(0);
  const auto y = a.out(0);
  const bool given = a.in_types.size() > 1;
  for (int64_t row = 0; row < shape[0] * times * heads; ++row) {
    const int64_t place = row / heads % times;
    for (int64_t j = 0; j < half; ++j) {
      const double angle =
          static_cast<double>(place) *
          std::pow(base, -2.0 * static_cast<double>(j) / static_cast<double>(width));
      const auto first = static_cast<size_t>(row * width + j),
                 second = first + static_cast<size_t>(half);
      const auto at = static_cast<size_t>(place * width + j);
      const double cosine = given ? a.in(1)[at] : std::cos(angle),
                   sine = given ? a.in(1)[at + static_cast<size_t>(half)] : std::sin(angle);
      const double c = cosine, s = sign * sine, u = x[first], v = x[second];
      y[first] = static_cast<float>(u * c - v * s);
      y[second] = static_cast<float>(v * c + u * s);
    }
  }
}

Attributes options(double base, bool inverse) { return {{"base", base}, {"inverse", inverse}}; }

/// Angles are whole numbers' and have no gradient.
Sample turned(Sample sample) {
  sample.differentiate = {true, false};
  return sample;
}

}  // namespace

extern const OpDef rotary = {
    .name = "rotary",
    .formula =
        "y[j] = x[j] cos(a) - x[j + K/2] sin(a); y[j + K/2] = x[j + K/2] cos(a) + x[j] sin(a), "
        "with "
        "a = t base^(-2j/K) at place t of [B, T, H, K], or the angles of place t as rotary_angles "
        "gives them; inverse turns the other way",
    .infer = infer,
    .gradient = gradient,
    .flops = [](Types in, Types,
                const Attributes&) { return 3.0 * static_cast<double>(in[0].elements()); },
    .reference = reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .wide_operands = {1},
    .samples = {sample({{2, 5, 3, 8}}, options(10000, false)),
                sample({{1, 1, 1, 2}}, options(100, false)),
                sample({{1, 9, 2, 34}}, options(10000, true)),
                sample({{0, 4, 2, 6}}, options(10, false)),
                turned(sample({{2, 5, 3, 8}, {5, 8}}, options(10000, false))),
                turned(sample({{1, 7, 1, 16}, {7, 16}}, options(10000, true)))},
};

}  // namespace argosy::ops
