// How long an op's kernels take, by themselves. See bench/README.md; its peer is
// bench/peers/kernels_torch.py, with the same cases and the same output.
//
//   bench_kernels [TEXT...] [--threads N] [--seconds S] [--instructions NAME]
//
// Runs the cases whose names contain one of the texts (all without any) for S seconds each. Prints
// one JSON object a case: median milliseconds, of wall time and of all threads' CPU time; by the
// first GFLOP/s and GB/s of what has to be computed and moved (operands read once, results written
// once).
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>

#include "backend/cpu/backend.h"
#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "bench/measure.h"
#include "engine/session.h"
#include "ops/ops.h"
#include "ops/optimizer.h"

namespace {

using namespace argosy;

struct Case {
  std::string name;
  std::function<void(Graph&)> build;  ///< inputs, nodes, outputs
};

struct AttentionCase {
  std::string_view name;
  int64_t b, t, h, g, d;
  ops::AttentionOptions options;
};

const AttentionCase kAttentions[] = {
    {"gpt", 16, 256, 6, 6, 64, {.causal = true}},
    {"long", 1, 8192, 8, 8, 64, {.causal = true}},
    {"grok", 8, 256, 8, 2, 32, {.causal = true, .soft_cap = 30}},
    {"grouped", 8, 256, 8, 2, 32, {.causal = true}},
    {"window", 1, 8192, 8, 8, 64, {.causal = true, .window = 512}},
    {"full", 4, 1024, 8, 8, 64, {}},
    {"clip", 32, 4, 4, 4, 32, {}},
};

void build_attention(Graph& graph, const AttentionCase& c, bool backward) {
  const Type queries{DType::f32, {c.b, c.t, c.h, c.d}}, keys{DType::f32, {c.b, c.t, c.g, c.d}};
  const Tensor q = graph.input("q", queries), k = graph.input("k", keys),
               v = graph.input("v", keys), y = ops::attend(q, k, v, c.options);
  graph.output("y", y);
  if (!backward) return;
  const int32_t node = y.value().node;
  const std::vector<Tensor> grads =
      graph.add(ops::attention_gradient,
                std::vector{graph.input("dy", queries), q, k, v, y, graph.tensor({node, 1})},
                Attributes(graph.node(node).attributes));
  const char* names[] = {"dq", "dk", "dv"};
  for (size_t i = 0; i < 3; ++i) graph.output(names[i], grads[i]);
}

/// The parameters of a small GPT: 13.8 million numbers in matrices of several sizes and vectors.
std::vector<Shape> parameter_shapes() {
  std::vector<Shape> shapes = {{8192, 384}};
  for (int layer = 0; layer < 6; ++layer)
    for (const Shape& shape :
         {Shape{1152, 384}, Shape{384, 384}, Shape{1536, 384}, Shape{384, 1536}, Shape{384}})
      shapes.push_back(shape);
  return shapes;
}

std::vector<Tensor> gradient_inputs(Graph& graph) {
  std::vector<Tensor> gradients;
  for (const Shape& shape : parameter_shapes())
    gradients.push_back(graph.input(fmt::format("g{}", gradients.size()), {DType::f32, shape}));
  return gradients;
}

/// One AdamW step of all parameters, in place; its states in the given format.
void build_adamw(Graph& graph, DType state) {
  std::vector<Tensor> changed, operands;
  std::vector<int64_t> decayed;
  const auto variable = [&](const Type& type) {
    changed.push_back(graph.variable({.name = fmt::format("v{}", changed.size())}, type));
  };
  for (const Shape& shape : parameter_shapes()) {
    variable({DType::f32, shape});
    for (int moment = 0; moment < 2; ++moment) {
      variable({state, shape});
      if (state == DType::u8) variable({DType::f32, {ops::scales_for(count(shape))}});
    }
    decayed.push_back(shape.size() > 1);
  }
  operands = changed;
  for (const Tensor& gradient : gradient_inputs(graph)) operands.push_back(gradient);
  for (const float scalar : {1e-4f, 10.0f, 1.0f, 1.0f}) operands.push_back(graph.constant(scalar));
  const std::vector<Tensor> updated = graph.add(ops::adamw_update, operands,
                                                {{"beta1", 0.9},
                                                 {"beta2", 0.999},
                                                 {"epsilon", 1e-8},
                                                 {"weight_decay", 0.01},
                                                 {"decayed", decayed},
                                                 {"state", state},
                                                 {"average_decay", 0.0}});
  for (size_t i = 0; i < changed.size(); ++i) graph.update(changed[i], updated[i]);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& [name, state] :
       {std::pair{"f32", DType::f32}, {"bf16", DType::bf16}, {"int8", DType::u8}})
    cases.push_back(
        {fmt::format("adamw/{}", name), [state](Graph& graph) { build_adamw(graph, state); }});
  cases.push_back({"gradient_norm", [](Graph& graph) {
                     const Tensor squares =
                         graph.add_one(ops::sum_of_squares, gradient_inputs(graph));
                     graph.output("norm", ops::apply(ops::sqrt, {squares}));
                   }});
  for (const AttentionCase& c : kAttentions)
    for (const bool backward : {false, true})
      cases.push_back(
          {fmt::format("attention/{}/{}", c.name, backward ? "forward+backward" : "forward"),
           [&c, backward](Graph& graph) { build_attention(graph, c, backward); }});
  return cases;
}

