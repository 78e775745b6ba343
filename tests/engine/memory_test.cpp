#include <doctest/doctest.h>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "engine/session.h"
#include "nn/experts.h"
#include "nn/layers.h"
#include "nn/training.h"

using namespace argosy;
using namespace argosy::nn;

namespace {

struct Model {
  const char* name;
  Tensor (*loss)(const Scope& model);
};

Tensor input(const Scope& model, const char* name, const Shape& shape) {
  return model.graph().input(name, {DType::f32, shape});
}

Tensor transformer(const Scope& model) {
  Tensor x = input(model, "x", {4, 12, 32});
  for (int layer = 0; layer < 6; ++layer)
    x = transformer_block(model / fmt::format("{}", layer), x, {.heads = 4, .causal = true}, 64);
  return mean_squared_error(linear(model / "head", x, 5), input(model, "y", {4, 12, 5}));
}

Tensor dropped(const Scope& model) {
  Tensor x = input(model, "x", {64, 48});
  for (int layer = 0; layer < 6; ++layer) {
    const Scope scope = model / fmt::format("{}", layer);
    x = dropout(scope, gelu(linear(scope / "linear", x, 48)), 0.2f);
  }
  return mean_squared_error(x, input(model, "y", {64, 48}));
}

Tensor convolutional(const Scope& model) {
  Tensor x = input(model, "x", {4, 12, 10, 3});
  for (int layer = 0; layer < 4; ++layer) {
    const Scope scope = model / fmt::format("{}", layer);
    x = relu(batch_norm(scope / "norm",
                        convolution(scope / "conv", x, 8, 3, {.padding = {1, 1, 1, 1}})));
  }
  return mean_squared_error(ops::pool_max(x), input(model, "y", {4, 6, 5, 8}));
}

Tensor experts(const Scope& model) {
  Tensor x = input(model, "x", {40, 16}), balance;
  for (int layer = 0; layer < 3; ++layer) {
    const Mixture m = mixture_of_experts(model / fmt::format("{}", layer), x,
                                         {.experts = 4, .active = 2, .hidden = 24});
    x = x + m.output;
    balance = balance ? balance + m.balance_loss : m.balance_loss;
  }
  return mean_squared_error(x, input(model, "y", {40, 16})) + 0.01f * balance;
}

constexpr Model kModels[] = {{"transformer", transformer},
                             {"dropout", dropped},
                             {"convolution", convolutional},
                             {"experts", experts}};

Session session_of(Tensor (*loss)(const Scope&), size_t limit_bytes = 0) {
  Graph graph;
  const Scope model(graph, true, graph.input("seed", {DType::i64, {}}));
  add_training_step(model, loss(model), {.clip_norm = 1});
  Session session(std::move(graph), {.passes = {.memory = {.bytes = limit_bytes}}, .seed = 3});
  Random random(11);
  for (const char* name : {"x", "y"})
    for (float& value : session.input(name).as()) value = random.normal();
  session.input("learning_rate").as()[0] = 1e-2f;
  return session;
}

std::vector<float> ten_losses(Session& session) {
  std::vector<float> losses;
  for (int64_t step = 0; step < 10; ++step) {
    session.input("seed").as<int64_t>()[0] = step;
    session.run();
    losses.push_back(session.output("loss").as()[0]);
  }
  return losses;
}

std::vector<std::byte> state_of(const Session& session) {
  std::vector<std::byte> bytes;
  for (const TensorView& view : session.state())
    bytes.insert(bytes.end(), view.bytes.begin(), view.bytes.end());
  return bytes;
}

int64_t recomputed_calls(const Session& session) {
  int64_t calls = 0;
  for (const Call& call : session.program().calls) calls += call.recomputed;
  return calls;
}

/// What running out of memory looks like to whoever asked for it.
std::string refusal(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& error) {
    CHECK(error.exit_code() == 4);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("memory: a step within a limit gives the same bits as one without") {
  set_thread_count(1);  // the models are too small for more
  for (const Model& model : kModels) {
    INFO(model.name);
    Session free = session_of(model.loss);
    const std::vector<float> wanted = ten_losses(free);
    const size_t total = free.program().total_bytes(), arena = free.program().arena_bytes;
    for (const double share : {0.9, 0.8, 0.7}) {
      const size_t limit = total - arena + static_cast<size_t>(share * static_cast<double>(arena));
      Session limited = session_of(model.loss, limit);
      INFO(fmt::format("{} of {} bytes, {} calls again", limit, total, recomputed_calls(limited)));
      CHECK(limited.program().total_bytes() <= limit);
      CHECK(recomputed_calls(limited) > 0);
      CHECK((ten_losses(limited) == wanted));
      CHECK((state_of(limited) == state_of(free)));
    }
  }
}

TEST_CASE("memory: a limit that cannot be met is refused with what is needed and what is large") {
  const std::string text = refusal([] { session_of(transformer, 10'000); });
  INFO(text);
  CHECK(text.starts_with("memory.limit: the program needs "));
  for (const char* part : {"but may take 10 kB", "state 617 kB", "the largest tensors are", "f32[",
                           "raise the limit to ", "a smaller batch"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part);
}

TEST_CASE("memory: a program larger than the machine is refused before memory is taken") {
  const std::string text = refusal([] {
    Graph graph;
    graph.label = "decoder";
    const Tensor x = graph.input("x", {DType::f32, {1 << 20, 64}});
    graph.output("y", ops::apply(ops::softmax, {ops::matrix_multiply(x, x, false, true)}));
    const Session session(std::move(graph));
  });
  INFO(text);
  CHECK(
      text.starts_with("memory of this machine: the program needs 4.4 TB (state 0 B, inputs 268 "
                       "MB, constants 0 B, arena 4.4 TB) but "));
  for (const char* part :
       {"are available", "decoder (matmul) f32[1048576, 1048576] 4.4 TB", "give memory.limit"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part);
}

TEST_CASE("memory: batches of none, sequences of one, one expert, more experts than tokens train") {
  struct Sizes {
    int64_t batch, time, experts;
  };
  for (const Sizes& sizes : {Sizes{0, 3, 4}, Sizes{2, 1, 4}, Sizes{1, 1, 1}, Sizes{2, 5, 1},
                             Sizes{1, 3, 16}, Sizes{0, 1, 1}}) {
    INFO(fmt::format("batch {}, time {}, experts {}", sizes.batch, sizes.time, sizes.experts));
    constexpr int64_t kWidth = 16;
    Graph graph;
    const Scope model(graph, true, graph.input("seed", {DType::i64, {}}));
    Tensor x = graph.input("x", {DType::f32, {sizes.batch, sizes.time, kWidth}});
    x = transformer_block(model / "block", x, {.heads = 2, .causal = true}, 32, 0.1f);
    const Mixture m =
        mixture_of_experts(model / "moe", ops::reshape_to(x, {sizes.batch * sizes.time, kWidth}),
                           {.experts = sizes.experts, .active = 1, .hidden = 8});
    const Tensor image = ops::reshape_to(m.output, {sizes.batch, sizes.time, kWidth, 1});
    const Tensor y = relu(batch_norm(
        model / "norm", convolution(model / "conv", image, 4, 3, {.padding = {1, 1, 1, 1}})));
    const Tensor loss = ops::reduce_sum(y * y) + m.balance_loss;
    add_training_step(model, loss, {.clip_norm = 1});
    Session session(std::move(graph), {.passes = {.verify = true}, .seed = 3});
    for (float& value : session.input("x").as()) value = 0.5f;
    session.input("learning_rate").as()[0] = 1e-2f;
    for (int step = 0; step < 2; ++step) {
      session.run();
      CHECK(std::isfinite(session.output("loss").as()[0]));
      CHECK(session.output("applied").as()[0] == 1);
    }
    for (const TensorView& view : session.state())
      for (const float value : view.as()) REQUIRE_MESSAGE(std::isfinite(value), view.name);
  }
}
