#include "base/random.h"

#include <cmath>
#include <numbers>

#include "ops/ops.h"

// Element i of a random tensor is a pure function of (seed, stream, i): the seed is fed (it holds
// the run's seed and the step), the stream is the op's own number.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  args.require(args.in[0].dtype == DType::i64 && args.in[0].shape.empty(),
               "the seed needs to be one i64");
  return {{DType::f32, args.attributes.get<std::vector<int64_t>>("shape")}};
}

std::vector<Tensor> no_gradient(const GradArgs&) { return {Tensor()}; }

/// Calls draw(four random words, index of the first, how many elements they serve).
template <typename Draw>
void draw_all(const KernelArgs& k, Draw draw) {
  const auto seed = static_cast<uint64_t>(k.in<int64_t>(0)[0]);
  const auto stream = static_cast<uint64_t>(k.attributes.get<int64_t>("stream"));
  const size_t n = k.out().size();
  for (size_t i = 0; i < n; i += 4)
    draw(philox(seed, stream, i / 4), i, std::min<size_t>(4, n - i));
}

void uniform_reference(KernelArgs& k) {
  draw_all(k, [&](const auto& words, size_t at, size_t n) {
    for (size_t j = 0; j < n; ++j) k.out()[at + j] = unit_float(words[j]);
  });
}

// Box-Muller; 1 - u keeps the logarithm's argument above zero
void normal_reference(KernelArgs& k) {
  draw_all(k, [&](const auto& words, size_t at, size_t n) {
    for (size_t j = 0; j < n; ++j) {
      const float radius = std::sqrt(-2.0f * std::log(1.0f - unit_float(words[j / 2 * 2])));
      const float angle = 2.0f * std::numbers::pi_v<float> * unit_float(words[j / 2 * 2 + 1]);
      k.out()[at + j] = radius * (j % 2 == 0 ? std::cos(angle) : std::sin(angle));
    }
  });
}

std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const Shape& shape : {Shape{5}, Shape{3, 7}, Shape{0}, Shape{}, Shape{1021}})
    all.push_back({.inputs = {{DType::i64, {}}},
                   .attributes = {{"shape", shape}, {"stream", int64_t{3}}},
                   .index_limit = 1000});
  return all;
}

double flops(Types, Types out, const Attributes&) {
  return 20.0 * static_cast<double>(out[0].elements());
}

}  // namespace

extern const OpDef random_uniform = {
    .name = "random_uniform",
    .formula = "y[i] uniform in [0, 1), a function of (seed, stream, i)",
    .infer = infer,
    .gradient = no_gradient,
    .flops = flops,
    .reference = uniform_reference,
    .samples = samples(),
};

extern const OpDef random_normal = {
    .name = "random_normal",
    .formula = "y[i] normal with mean 0 and deviation 1, a function of (seed, stream, i)",
    .infer = infer,
    .gradient = no_gradient,
    .flops = flops,
    .reference = normal_reference,
    .samples = samples(),
};

}  // namespace argosy::ops
