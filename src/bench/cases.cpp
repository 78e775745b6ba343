#include "bench/cases.h"

#include <cmath>

#include "base/error.h"
#include "base/nearest.h"
#include "base/random.h"
#include "bench/golden_losses.h"
#include "models/action_chunking.h"
#include "models/gpt.h"
#include "models/grok.h"
#include "models/pilotnet.h"
#include "models/resnet.h"
#include "models/temporal_transformer.h"
#include "nn/layers.h"
#include "nn/training.h"

namespace argosy::bench {
namespace {

using namespace nn;

constexpr int64_t kVocabulary = 8192;

Tensor images(const Scope& scope, const Shape& shape) {
  return models::normalised(scope.graph().input("images", {DType::u8, shape}), "fixed");
}

Tensor numbers(const Scope& scope, const char* name, const Shape& shape) {
  return scope.graph().input(name, {DType::f32, shape});
}

Tensor indices(const Scope& scope, const char* name, const Shape& shape) {
  return scope.graph().input(name, {DType::i32, shape});
}

Tensor driving_loss(const Scope& scope) {
  Tensor x = models::pilotnet_features(scope, images(scope, {64, 120, 160, 3}));
  x = relu(linear(scope / "hidden1", x, 100));
  x = relu(linear(scope / "hidden2", x, 50));
  return mean_squared_error(linear(scope / "head", x, 2), numbers(scope, "target", {64, 2}));
}

Tensor resnet_loss(const Scope& scope) {
  const auto norm = [](const Scope& s, const Tensor& x) { return group_norm(s, x, 32); };
  const Tensor x = models::resnet18_features(scope, images(scope, {32, 120, 160, 3}), norm);
  return mean_squared_error(linear(scope / "head", ops::reduce_mean(x, {1, 2}), 2),
                            numbers(scope, "target", {32, 2}));
}

Tensor temporal_transformer_loss(const Scope& scope) {
  const Tensor x = images(scope, {16, 4, 120, 160, 3});
  return mean_squared_error(models::temporal_transformer(scope, x, {}),
                            numbers(scope, "target", {16, 2}));
}

Tensor gpt_loss(const Scope& scope) {
  const models::LanguageOptions options = {.vocabulary = kVocabulary,
                                           .context = 256,
                                           .width = 384,
                                           .layers = 6,
                                           .heads = 6,
                                           .hidden = 4 * 384};
  return mean_cross_entropy(models::gpt(scope, indices(scope, "tokens", {16, 256}), options).logits,
                            indices(scope, "labels", {16 * 256}));
}

Tensor grok_loss(const Scope& scope) {
  const models::LanguageOptions options = {.vocabulary = kVocabulary,
                                           .width = 256,
                                           .layers = 4,
                                           .heads = 8,
                                           .key_heads = 2,
                                           .head_width = 32,
                                           .hidden = 1152,
                                           .experts = 8,
                                           .active = 2,
                                           .embedding_multiplier = 16,
                                           .output_multiplier = 0.57735,
                                           .soft_cap = 30};
  const Tensor tokens = indices(scope, "tokens", {8, 256});
  return mean_cross_entropy(models::grok(scope, tokens, options).logits,
                            indices(scope, "labels", {8 * 256}));
}

Tensor action_chunking_loss(const Scope& scope) {
  const Tensor x = images(scope, {8, 240, 320, 3}), state = numbers(scope, "state", {8, 14});
  const Tensor plan = models::action_chunking(scope, x, state, {});
  const Tensor error = plan - numbers(scope, "target", plan.shape());
  return ops::reduce_mean(ops::apply(ops::abs, {error}));
}

constexpr Case kCases[] = {
    {"driving", "PilotNet on 64 pictures of 120 x 160", 64, "samples", 0, driving_loss},
    {"resnet18", "ResNet-18 with group norm on 32 pictures of 120 x 160", 32, "samples", 0,
     resnet_loss},
    {"temporal", "a vision transformer on 16 clips of 4 frames, 280 tokens each", 16, "samples", 0,
     temporal_transformer_loss},
    {"gpt", "6 layers of width 384 on 16 x 256 tokens of a vocabulary of 8192", 16 * 256, "tokens",
     kVocabulary, gpt_loss},
    {"grok", "4 layers of Grok-1's shape, 2 of 8 experts, on 8 x 256 tokens", 8 * 256, "tokens",
     kVocabulary, grok_loss},
    {"act", "action chunking on 8 pictures of 240 x 320", 8, "samples", 0, action_chunking_loss},
};

struct Rule {
  float offset = 0, scale = 1;
};

/// Where a parameter's first values lie. Weights are [out, ...] but for experts, [E, in, out].
Rule rule_of(const std::string& name, const Shape& shape) {
  if (shape.size() == 1) {
    const bool gain = name.find("norm") != std::string::npos && name.ends_with("/weight");
    return {gain ? 1.0f : 0.0f, 0.0625f};
  }
  for (const char* table : {"embedding/", "positions/", "queries/"})
    if (name.find(table) != std::string::npos) return {0, 0.03125f};
  int64_t in = 1;
  for (size_t axis = 1; axis < shape.size(); ++axis) in *= shape[axis];
  if (shape.size() == 3) in = shape[1];
  return {0, static_cast<float>(1.7 / std::sqrt(static_cast<double>(in)))};
}

void feed(Session& session, const Case& which) {
  for (const NamedBuffer& input : session.program().inputs) {
    const TensorView view = session.input(input.name);
    const NamedNumbers drawn(input.name);
    switch (view.type.dtype) {
      case DType::u8: {
        const auto bytes = view.as<uint8_t>();
        for (size_t i = 0; i < bytes.size(); ++i)
          bytes[i] = static_cast<uint8_t>(std::floor(drawn(i) * 128 + 128));
        break;
      }
      case DType::i32: {
        const auto values = view.as<int32_t>();
        const auto half = static_cast<float>(which.index_limit) / 2;
        for (size_t i = 0; i < values.size(); ++i)
          values[i] = static_cast<int32_t>(std::floor(drawn(i) * half + half));
        break;
      }
      default: {
        const auto values = view.as();
        for (size_t i = 0; i < values.size(); ++i) values[i] = drawn(i);
      }
    }
  }
  session.input("learning_rate").as()[0] = 1e-4f;
}

}  // namespace

std::span<const Case> cases() { return kCases; }

const Case& find_case(const std::string& name) {
  std::vector<std::string> known;
  for (const Case& which : kCases) {
    if (which.name == name) return which;
    known.emplace_back(which.name);
  }
  throw Error({.what = fmt::format("no case is named {}; the nearest is {}", name,
                                   nearest_name(name, known)),
               .where = "argosy bench train",
               .fix = fmt::format("choose one of {}", fmt::join(known, ", "))});
}

Session training_session(const Case& which, const CompileOptions& options) {
  Graph graph;
  const Scope scope(graph, true);
  const Tensor loss = which.loss(scope);
  for (Variable& variable : graph.variables())
    if (variable.trainable) {
      const Rule rule = rule_of(variable.name, graph.type(variable.value).shape);
      variable.decayed = true;  // torch.optim.AdamW decays everything unless told otherwise
      variable.initialize = [rule, name = variable.name](uint64_t, std::span<float> values) {
        const NamedNumbers drawn(name);
        for (size_t i = 0; i < values.size(); ++i) values[i] = rule.offset + rule.scale * drawn(i);
      };
    }
  add_training_step(scope, loss, {.weight_decay = 0.01f});
  Session session(std::move(graph), options);
  feed(session, which);
  return session;
}

std::vector<float> losses(Session& session, int64_t steps) {
  std::vector<float> found;
  for (int64_t step = 0; step < steps; ++step) {
    session.run();
    found.push_back(session.output("loss").as()[0]);
  }
  return found;
}

std::span<const float> golden_losses(const Case& which) {
  for (const GoldenLosses& golden : kGoldenLosses)
    if (golden.name == which.name) return golden.losses;
  check(false, "case {} has no golden losses", which.name);
  return {};
}

double loss_difference(const Case& which, std::span<const float> found) {
  const std::span<const float> golden = golden_losses(which);
  double largest = 0;
  for (size_t i = 0; i < std::min(golden.size(), found.size()); ++i) {
    const double difference = std::abs(found[i] - golden[i]) / std::abs(golden[i]);
    largest = std::isfinite(difference) ? std::max(largest, difference) : INFINITY;
  }
  return largest;
}

}  // namespace argosy::bench
