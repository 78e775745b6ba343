#include "nn/training.h"

#include "base/error.h"
#include "compile/differentiate.h"
#include "ops/ops.h"

namespace argosy::nn {

using namespace ops;

void add_training_step(const Scope& scope, const Tensor& loss, const OptimizerOptions& options) {
  Graph& graph = scope.graph();
  const bool adamw = options.name == "adamw";
  if (!adamw && options.name != "sgd")
    throw Error({.what = fmt::format("no optimizer is named {}", options.name),
                 .where = "recipe, optimizer.name",
                 .fix = "choose adamw or sgd"});
  const std::vector<Variable> variables = [&] {
    std::vector<Variable> trainable;
    for (const Variable& variable : graph.variables())
      if (variable.trainable) trainable.push_back(variable);
    return trainable;
  }();
  std::vector<Tensor> parameters;
  for (const Variable& variable : variables) parameters.push_back(graph.tensor(variable.value));
  const std::vector<Tensor> grads = gradients(loss, parameters);

  graph.label = "optimizer";
  const Tensor rate = graph.input("learning_rate", {DType::f32, {}});
  Tensor squares;
  for (const Tensor& grad : grads) {
    const Tensor part = apply(sum_of_squares, {grad});
    squares = squares ? squares + part : part;
  }
  const Tensor norm = squares ? apply(ops::sqrt, {squares}) : graph.constant(0);
  const Tensor finite = apply(logical_and, {apply(is_finite, {loss}), apply(is_finite, {norm})});
  const Tensor applied = cast_to(finite, DType::f32);
  // as torch.nn.utils.clip_grad_norm_: never scales up, and 1e-6 keeps a zero norm harmless
  const Tensor scale = options.clip_norm > 0
                           ? apply(minimum, {options.clip_norm / (norm + 1e-6f), graph.constant(1)})
                           : graph.constant(1);

  const Tensor old_step = graph.variable({.name = "optimizer/step"}, {DType::f32, {}});
  const Tensor step = old_step + applied;
  graph.update(old_step, step);
  for (size_t i = 0; i < variables.size(); ++i) {
    const Variable& variable = variables[i];
    const Type& type = parameters[i].type();
    const auto moment = [&](const char* kind) {
      return graph.variable({.name = fmt::format("optimizer/{}/{}", kind, variable.name)}, type);
    };
    const double decay = variable.decayed ? options.weight_decay : 0.0;
    Tensor updated;
    if (adamw) {
      const Tensor first = moment("first"), second = moment("second");
      const auto results =
          graph.add(adamw_update,
                    std::vector{parameters[i], grads[i], first, second, rate, step, scale, applied},
                    {{"beta1", double{options.beta1}},
                     {"beta2", double{options.beta2}},
                     {"epsilon", double{options.epsilon}},
                     {"weight_decay", decay}});
      updated = results[0];
      graph.update(first, results[1]);
      graph.update(second, results[2]);
    } else {
      const Tensor momentum = moment("momentum");
      const auto results = graph.add(
          sgd_update, std::vector{parameters[i], grads[i], momentum, rate, scale, applied},
          {{"momentum", double{options.momentum}}, {"weight_decay", decay}});
      updated = results[0];
      graph.update(momentum, results[1]);
    }
    graph.update(parameters[i], updated);
    if (options.average_decay > 0) {
      const Tensor average = graph.variable({.name = "average/" + variable.name,
                                             .initialize = variable.initialize,
                                             .seeded_as = variable.name},
                                            type);
      // the early average leans on what there is: decay is at most (1 + step) / (10 + step)
      const Tensor keep =
          apply(minimum, {graph.constant(options.average_decay), (1.0f + step) / (10.0f + step)});
      graph.update(average, where(finite, average * keep + updated * (1.0f - keep), average));
    }
  }
  for (const Scope::Pending& pending : scope.pending())
    graph.update(pending.variable, where(finite, pending.value, pending.variable));
  graph.output("loss", loss);
  graph.output("gradient_norm", norm);
  graph.output("applied", applied);
  graph.label.clear();
}

}  // namespace argosy::nn
