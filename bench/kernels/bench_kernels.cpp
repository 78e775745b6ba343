// How long an op's kernels take, by themselves. See bench/README.md; its peer is
// bench/peers/kernels_torch.py, with the same attention and the same output; that of products is
// bench_bare.cpp.
//
//   bench_kernels [TEXT...] [--threads N] [--seconds S] [--instructions NAME]
//
// Runs the cases whose names contain one of the texts (all without any) for S seconds each. Prints
// one JSON object a case: median milliseconds, of wall time and of all threads' CPU time; by the
// first GFLOP/s and GB/s of what has to be computed and moved (operands read once, results written
// once).
#include <fmt/format.h>

#include <functional>

#include "base/random.h"
#include "base/threads.h"
#include "command.h"
#include "engine/session.h"
#include "ops/ops.h"
#include "ops/optimizer.h"
#include "products.h"

namespace {

using namespace argosy;
using bench::Direction;

struct Case {
  std::string name;
  std::function<void(Graph&)> build;  ///< inputs, nodes, outputs
  int64_t index_limit = 1;            ///< integer inputs are below it
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

void build_matmul(Graph& graph, const bench::MatmulCase& c) {
  const auto stored = [](bool transposed, int64_t rows, int64_t columns) {
    return Type{DType::f32, transposed ? Shape{columns, rows} : Shape{rows, columns}};
  };
  const Tensor a = graph.input("a", stored(c.transpose_a, c.m, c.k)),
               b = graph.input("b", stored(c.transpose_b, c.k, c.n));
  graph.output("c", ops::matrix_multiply(a, b, c.transpose_a, c.transpose_b));
}

void build_convolution(Graph& graph, const bench::ConvolutionCase& c) {
  const auto input = [&](const char* name, const Shape& shape) {
    return graph.input(name, {DType::f32, shape});
  };
  Attributes attributes = bench::attributes_of(c.options);
  const auto gradient_of = [&](const Shape& shape) {
    attributes.set("shape", shape);
    return attributes;
  };
  switch (c.direction) {
    case Direction::forward:
      graph.output("y", ops::convolve(input("x", c.x), input("weight", c.weight), c.options));
      break;
    case Direction::gradient_input:
      graph.output("dx",
                   ops::apply(ops::convolution_gradient_input,
                              {input("dy", c.y), input("weight", c.weight)}, gradient_of(c.x)));
      break;
    case Direction::gradient_weight:
      graph.output("dweight",
                   ops::apply(ops::convolution_gradient_weight, {input("x", c.x), input("dy", c.y)},
                              gradient_of(c.weight)));
      break;
  }
}

/// One op by itself, bound by the bytes it moves; its arrays are larger than most caches.
struct Sweep {
  std::string_view name;
  const OpDef& op;
  std::vector<Type> inputs;
  Attributes attributes;
  int64_t index_limit = 1;
};

std::vector<Sweep> sweeps() {
  const auto real = [](Shape shape) { return Type{DType::f32, std::move(shape)}; };
  const Type rows = real({40960, 384}), width = real({384}), row = real({40960});
  const Type pictures = real({64, 60, 80, 64}), channels = real({64}), groups = real({64, 32});
  const Type logits = real({4096, 8192}), loss = real({4096}), labels = {DType::i32, {4096}};
  const Attributes epsilon = {{"epsilon", 1e-5}},
                   grouped = {{"groups", int64_t{32}}, {"epsilon", 1e-5}};
  return {
      {"layer_norm/forward", ops::layer_norm, {rows, width, width}, epsilon},
      {"layer_norm/gradient", ops::layer_norm_gradient, {rows, rows, width, row, row}, {}},
      {"rms_norm/forward", ops::rms_norm, {rows, width}, epsilon},
      {"rms_norm/gradient", ops::rms_norm_gradient, {rows, rows, width, row}, {}},
      {"group_norm/forward", ops::group_norm, {pictures, channels, channels}, grouped},
      {"group_norm/gradient",
       ops::group_norm_gradient,
       {pictures, pictures, channels, groups, groups},
       grouped},
      {"softmax/forward", ops::softmax, {real({65536, 256})}, {}},
      {"cross_entropy/forward", ops::cross_entropy, {logits, labels}, {}, 8192},
      {"cross_entropy/gradient",
       ops::cross_entropy_gradient,
       {logits, labels, loss, loss},
       {},
       8192},
  };
}

void build_sweep(Graph& graph, const Sweep& sweep) {
  std::vector<Tensor> operands;
  for (const Type& type : sweep.inputs)
    operands.push_back(graph.input(fmt::format("operand{}", operands.size()), type));
  int number = 0;
  for (const Tensor& result : graph.add(sweep.op, operands, Attributes(sweep.attributes)))
    graph.output(fmt::format("result{}", number++), result);
}

/// A chain of pointwise ops that becomes one sweep: a bias and GELU, or what is behind them.
void build_gelu(Graph& graph, bool backward) {
  const Type hidden{DType::f32, {10240, 1536}};
  const Tensor x = graph.input("x", hidden) + graph.input("bias", {DType::f32, {1536}});
  if (backward)
    graph.output("dx", graph.input("dy", hidden) * ops::apply(ops::gelu_slope, {x}));
  else
    graph.output("y", ops::apply(ops::gelu, {x}));
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const bench::MatmulCase& c : bench::matmul_cases())
    cases.push_back({c.name, [c](Graph& graph) { build_matmul(graph, c); }});
  for (const bench::ConvolutionCase& c : bench::convolution_cases())
    cases.push_back({c.name, [c](Graph& graph) { build_convolution(graph, c); }});
  for (const Sweep& sweep : sweeps())
    cases.push_back({std::string(sweep.name), [sweep](Graph& graph) { build_sweep(graph, sweep); },
                     sweep.index_limit});
  for (const bool backward : {false, true})
    cases.push_back({backward ? "gelu/gradient" : "gelu/forward",
                     [backward](Graph& graph) { build_gelu(graph, backward); }});
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

/// Fills the inputs with normal numbers, integer ones with whole numbers below the limit.
void feed(Session& session, int64_t index_limit) {
  Random random(1);
  for (const NamedBuffer& input : session.program().inputs) {
    const TensorView view = session.input(input.name);
    if (view.type.dtype == DType::i32)
      for (int32_t& x : view.as<int32_t>())
        x = static_cast<int32_t>(random.below(static_cast<uint64_t>(index_limit)));
    else
      for (float& x : view.as()) x = random.normal();
  }
}

void run_case(const Case& c, double seconds) {
  Graph graph;
  c.build(graph);
  Session session(std::move(graph));
  feed(session, c.index_limit);
  session.run();  // warm
  double bytes = 0;
  for (const Call& call : session.program().calls) bytes += call.bytes;
  bench::print_line(c.name, "argosy", bench::measure(session, seconds), session.program().flops(),
                    bytes);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<bench::Measurement> measurements = {bench::memory_copy(), bench::memory_read()};
  for (const Case& c : all_cases())
    measurements.push_back({c.name, [c](double seconds) { run_case(c, seconds); }});
  return bench::run_measurements(argc, argv, measurements);
}
