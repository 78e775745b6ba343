#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "compile/differentiate.h"
#include "engine/safetensors.h"
#include "engine/session.h"
#include "nn/experts.h"
#include "nn/initializers.h"
#include "nn/layers.h"
#include "nn/training.h"

// Against PyTorch's numbers, which tests/goldens/make_goldens.py wrote.

using namespace argosy;
using namespace argosy::nn;

namespace {

const SafetensorsFile& golden(const std::string& name) {
  static std::map<std::string, SafetensorsFile> open;
  const auto found = open.find(name);
  if (found != open.end()) return found->second;
  return open
      .emplace(name, SafetensorsFile(Path(ARGOSY_SOURCE_DIR) / "tests" / "goldens" /
                                     (name + ".safetensors")))
      .first->second;
}

const NamedTensor& tensor(const SafetensorsFile& file, const std::string& name) {
  const NamedTensor* found = file.find(name);
  REQUIRE_MESSAGE(found != nullptr, name);
  return *found;
}

std::span<const float> floats(const NamedTensor& t) {
  REQUIRE(t.type.dtype == DType::f32);
  return {reinterpret_cast<const float*>(t.bytes.data()), t.bytes.size() / sizeof(float)};
}

/// The largest difference, relative to the largest of 1 and the golden numbers.
double error(std::span<const float> got, std::span<const float> wanted) {
  if (got.size() != wanted.size()) return std::numeric_limits<double>::infinity();
  double worst = 0, size = 1;
  for (const float w : wanted) size = std::max(size, std::fabs(double{w}));
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(wanted[i])) continue;
    const double e = std::fabs(double{got[i]} - wanted[i]) / size;
    worst = e <= worst ? worst : e;
  }
  return worst;
}

constexpr double kTolerance = 3e-6;

void fill(const TensorView& view, const NamedTensor& from) {
  REQUIRE(view.type == from.type);
  std::ranges::copy(from.bytes, view.bytes.begin());
}

using Inputs = std::vector<Tensor>;
using Build = std::function<Tensor(const Inputs&)>;

