#include <cmath>
#include <vector>

#include "ops/ops.h"

// The angles by which `rotary` turns tokens that stand anywhere, once for all layers.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  const int64_t width = args.attributes.get<int64_t>("width");
  args.require(args.in[0].dtype == DType::i32 && args.in[0].shape.size() == 1,
               "needs i32 positions [T]");
  args.require(width > 0 && width % 2 == 0, "needs an even width");
  args.require(args.attributes.get<double>("base") > 1, "needs a base above 1");
  return {{DType::f32, {args.in[0].shape[0], width}}};
}

void reference(KernelArgs& k) {
  const auto width = static_cast<size_t>(k.attributes.get<int64_t>("width")), half = width / 2;
  const double base = k.attributes.get<double>("base");
  const auto positions = k.in<int32_t>(0);
  for (size_t j = 0; j < half; ++j) {
    const double frequency =
        std::pow(base, -2.0 * static_cast<double>(j) / static_cast<double>(width));
    for (size_t t = 0; t < positions.size(); ++t) {
      const double angle = positions[t] * frequency;
      k.out()[t * width + j] = static_cast<float>(std::cos(angle));
      k.out()[t * width + half + j] = static_cast<float>(std::sin(angle));
    }
  }
}

Sample angles(int64_t count, int64_t width, double base) {
  return {.inputs = {{DType::i32, {count}}},
          .attributes = {{"base", base}, {"width", width}},
          .index_limit = 1000};
}

}  // namespace

extern const OpDef rotary_angles = {
    .name = "rotary_angles",
    .formula =
        "y[t, j] = cos(a), y[t, K/2 + j] = sin(a), with a = positions[t] base^(-2j/K), for "
        "j < K/2",
    .infer = infer,
    .reference = reference,
    .samples = {angles(5, 8, 10000), angles(1, 2, 10), angles(0, 6, 100)},
};

}  // namespace argosy::ops