void run_case(const Case& c, double seconds) {
  Graph graph;
  c.build(graph);
  std::vector<std::string> inputs;
  for (const Port& port : graph.inputs()) inputs.push_back(port.name);
  Session session(std::move(graph));
  Random random(1);
  for (const std::string& name : inputs)
    for (float& x : session.input(name).as()) x = random.normal();
  session.run();  // warm
  const bench::Block times = bench::measure(session, seconds);
  double bytes = 0;
  for (const Call& call : session.program().calls) bytes += call.bytes;
  fmt::print(
      "{{\"case\": \"{}\", \"program\": \"argosy\", \"threads\": {}, \"ms\": {:.3f}, \"cpu_ms\": "
      "{:.3f}, \"gflops\": {:.1f}, \"gb_s\": {:.1f}}}\n",
      c.name, thread_count(), 1e3 * times.step_s, 1e3 * times.cpu_s,
      session.program().flops() / times.step_s / 1e9, bytes / times.step_s / 1e9);
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  std::vector<std::string> wanted;
  double seconds = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (!word.starts_with("--")) {
      wanted.push_back(word);
      continue;
    }
    if (value.empty())
      throw Error({.what = fmt::format("{} has no value", word),
                   .where = "bench_kernels",
                   .fix = "bench_kernels attention/gpt --threads 1"});
    ++i;
    if (word == "--threads")
      set_thread_count(std::stoi(value));
    else if (word == "--seconds")
      seconds = std::stod(value);
    else if (word == "--instructions")
      cpu::use_instruction_set(value);
    else
      throw Error({.what = fmt::format("there is no {}", word),
                   .where = "bench_kernels",
                   .fix = "--threads, --seconds or --instructions"});
  }
  int ran = 0;
  for (const Case& c : all_cases()) {
    const bool runs = wanted.empty() || std::ranges::any_of(wanted, [&](const std::string& text) {
                        return c.name.find(text) != std::string::npos;
                      });
    if (!runs) continue;
    run_case(c, seconds);
    ++ran;
  }
  if (ran == 0) {
    std::vector<std::string> names;
    for (const Case& c : all_cases()) names.push_back(c.name);
    throw Error({.what = "no case has such a name",
                 .where = "bench_kernels",
                 .fix = fmt::format("one of {}", fmt::join(names, ", "))});
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  restart_without_spinning(argv);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_kernels: {}\n", error.what());
    return 2;
  }
}