/// Every case of ops.safetensors by name. Numbers beyond these are shapes of the script.
std::map<std::string, Build> op_cases() {
  std::map<std::string, Build> cases;
  using namespace ops;
  for (const OpDef* op : all_ops())
    if (op->pointwise.arity > 0)
      cases[std::string(op->name)] = [op](const Inputs& x) { return x[0].graph().add_one(*op, x); };
  cases["maximum_tied"] = cases["maximum"];
  cases["power_at_zero"] = cases["power"];
  cases["sum"] = [](const Inputs& x) { return reduce_sum(x[0], {0, 1}, true); };
  cases["max_reduce"] = [](const Inputs& x) { return reduce_max(x[0], {1, 2}, true); };
  cases["max_reduce_tied"] = [](const Inputs& x) { return reduce_max(x[0], {1}, true); };
  cases["argmax"] = [](const Inputs& x) {
    return apply(argmax, {x[0]}, {{"axis", int64_t{2}}, {"axes", int64_t{1}}});
  };
  cases["cumulative_sum"] = [](const Inputs& x) { return running_sum(x[0]); };
  cases["transpose"] = [](const Inputs& x) { return permute(x[0], {2, 0, 1}); };
  cases["slice"] = [](const Inputs& x) { return slice_axis(x[0], 1, 1, 4); };
  cases["pad"] = [](const Inputs& x) { return pad_axis(x[0], 1, 2, 1); };
  cases["concat"] = [](const Inputs& x) { return concatenate(x, 1); };
  cases["broadcast_to"] = [](const Inputs& x) { return broadcast_shape(x[0], {4, 3, 7}); };
  cases["softmax"] = [](const Inputs& x) { return apply(softmax, {x[0]}); };
  cases["top_k"] = [](const Inputs& x) { return largest(x[0], 3).values; };
  cases["sort"] = [](const Inputs& x) { return sorted(x[0]).values; };
  cases["gather"] = [](const Inputs& x) { return apply(gather, {x[0], x[1]}); };
  for (const bool a : {false, true})
    for (const bool b : {false, true})
      for (const char* shared : {"", "shared_"})
        cases[fmt::format("matmul_{}{}{}", shared, a ? "t" : "n", b ? "t" : "n")] =
            [=](const Inputs& x) { return matrix_multiply(x[0], x[1], a, b); };
  const PoolOptions pool = {.kernel = {3, 3}, .padding = {1, 1, 1, 1}};
  cases["max_pool"] = [=](const Inputs& x) { return pool_max(x[0], pool); };
  cases["average_pool"] = [=](const Inputs& x) { return pool_average(x[0], pool); };
  cases["cross_entropy"] = [](const Inputs& x) { return apply(cross_entropy, {x[0], x[1]}); };
  const auto attention_case = [&](const char* kind, const ops::AttentionOptions& options) {
    cases[fmt::format("attention_{}", kind)] = [=](const Inputs& x) {
      return attend(x[0], x[1], x[2], options, x.size() > 3 ? x[3] : Tensor());
    };
  };
  attention_case("full", {});
  for (const char* kind : {"causal", "grouped", "long", "segments"})
    attention_case(kind, {.causal = true});
  attention_case("window", {.causal = true, .window = 9});
  attention_case("soft_cap", {.causal = true, .soft_cap = 1.5});
  attention_case("everything", {.causal = true, .scale = 0.7, .window = 30, .soft_cap = 2});
  const auto with_constant = [](const char* name, auto loss) {
    return [=](const Inputs& x) {
      const NamedTensor& t = tensor(golden("ops"), name);
      return loss(x[0], x[0].graph().constant(t.type, {t.bytes.begin(), t.bytes.end()}));
    };
  };
  cases["mean_squared_error"] = with_constant("mean_squared_error/target", mean_squared_error);
  cases["mean_cross_entropy"] = with_constant("mean_cross_entropy/labels", mean_cross_entropy);
  for (const float beta : {0.0f, 0.5f})
    cases[fmt::format("smooth_l1_{:.1f}", beta)] = with_constant(
        "mean_squared_error/target",
        [=](const Tensor& x, const Tensor& target) { return smooth_l1(x, target, beta); });
  return cases;
}

void check_case(const std::string& name, const Build& build) {
  INFO(name);
  const SafetensorsFile& file = golden("ops");
  Graph graph;
  Inputs inputs;
  for (int i = 0; file.find(fmt::format("{}/x{}", name, i)); ++i)
    inputs.push_back(
        graph.input(fmt::format("x{}", i), tensor(file, fmt::format("{}/x{}", name, i)).type));
  const Tensor y = build(inputs);
  graph.output("y", y);
  const NamedTensor* weight = file.find(name + "/weight");
  if (weight) {
    const Tensor loss = ops::reduce_sum(y * graph.input("weight", weight->type));
    const std::vector<Tensor> grads = gradients(loss, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) graph.output(fmt::format("g{}", i), grads[i]);
  }
  Session session(std::move(graph));
  for (size_t i = 0; i < inputs.size(); ++i)
    fill(session.input(fmt::format("x{}", i)), tensor(file, fmt::format("{}/x{}", name, i)));
  if (weight) fill(session.input("weight"), *weight);
  session.run();
  const NamedTensor& wanted = tensor(file, name + "/y");
  CHECK(session.output("y").type == wanted.type);
  if (wanted.type.dtype == DType::f32)
    CHECK(error(session.output("y").as(), floats(wanted)) < kTolerance);
  else
    CHECK(std::ranges::equal(session.output("y").bytes, wanted.bytes));
  for (size_t i = 0; weight && i < inputs.size(); ++i)
    if (const NamedTensor* grad = file.find(fmt::format("{}/g{}", name, i))) {
      INFO("gradient " << i);
      CHECK(error(session.output(fmt::format("g{}", i)).as(), floats(*grad)) < kTolerance);
    }
}

