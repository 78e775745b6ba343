#include "engine/session.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "base/threads.h"
#include "engine/safetensors.h"
#include "nn/initializers.h"
#include "nn/layers.h"
#include "nn/training.h"
#include "shared.h"

namespace {
std::atomic<int64_t> allocations = 0, living = 0;
}

// Every allocation of this program is counted.
void* operator new(size_t size) {
  ++allocations, ++living;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new(size_t size, std::align_val_t alignment) {
  ++allocations, ++living;
  const auto to = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(to, (size + to - 1) / to * to)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size, std::align_val_t to) { return operator new(size, to); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return operator new(size); }
void operator delete(void* memory) noexcept {
  if (memory) --living;
  std::free(memory);
}
void operator delete[](void* memory) noexcept { operator delete(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { operator delete(memory); }
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, size_t) noexcept { operator delete(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { operator delete(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { operator delete(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { operator delete(memory); }

using namespace argosy;
using namespace argosy::nn;

namespace {

constexpr int64_t kBatch = 4, kTime = 6, kWidth = 16;

/// A training step of a small model with most of what models have in it.
Graph training_graph(const OptimizerOptions& options = {.clip_norm = 1, .average_decay = 0.99f},
                     bool convolutions = true) {
  Graph graph;
  const Tensor seed = graph.input("seed", {DType::i64, {}});
  const Scope model(graph, true, seed);
  Tensor x = graph.input("x", {DType::f32, {kBatch, kTime, kWidth}});
  if (convolutions) {
    Tensor image = ops::reshape_to(x, {kBatch, kTime, kWidth, 1});
    image = relu(batch_norm(model / "bn", convolution(model / "conv", image, 4, 3)));
    x = x + ops::reshape_to(linear(model / "in", ops::reshape_to(image, {kBatch, -1}), kWidth),
                            {kBatch, 1, kWidth});
  }
  x = transformer_block(model / "block", x, {.heads = 2, .causal = true}, 32, 0.1f);
  const Tensor y = linear(model / "head", ops::reduce_mean(x, {1}), 3);
  const Tensor loss = mean_squared_error(y, graph.input("target", {DType::f32, {kBatch, 3}}));
  add_training_step(model, loss, options);
  return graph;
}

void feed(Session& session, int64_t step) {
  Random random(77, static_cast<uint64_t>(step));
  for (float& v : session.input("x").as()) v = random.normal();
  for (float& v : session.input("target").as()) v = random.normal();
  session.input("seed").as<int64_t>()[0] = step;
  session.input("learning_rate").as()[0] = 1e-2f;
}

void train(Session& session, int64_t from, int64_t to) {
  for (int64_t step = from; step < to; ++step) {
    feed(session, step);
    session.run();
  }
}

std::string state_bytes(const Session& session) {
  std::string bytes;
  for (const TensorView& view : session.state())
    bytes += view.name +
             std::string(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
  return bytes;
}

}  // namespace

TEST_CASE("session: the same seed gives the same bits, another seed others") {
  Session a(training_graph(), {.seed = 1}), b(training_graph(), {.seed = 1}),
      c(training_graph(), {.seed = 2});
  CHECK((state_bytes(a) == state_bytes(b)));
  CHECK((state_bytes(a) != state_bytes(c)));
  train(a, 0, 5), train(b, 0, 5);
  CHECK((state_bytes(a) == state_bytes(b)));
  CHECK(a.output("loss").as()[0] == b.output("loss").as()[0]);
}

TEST_CASE("session: the first values are the same at every number of threads") {
  const int before = thread_count();
  const auto first_values = [](int threads) {
    set_thread_count(threads);
    Graph graph;
    const Scope model(graph, true);
    Tensor x = graph.input("x", {DType::f32, {1, 100}});
    for (const char* name : {"a", "b", "c", "d"}) x = linear(model / name, x, 100);
    graph.output("y", linear(model / "e", x, 500));
    return state_bytes(Session(std::move(graph), {.seed = 1}));
  };
  const std::string alone = first_values(1);
  for (const int threads : {2, 3, 4}) CHECK((first_values(threads) == alone));
  CHECK((alone.size() > 4 * 90'000));
  set_thread_count(before);
}

TEST_CASE("session: training lowers the loss and says that steps were applied") {
  Session session(training_graph());
  train(session, 0, 1);
  const float first = session.output("loss").as()[0];
  for (int i = 0; i < 40; ++i) train(session, 0, 1);
  CHECK(session.output("loss").as()[0] < 0.5f * first);
  CHECK(session.output("applied").as()[0] == 1);
  CHECK(session.state("optimizer/step").as()[0] == 41);
}

TEST_CASE("session: after the first run none keeps memory, and none without oneDNN allocates any") {
  Session with(training_graph());
  train(with, 0, 3);
  const int64_t before = living;
  train(with, 3, 13);
  CHECK(living == before);

  // pointwise work, normalisation and updates: not one allocation
  Graph graph;
  const Scope model(graph, true, graph.input("seed", {DType::i64, {}}));
  const Tensor x = graph.input("x", {DType::f32, {64, 300}});
  const Tensor weight = model.parameter("w", {300}, uniform(-1, 1), true);
  const Tensor y = layer_norm(model / "norm", gelu(x * weight));
  add_training_step(model, mean_squared_error(y, ops::apply(ops::softmax, {x})), {});
  Session session(std::move(graph));
  session.run();
  session.run();
  const int64_t counted = allocations;
  for (int i = 0; i < 5; ++i) session.run();
  CHECK(allocations - counted == 0);
  for (const std::string& op : session.reference_ops()) MESSAGE(op << " runs its reference");
}

TEST_CASE("session: a step whose loss is not finite changes no bit of the state") {
  for (const char* name : {"adamw", "sgd"}) {
    Session session(training_graph({.name = name, .clip_norm = 1, .average_decay = 0.9f}));
    train(session, 0, 2);
    const std::string before = state_bytes(session);
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e38f}) {
      feed(session, 2);
      session.input("target").as()[3] = bad;
      session.run();
      INFO(name << " " << bad);
      CHECK(session.output("applied").as()[0] == 0);
      CHECK((state_bytes(session) == before));
    }
    train(session, 2, 3);
    CHECK(session.output("applied").as()[0] == 1);
    CHECK((state_bytes(session) != before));
  }
}

namespace {

/// A network that fits two numbers, some of which (NaN) count for nothing.
Session fit_session(int64_t batch, const OptimizerOptions& options, int64_t width = 16,
                    int64_t layers = 1) {
  Graph graph;
  const Scope model(graph, true);
  const Tensor x = graph.input("x", {DType::f32, {batch, 8}});
  const Tensor target = graph.input("target", {DType::f32, {batch, 2}});
  Tensor hidden = gelu(linear(model / "a", x, width));
  for (int64_t layer = 0; layer < layers; ++layer)
    hidden = gelu(linear(model / fmt::format("b{}", layer), hidden, width));
  const Tensor known = ops::apply(ops::equal, {target, target});
  const Tensor error =
      ops::where(known, linear(model / "c", hidden, 2) - target, graph.constant(0));
  add_training_step(
      model, {ops::reduce_sum(error * error), ops::reduce_sum(ops::cast_to(known, DType::f32))},
      options);
  return Session(std::move(graph), {.seed = 4});
}

/// Feeds samples [first, first + batch) of a fixed sequence.
void feed_samples(Session& session, int64_t first) {
  const auto x = session.input("x").as(), target = session.input("target").as();
  for (size_t row = 0; row < target.size() / 2; ++row) {
    const auto sample = static_cast<uint64_t>(first) + row;
    Random random(5, sample);
    for (size_t i = 0; i < 8; ++i) x[row * 8 + i] = random.normal();
    for (size_t i = 0; i < 2; ++i) {
      target[row * 2 + i] = x[row * 8 + i] * x[row * 8 + i + 1];
      // of every twelve samples the first four have no target, most others have both
      if (sample % 12 < 4 || (sample + i) % 5 == 0)
        target[row * 2 + i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  session.input("learning_rate").as()[0] = 1e-2f;
}

void tell_batch(Session& session, int64_t number) {
  session.input("first_batch").as<uint8_t>()[0] = number == 0;
  session.input("last_batch").as<uint8_t>()[0] = number == 2;
}

/// One step of three accumulated batches of four samples.
void accumulate_step(Session& session, int64_t step) {
  for (int64_t number = 0; number < 3; ++number) {
    feed_samples(session, step * 12 + number * 4);
    tell_batch(session, number);
    session.run();
    CHECK((session.output("applied").as()[0] == 1) == (number == 2));
  }
}

}  // namespace

TEST_CASE("session: accumulated batches of unequal counts make the step of one large batch") {
  for (const char* name : {"adamw", "sgd"})
    for (const float clip : {0.0f, 0.05f}) {
      const OptimizerOptions options = {.name = name, .epsilon = 1e-3f, .clip_norm = clip};
      OptimizerOptions three = options;
      three.accumulate = 3;
      Session whole = fit_session(12, options), parts = fit_session(4, three);
      for (int64_t step = 0; step < 6; ++step) {
        feed_samples(whole, step * 12);
        whole.run();
        accumulate_step(parts, step);
        INFO(name << " " << clip << " step " << step);
        for (const char* output : {"loss", "gradient_norm"})
          CHECK(parts.output(output).as()[0] ==
                doctest::Approx(whole.output(output).as()[0]).epsilon(1e-5));
      }
      CHECK(parts.state("optimizer/step").as()[0] == 6);
      CHECK(parts.state().size() == whole.state().size());  // sums are not kept
      for (const TensorView& view : whole.state()) {
        INFO(view.name);
        for (size_t i = 0; i < view.as().size(); ++i)
          CHECK(std::abs(parts.state(view.name).as()[i] - view.as()[i]) < 2e-5);
      }
    }
}

TEST_CASE(
    "session: one batch that is not finite skips its step of accumulated batches, not the next") {
  const OptimizerOptions options = {.clip_norm = 1, .average_decay = 0.9f, .accumulate = 3};
  Session session = fit_session(4, options), other = fit_session(4, options);
  accumulate_step(session, 0);
  accumulate_step(other, 0);
  const std::string before = state_bytes(session);
  for (int64_t number = 0; number < 3; ++number) {
    feed_samples(session, 12 + number * 4);
    tell_batch(session, number);
    if (number == 1) session.input("x").as()[3] = std::numeric_limits<float>::infinity();
    session.run();
    CHECK(session.output("applied").as()[0] == 0);
    CHECK((state_bytes(session) == before));
  }
  accumulate_step(session, 1);
  accumulate_step(other, 1);
  CHECK((state_bytes(session) == state_bytes(other)));
}

TEST_CASE("session: accumulation takes its sums beside the memory of one batch, and not more") {
  const OptimizerOptions once = {}, many = {.accumulate = 8};
  const Session one = fit_session(4, once, 128, 6), eight = fit_session(4, many, 128, 6);
  CHECK(2 * eight.program().arena_bytes < one.program().arena_bytes);  // no gradient waits
  int64_t parameters = 0;
  for (const StateBuffer& entry : one.program().state)
    if (entry.trainable) parameters += one.state(entry.name).type.elements();
  CHECK(eight.program().state_bytes - one.program().state_bytes <
        static_cast<size_t>(parameters) * 4 + 1024);
}

TEST_CASE("session: reduced optimizer states train as f32 does and go on from a file bit for bit") {
  const test::TemporaryFolder temporary;
  const auto run = [](Session& session, int64_t from, int64_t to) {
    double loss = 0;
    for (int64_t step = from; step < to; ++step) {
      feed_samples(session, step % 20 * 12);
      session.run();
      if (step >= to - 20) loss += session.output("loss").as()[0] / 20;
    }
    return loss;
  };
  for (const char* name : {"adamw", "sgd"}) {
    Session plain = fit_session(12, {.name = name}, 64);
    const double first = run(plain, 0, 20), wanted = run(plain, 20, 300);
    CHECK(wanted < 0.3 * first);
    for (const auto& [state, type] : {std::pair{"bf16", DType::bf16}, {"int8", DType::u8}}) {
      INFO(name << " " << state);
      const OptimizerOptions options = {.name = name, .state = state};
      Session reduced = fit_session(12, options, 64);
      const std::string kind = std::string(name) == "sgd" ? "momentum" : "second";
      CHECK(reduced.state("optimizer/" + kind + "/b0/weight").type.dtype == type);
      CHECK(reduced.state("optimizer/" + kind + "/b0/bias").type.dtype == DType::f32);
      run(reduced, 0, 100);
      std::vector<NamedTensor> tensors;
      const auto views = reduced.state();
      for (const TensorView& view : views) tensors.push_back({view.name, view.type, view.bytes});
      const Path file = temporary.path() / (std::string(name) + state);
      write_safetensors(file, tensors);
      const double found = run(reduced, 100, 300);
      CHECK(std::abs(found - wanted) < 0.05 * first);

      Session resumed = fit_session(12, options, 64);
      const SafetensorsFile saved(file);
      for (const TensorView& view : resumed.state()) {
        const NamedTensor* tensor = saved.find(view.name);
        REQUIRE((tensor != nullptr && tensor->type == view.type));
        std::ranges::copy(tensor->bytes, view.bytes.begin());
      }
      run(resumed, 100, 300);
      CHECK((state_bytes(resumed) == state_bytes(reduced)));
    }
  }
  CHECK_THROWS_AS(fit_session(4, {.state = "int4"}), Error);
}

TEST_CASE("session: saved, loaded into a new session and continued is never having stopped") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "state.safetensors";
  Session straight(training_graph(), {.seed = 3});
  train(straight, 0, 4);
  std::vector<NamedTensor> tensors;
  const auto views = straight.state();
  for (const TensorView& view : views) tensors.push_back({view.name, view.type, view.bytes});
  write_safetensors(file, tensors, {{"step", "4"}});
  train(straight, 4, 8);

  Session resumed(training_graph(), {.seed = 999});
  const SafetensorsFile saved(file);
  CHECK(saved.metadata().at("step") == "4");
  for (const TensorView& view : resumed.state()) {
    const NamedTensor* tensor = saved.find(view.name);
    REQUIRE(tensor != nullptr);
    REQUIRE(tensor->type == view.type);
    std::ranges::copy(tensor->bytes, view.bytes.begin());
  }
  train(resumed, 4, 8);
  CHECK((state_bytes(resumed) == state_bytes(straight)));
}

TEST_CASE("session: the moving average starts at the parameters and follows its formula") {
  Session session(training_graph({.average_decay = 0.99f}));
  const std::string name = "head/weight";
  const auto values = [&](const std::string& of) {
    const auto span = session.state(of).as();
    return std::vector<float>(span.begin(), span.end());
  };
  std::vector<float> average = values("average/" + name);
  CHECK(average == values(name));
  for (int64_t step = 1; step <= 12; ++step) {
    train(session, step, step + 1);
    const auto t = static_cast<float>(step);
    const float keep = std::min(0.99f, (1 + t) / (10 + t));
    const std::vector<float> now = values(name), got = values("average/" + name);
    for (size_t i = 0; i < now.size(); ++i) {
      average[i] = average[i] * keep + now[i] * (1 - keep);
      CHECK(got[i] == doctest::Approx(average[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("session: dropout is a function of the seed, drops its share and keeps the mean") {
  Graph graph;
  const Scope model(graph, true, graph.input("seed", {DType::i64, {}}));
  const Tensor x = graph.input("x", {DType::f32, {100, 1000}});
  graph.output("a", dropout(model, x, 0.3f));
  graph.output("b", dropout(model, x, 0.3f));
  Session session(std::move(graph));
  std::ranges::fill(session.input("x").as(), 1.0f);
  const auto run = [&](int64_t seed, const char* name) {
    session.input("seed").as<int64_t>()[0] = seed;
    session.run();
    const auto span = session.output(name).as();
    return std::vector<float>(span.begin(), span.end());
  };
  const auto first = run(5, "a");
  CHECK((run(5, "a") == first));
  CHECK((run(6, "a") != first));
  CHECK((run(5, "b") != first));
  int64_t dropped = 0;
  for (const float v : first) {
    dropped += v == 0;
    CHECK_MESSAGE((v == 0 || std::fabs(v - 1 / 0.7f) < 1e-6f), v);
  }
  // five deviations of a binomial: sqrt(0.3 * 0.7 * 100000) = 145
  CHECK(std::abs(dropped - 30000) < 725);
}

TEST_CASE("session: the step's memory is close to what must live at once") {
  for (const bool convolutions : {false, true}) {
    const Session session(training_graph({}, convolutions));
    const Program& program = session.program();
    CHECK(program.arena_bytes >= program.largest_live_bytes);
    CHECK(static_cast<double>(program.arena_bytes) <=
          1.05 * static_cast<double>(program.largest_live_bytes));
  }
}

TEST_CASE("session: a deep transformer stays a short program") {
  Graph graph;
  const Scope model(graph, true, graph.input("seed", {DType::i64, {}}));
  Tensor x = graph.input("x", {DType::f32, {2, 8, 32}});
  for (int layer = 0; layer < 12; ++layer)
    x = transformer_block(model / fmt::format("{}", layer), x, {.heads = 4, .causal = true}, 64);
  add_training_step(model, mean_squared_error(x, graph.input("y", x.type())), {});
  const Session session(std::move(graph));
  double seconds = 0;
  for (const PassTime& pass : session.pass_times()) seconds += pass.seconds;
  CHECK(session.program().calls.size() < 12 * 100);
  CHECK(static_cast<double>(session.program().arena_bytes) <=
        1.05 * static_cast<double>(session.program().largest_live_bytes));
  MESSAGE("12 layers: " << session.program().calls.size() << " calls, passes took " << seconds
                        << " s");
}

TEST_CASE("session: what runs a plain reference with work to do says so, once for each op") {
  const auto said = [](int64_t elements) {
    const test::TemporaryFolder folder;
    const Path path = folder.path() / "said";
    std::fflush(stderr);
    const int kept = dup(2), file = open(path.c_str(), O_WRONLY | O_CREAT, 0600);
    dup2(file, 2);
    for (int i = 0; i < 2; ++i) {
      Graph graph;
      graph.output("y", ops::range(graph, elements));
      const Session session(std::move(graph));
      CHECK((session.reference_ops() == std::vector<std::string>{"iota"}));
    }
    dup2(kept, 2);
    close(kept), close(file);
    return read_file(path);
  };
  CHECK(said(100) == "");
  CHECK(said(1 << 20) ==
        "iota() -> i32[1048576] has no kernel here: its plain reference runs, slowly, on one "
        "thread\n");
}
