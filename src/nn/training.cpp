#include "nn/training.h"

#include "base/error.h"
#include "compile/differentiate.h"
#include "ops/ops.h"
#include "ops/optimizer.h"

namespace argosy::nn {

using namespace ops;

namespace {

struct Optimizer {
  std::string_view name;
  const OpDef& op;
  std::vector<std::string_view> states;
  Attributes (*attributes)(const OptimizerOptions&);
};

/// Each optimizer, one row.
const Optimizer kOptimizers[] = {
    {"adamw",
     adamw_update,
     {"first", "second"},
     [](const OptimizerOptions& o) {
       return Attributes{
           {"beta1", double{o.beta1}}, {"beta2", double{o.beta2}}, {"epsilon", double{o.epsilon}}};
     }},
    {"sgd",
     sgd_update,
     {"momentum"},
     [](const OptimizerOptions& o) { return Attributes{{"momentum", double{o.momentum}}}; }},
};

struct Format {
  std::string_view name;
  DType state;
};
constexpr Format kFormats[] = {{"f32", DType::f32}, {"bf16", DType::bf16}, {"int8", DType::u8}};

/// Tensors of fewer elements keep f32: they weigh nothing, and biases and norms are sensitive.
constexpr int64_t kReducedElements = 4096;

template <typename Rows>
const auto& row_of(const Rows& rows, const std::string& name, const char* kind, const char* key) {
  std::vector<std::string_view> known;
  for (const auto& row : rows) {
    if (row.name == name) return row;
    known.push_back(row.name);
  }
  throw Error({.what = fmt::format("no {} is named {}", kind, name),
               .where = fmt::format("recipe, {}", key),
               .fix = fmt::format("choose one of {}", fmt::join(known, ", "))});
}

struct Parameter {
  Variable variable;
  Tensor value, gradient;
};

/// What all parameters of a step share, each one f32.
struct Step {
  Tensor rate, number, scale, applied;
};

/// One call that moves all of `parameters`.
void add_update(Graph& graph, const Optimizer& optimizer, DType format,
                const std::vector<Parameter>& parameters, const Step& step,
                const OptimizerOptions& options) {
  if (parameters.empty()) return;
  std::vector<Tensor> changed, operands;
  std::vector<int64_t> decayed;
  for (const auto& [variable, value, gradient] : parameters) {
    const auto keep = [&](const std::string& kind, const Type& type) {
      changed.push_back(
          graph.variable({.name = fmt::format("optimizer/{}/{}", kind, variable.name)}, type));
    };
    changed.push_back(value);
    for (const std::string_view kind : optimizer.states) {
      keep(std::string(kind), {format, value.shape()});
      if (format == DType::u8)
        keep(fmt::format("{}_scale", kind), {DType::f32, {scales_for(value.elements())}});
    }
    if (options.average_decay > 0)
      changed.push_back(graph.variable({.name = "average/" + variable.name,
                                        .initialize = variable.initialize,
                                        .seeded_as = variable.name},
                                       value.type()));
    decayed.push_back(variable.decayed ? 1 : 0);
  }
  operands = changed;
  for (const Parameter& parameter : parameters) operands.push_back(parameter.gradient);
  for (const Tensor& scalar : {step.rate, step.number, step.scale, step.applied})
    operands.push_back(scalar);
  Attributes attributes = optimizer.attributes(options);
  attributes.set("weight_decay", double{options.weight_decay});
  attributes.set("decayed", std::move(decayed));
  attributes.set("state", format);
  attributes.set("average_decay", double{options.average_decay});
  const std::vector<Tensor> updated = graph.add(optimizer.op, operands, std::move(attributes));
  for (size_t i = 0; i < changed.size(); ++i) graph.update(changed[i], updated[i]);
}

}  // namespace

void add_training_step(const Scope& scope, const Loss& loss, const OptimizerOptions& options) {
  Graph& graph = scope.graph();
  const Optimizer& optimizer = row_of(kOptimizers, options.name, "optimizer", "optimizer.name");
  const DType format = row_of(kFormats, options.state, "format", "optimizer.state").state;
  check(options.accumulate >= 1, "{} batches make a step", options.accumulate);
  const auto mean = [&](const Tensor& total, const Tensor& count) {
    return count ? total / apply(maximum, {count, graph.constant(1)}) : total;
  };
  // of one batch the mean is differentiated; of several the total, since the count comes with the
  // last
  const bool several = options.accumulate > 1;
  Tensor total = loss.total, count = loss.count;
  if (several && !count) count = graph.constant(1);
  const Tensor differentiated = several ? total : mean(total, count);

  std::vector<Parameter> parameters;
  std::vector<Tensor> values;
  for (const Variable& variable : graph.variables())
    if (variable.trainable) {
      values.push_back(graph.tensor(variable.value));
      parameters.push_back({variable, values.back(), {}});
    }
  std::vector<Tensor> grads = gradients(differentiated, values);

  graph.label = "optimizer";
  Tensor last;
  if (several) {
    // fed, not computed: a sum that waits for no other node takes its gradient as soon as it is
    // there
    const Tensor first = graph.input("first_batch", {DType::boolean, {}});
    last = graph.input("last_batch", {DType::boolean, {}});
    const auto accumulate = [&](const std::string& name, const Tensor& addend) {
      const Tensor before =
          graph.variable({.name = "accumulated/" + name, .kept = false}, addend.type());
      // chosen and not multiplied by 0, which would keep a NaN
      const Tensor sum = where(first, addend, before + addend);
      graph.update(before, sum);
      return sum;
    };
    for (size_t i = 0; i < grads.size(); ++i)
      grads[i] = accumulate(parameters[i].variable.name, grads[i]);
    total = accumulate("loss/total", total);
    count = accumulate("loss/count", count);
  }
  for (size_t i = 0; i < grads.size(); ++i) parameters[i].gradient = grads[i];
  const Tensor average_loss = several ? mean(total, count) : differentiated;

  Tensor norm = graph.constant(0);
  if (!grads.empty()) {
    norm = apply(ops::sqrt, {graph.add_one(sum_of_squares, grads)});
    if (several) norm = mean(norm, count);
  }
  const Tensor finite =
      apply(logical_and, {apply(is_finite, {average_loss}), apply(is_finite, {norm})});
  const Tensor applied = cast_to(several ? apply(logical_and, {finite, last}) : finite, DType::f32);
  // as torch.nn.utils.clip_grad_norm_: never scales up, and 1e-6 keeps a zero norm harmless
  Tensor scale = graph.constant(1);
  if (options.clip_norm > 0)
    scale = apply(minimum, {options.clip_norm / (norm + 1e-6f), graph.constant(1)});
  if (several) scale = mean(scale, count);

  const Tensor old_step = graph.variable({.name = "optimizer/step"}, {DType::f32, {}});
  const Tensor step = old_step + applied;
  graph.update(old_step, step);
  std::vector<Parameter> full, reduced;
  for (const Parameter& parameter : parameters)
    (parameter.value.elements() < kReducedElements ? full : reduced).push_back(parameter);
  if (format == DType::f32) {
    full = parameters;
    reduced.clear();
  }
  const Step now = {graph.input("learning_rate", {DType::f32, {}}), step, scale, applied};
  add_update(graph, optimizer, DType::f32, full, now, options);
  add_update(graph, optimizer, format, reduced, now, options);
  for (const Scope::Pending& pending : scope.pending())
    graph.update(pending.variable, where(finite, pending.value, pending.variable));
  graph.output("loss", average_loss);
  graph.output("gradient_norm", norm);
  graph.output("applied", applied);
  graph.label.clear();
}

}  // namespace argosy::nn