/// Builds a layer on the golden input, with its parameters, and compares output, gradients and what
/// the layer keeps.
void check_layer(const std::string& name,
                 const std::function<Tensor(const Scope&, const Tensor&)>& layer,
                 bool training = true) {
  INFO(name);
  const SafetensorsFile& file = golden("layers");
  const NamedTensor &x_golden = tensor(file, name + "/x"), &y_golden = tensor(file, name + "/y");
  Graph graph;
  const Scope scope(graph, training);
  const Tensor x = graph.input("x", x_golden.type);
  const Tensor y = layer(scope, x);
  const Tensor loss = ops::reduce_sum(y * graph.input("weight", y_golden.type));
  std::vector<std::string> names;
  Inputs wanted = {x};
  for (const Variable& variable : graph.variables())
    if (variable.trainable) {
      names.push_back(variable.name);
      wanted.push_back(graph.tensor(variable.value));
    }
  const std::vector<Tensor> grads = gradients(loss, wanted);
  graph.output("y", y);
  if (is_floating(x.dtype())) graph.output("gx", grads[0]);
  for (size_t i = 0; i < names.size(); ++i) graph.output("g/" + names[i], grads[i + 1]);
  for (const Scope::Pending& pending : scope.pending())
    graph.update(pending.variable, pending.value);
  Session session(std::move(graph));
  for (const TensorView& view : session.state()) fill(view, tensor(file, name + "/p/" + view.name));
  fill(session.input("x"), x_golden);
  fill(session.input("weight"), tensor(file, name + "/weight"));
  session.run();
  CHECK(error(session.output("y").as(), floats(y_golden)) < kTolerance);
  if (file.find(name + "/gx"))
    CHECK(error(session.output("gx").as(), floats(tensor(file, name + "/gx"))) < kTolerance);
  for (const std::string& parameter : names) {
    INFO(parameter);
    CHECK(error(session.output("g/" + parameter).as(),
                floats(tensor(file, name + "/g/" + parameter))) < kTolerance);
  }
  for (const TensorView& view : session.state())
    if (const NamedTensor* after = file.find(name + "/after/" + view.name))
      CHECK(error(view.as(), floats(*after)) < kTolerance);
}

}  // namespace

TEST_CASE("goldens: ops have PyTorch's values and gradients") {
  const auto cases = op_cases();
  std::map<std::string, int> checked;
  for (const NamedTensor& entry : golden("ops").tensors()) {
    const std::string name = entry.name.substr(0, entry.name.find('/'));
    if (checked[name]++ > 0) continue;
    REQUIRE_MESSAGE(cases.contains(name), name);
    check_case(name, cases.at(name));
  }
  CHECK(checked.size() > 60);
}

TEST_CASE("goldens: layers have PyTorch's values, gradients and statistics") {
  check_layer("linear", [](const Scope& s, const Tensor& x) { return linear(s, x, 3); });
  check_layer("linear_plain",
              [](const Scope& s, const Tensor& x) { return linear(s, x, 3, false); });
  const auto convolved = [](int64_t out, int64_t kernel, const ops::ConvolutionOptions& options,
                            bool bias = true) {
    return [=](const Scope& s, const Tensor& x) {
      return convolution(s, x, out, kernel, options, bias);
    };
  };
  check_layer("convolution", convolved(4, 3, {}));
  check_layer("convolution_stride", convolved(4, 5, {.stride = {2, 2}}));
  check_layer("convolution_padding", convolved(4, 3, {.stride = {2, 1}, .padding = {2, 2, 1, 1}}));
  check_layer("convolution_dilation", convolved(3, 3, {.dilation = {2, 1}}));
  check_layer("convolution_groups", convolved(6, 3, {.padding = {1, 1, 1, 1}, .groups = 2}));
  check_layer("convolution_depthwise", convolved(4, 3, {.groups = 4}, false));
  const auto batch = [](const Scope& s, const Tensor& x) { return batch_norm(s, x); };
  check_layer("batch_norm", batch);
  check_layer("batch_norm_eval", batch, false);
  check_layer("group_norm", [](const Scope& s, const Tensor& x) { return group_norm(s, x, 3); });
  check_layer("layer_norm", [](const Scope& s, const Tensor& x) { return layer_norm(s, x); });
  check_layer("rms_norm", [](const Scope& s, const Tensor& x) { return rms_norm(s, x); });
  check_layer("embedding", [](const Scope& s, const Tensor& x) { return embedding(s, x, 7, 4); });
  check_layer("mlp", [](const Scope& s, const Tensor& x) { return mlp(s, x, 12); });
  check_layer("transformer_block", [](const Scope& s, const Tensor& x) {
    return transformer_block(s, x, {.heads = 4, .causal = true}, 24);
  });
  check_layer("mixture_of_experts", [](const Scope& s, const Tensor& x) {
    const Mixture m = mixture_of_experts(s, x, {.experts = 5, .active = 2, .hidden = 9});
    return m.output + m.balance_loss;
  });
}

