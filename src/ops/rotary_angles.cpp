#include <cmath>
#include <vector>

#include "ops/ops.h"

// The angles by which `rotary` turns tokens that stand anywhere, once for all layers.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  const int64_t width = args.attributes.get<int64_t>("width");
  args.require(
      args.in.size() <= 2 && args.in[0].dtype == DType::i32 && args.in[0].shape.size() == 1,
      "needs i32 positions [T], and perhaps divisors");
  args.require(width > 0 && width % 2 == 0, "needs an even width");
  args.require(args.attributes.get<double>("base") > 1, "needs a base above 1");
  if (args.in.size() > 1)
    args.require(args.in[1] == Type{DType::f32, {width / 2}}, "needs f32 divisors [K/2]");
  return {{DType::f32, {args.in[0].shape[0], width}}};
}

void reference(KernelArgs& k) {
  const auto width = static_cast<size_t>(k.attributes.get<int64_t>("width")), half = width / 2;
  const double base = k.attributes.get<double>("base");
  const auto positions = k.in<int32_t>(0);
  for (size_t j = 0; j < half; ++j) {
    const double divisor = k.in_types.size() > 1 ? k.in(1)[j] : 1;
    const double frequency =
        std::pow(base, -2.0 * static_cast<double>(j) / static_cast<double>(width)) / divisor;
    for (size_t t = 0; t < positions.size(); ++t) {
      const double angle = positions[t] * frequency;
      k.out()[t * width + j] = static_cast<float>(std::cos(angle));
      k.out()[t * width + half + j] = static_cast<float>(std::sin(angle));
    }
  }
}

Sample angles(int64_t count, int64_t width, double base, bool divided = false) {
  Sample sample = {.inputs = {{DType::i32, {count}}},
                   .attributes = {{"base", base}, {"width", width}},
                   .low = 0.5,
                   .high = 8,
                   .index_limit = 1000};
  if (divided) sample.inputs.push_back({DType::f32, {width / 2}});
  return sample;
}

}  // namespace

extern const OpDef rotary_angles = {
    .name = "rotary_angles",
    .formula =
        "y[t, j] = cos(a), y[t, K/2 + j] = sin(a), with a = positions[t] base^(-2j/K) / d[j], for "
        "j < K/2; the divisors d are 1 where there are none",
    .infer = infer,
    .reference = reference,
    .samples = {angles(5, 8, 10000), angles(1, 2, 10), angles(0, 6, 100), angles(7, 8, 500, true)},
};

}  // namespace argosy::ops
