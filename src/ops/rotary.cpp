#include "ops/ops.h"

// Rotary position embedding (Su et al. 2021) in the form of two halves, as GPT-NeoX, Llama and Grok
// have it: a head's element j turns together with element j + K/2.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  const Type& x = args.in[0];
  args.require(x.shape.size() == 4 && x.shape[3] % 2 == 0, "needs [B, T, H, K] with an even K");
  args.require(is_floating(x.dtype), "needs a real dtype");
  args.require(args.in.size() == 2 && args.in[1] == Type{DType::f32, {x.shape[1], x.shape[3]}},
               "needs f32 angles [T, K]");
  return {x};
}

// A rotation's transpose turns back.
std::vector<Tensor> gradient(const GradArgs& g) {
  const bool inverse = g.attributes().get<bool>("inverse");
  return {apply(rotary, {g.output_grad(0), g.input(1)}, {{"inverse", !inverse}}), Tensor()};
}

void reference(KernelArgs& a) {
  const Shape& shape = a.shape(0);
  const int64_t times = shape[1], heads = shape[2], width = shape[3], half = width / 2;
  const double sign = a.attributes.get<bool>("inverse") ? -1 : 1;
  const auto x = a.in(0), angles = a.in(1);
  const auto y = a.out(0);
  for (int64_t row = 0; row < shape[0] * times * heads; ++row) {
    const int64_t place = row / heads % times;
    for (int64_t j = 0; j < half; ++j) {
      const auto first = static_cast<size_t>(row * width + j),
                 second = first + static_cast<size_t>(half);
      const auto at = static_cast<size_t>(place * width + j);
      const double c = angles[at], s = sign * angles[at + static_cast<size_t>(half)], u = x[first],
                   v = x[second];
      y[first] = static_cast<float>(u * c - v * s);
      y[second] = static_cast<float>(v * c + u * s);
    }
  }
}

/// Angles are whole numbers' and have no gradient.
Sample turned(const Shape& x, bool inverse) {
  Sample made = sample({x, {x[1], x[3]}}, {{"inverse", inverse}});
  made.differentiate = {true, false};
  return made;
}

}  // namespace

extern const OpDef rotary = {
    .name = "rotary",
    .formula =
        "y[j] = x[j] c[j] - x[j + K/2] s[j]; y[j + K/2] = x[j + K/2] c[j] + x[j] s[j], with c and "
        "s as rotary_angles gives them for each place t of [B, T, H, K]; inverse turns the other "
        "way",
    .infer = infer,
    .gradient = gradient,
    .flops = [](Types in, Types,
                const Attributes&) { return 3.0 * static_cast<double>(in[0].elements()); },
    .reference = reference,
    .in_place = {0},
    .precision = Precision::mixed,
    .wide_operands = {1},
    .samples = {turned({2, 5, 3, 8}, false), turned({1, 1, 1, 2}, false),
                turned({1, 9, 2, 34}, true), turned({0, 4, 2, 6}, false)},
};

}  // namespace argosy::ops