TEST_CASE("goldens: initial values have PyTorch's bounds and deviation") {
  const auto close = [](const std::string& name, const Initializer& initializer, size_t n) {
    INFO(name);
    const auto wanted = floats(tensor(golden("initializers"), name));  // least, most, deviation
    std::vector<float> values(n);
    initializer(42, values);
    double squares = 0;
    for (const float v : values) squares += double{v} * v;
    CHECK(*std::min_element(values.begin(), values.end()) ==
          doctest::Approx(wanted[0]).epsilon(n > 1000 ? 0.02 : 0.1));
    CHECK(*std::max_element(values.begin(), values.end()) ==
          doctest::Approx(wanted[1]).epsilon(n > 1000 ? 0.02 : 0.1));
    CHECK(std::sqrt(squares / static_cast<double>(n)) ==
          doctest::Approx(wanted[2]).epsilon(n > 1000 ? 0.02 : 0.1));
  };
  close("linear/weight", fan_in_uniform(200), 60000);
  close("linear/bias", fan_in_uniform(200), 300);
  close("convolution/weight", fan_in_uniform(16 * 25), 64 * 16 * 25);
  close("xavier_uniform/weight", xavier_uniform(200, 300), 60000);
  close("truncated_normal/weight", truncated_normal(0.5f), 60000);
}

TEST_CASE("goldens: ten clipped steps of AdamW and SGD are PyTorch's") {
  const SafetensorsFile& file = golden("optimizers");
  for (const std::string name : {"adamw", "sgd"}) {
    INFO(name);
    Graph graph;
    const Scope scope(graph, true);
    const NamedTensor &x = tensor(file, "data/x"), &target = tensor(file, "data/target");
    const Tensor loss = mean_squared_error(linear(scope, graph.input("x", x.type), 2),
                                           graph.input("target", target.type));
    add_training_step(scope, loss, {.name = name, .weight_decay = 0.1f, .clip_norm = 0.5f});
    Session session(std::move(graph));
    for (const char* parameter : {"weight", "bias"})
      fill(session.state(parameter), tensor(file, name + "/p/" + parameter));
    fill(session.input("x"), x);
    fill(session.input("target"), target);
    session.input("learning_rate").as()[0] = name == "sgd" ? 5e-2f : 1e-2f;
    const auto losses = floats(tensor(file, name + "/losses")),
               norms = floats(tensor(file, name + "/norms"));
    for (size_t step = 0; step < 10; ++step) {
      session.run();
      CHECK(session.output("loss").as()[0] == doctest::Approx(losses[step]).epsilon(2e-6));
      CHECK(session.output("gradient_norm").as()[0] == doctest::Approx(norms[step]).epsilon(5e-6));
    }
    for (const char* parameter : {"weight", "bias"})
      CHECK(error(session.state(parameter).as(),
                  floats(tensor(file, name + "/after/" + parameter))) < 2e-6);
  }
}
