#include <doctest/doctest.h>

#include "compile/differentiate.h"
#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

bool tested(const Sample& sample, size_t operand) {
  return is_floating(sample.inputs[operand].dtype) &&
         (sample.differentiate.empty() || sample.differentiate[operand]);
}

/// Outputs of `op` that a loss may depend on.
size_t open_outputs(const OpDef& op, const std::vector<Type>& out) {
  return out.size() - static_cast<size_t>(op.kept_for_gradient);
}

/// The weights by which the loss sums the outputs: none small, so that no kink goes unseen.
Arrays loss_weights(const std::vector<Type>& out) {
  Arrays weights;
  for (const Type& type : out) {
    Array& weight = weights.emplace_back(Type{DType::f32, type.shape});
    Random random(weights.size() + 99);
    for (float& w : weight.as()) {
      w = random.uniform(0.5f, 1.5f);
      if (random.below(2) == 1) w = -w;
    }
  }
  return weights;
}

/// The gradients that the op's rule gives for the loss, by operand.
Arrays rule_gradients(const OpDef& op, const Sample& sample, const Arrays& operands) {
  Graph graph;
  std::vector<Tensor> inputs;
  std::map<std::string, Array> fed;
  for (size_t i = 0; i < operands.size(); ++i) {
    const std::string name = fmt::format("x{}", i);
    inputs.push_back(graph.input(name, operands[i].type));
    fed.emplace(name, operands[i]);
  }
  const std::vector<Tensor> outputs = graph.add(op, inputs, sample.attributes);
  const Arrays weights = loss_weights(infer(op, sample.attributes, sample.inputs));
  Tensor loss = graph.constant(0);
  for (size_t o = 0;
       o < static_cast<size_t>(outputs.size()) - static_cast<size_t>(op.kept_for_gradient); ++o)
    if (is_floating(outputs[o].dtype()))
      loss = loss + ops::reduce_sum(ops::cast_to(outputs[o], DType::f32) *
                                    graph.constant(weights[o].type, weights[o].bytes));
  const std::vector<Tensor> grads = gradients(loss, inputs);
  const auto known = interpret(graph, fed);
  Arrays result;
  for (const Tensor& grad : grads) result.push_back(known.at(grad.value()));
  return result;
}

double loss_of(const OpDef& op, const Sample& sample, const Arrays& operands,
               const Arrays& weights) {
  const Arrays outputs = run_reference(op, sample.attributes, operands);
  double total = 0;
  for (size_t o = 0; o < open_outputs(op, types_of(outputs)); ++o)
    if (is_floating(outputs[o].type.dtype))
      for (size_t i = 0; i < static_cast<size_t>(outputs[o].type.elements()); ++i)
        total += outputs[o].at(i) * weights[o].at(i);
  return total;
}

struct Agreement {
  double worst = 0;  ///< largest error relative to the larger of 1 and the slope
  int checked = 0, skipped = 0;
  std::string where;
};

/// The rule against central differences, extrapolated from two steps. Where the two disagree the
/// function has a kink nearby, and the element is left out.
Agreement compare(const OpDef& op, const Sample& sample, size_t elements) {
  Arrays operands = random_operands(sample, 5);
  const Arrays rule = rule_gradients(op, sample, operands);
  const Arrays weights = loss_weights(infer(op, sample.attributes, sample.inputs));
  // what the rounding of the outputs does to a difference over the narrow step
  double largest = 0;
  for (const Array& output : run_reference(op, sample.attributes, operands))
    for (size_t i = 0; i < static_cast<size_t>(output.type.elements()); ++i)
      largest = std::max(largest, std::fabs(output.at(i)));
  const double noise = 4 * largest * 6e-8 / 5e-3;
  Random random(3);
  Agreement agreement;
  for (size_t k = 0; k < operands.size(); ++k) {
    if (!tested(sample, k)) continue;
    const auto n = static_cast<size_t>(operands[k].type.elements());
    for (size_t j = 0; j < std::min(n, elements); ++j) {
      const size_t i = n <= elements ? j : random.below(n);
      const auto central = [&](float step) {
        const float x = operands[k].as()[i], right = x + step, left = x - step;
        operands[k].as()[i] = right;
        const double above = loss_of(op, sample, operands, weights);
        operands[k].as()[i] = left;
        const double below = loss_of(op, sample, operands, weights);
        operands[k].as()[i] = x;
        return (above - below) / (static_cast<double>(right) - left);
      };
      const double wide = central(1e-2f), narrow = central(5e-3f);
      const double slope = (4 * narrow - wide) / 3, scale = std::max(1.0, std::fabs(slope));
      if (std::fabs(wide - narrow) > 0.003 * scale) {
        ++agreement.skipped;
        continue;
      }
      ++agreement.checked;
      const double error = std::max(0.0, std::fabs(rule[k].at(i) - slope) - noise) / scale;
      if (!(error <= agreement.worst)) {
        agreement.worst = error;
        agreement.where = fmt::format("operand {} element {}: rule {}, differences {}", k, i,
                                      rule[k].at(i), slope);
      }
    }
  }
  return agreement;
}

}  // namespace

TEST_CASE("ops: the gradient agrees with finite differences on every sample and other sizes") {
  for (const OpDef* op : ops::all_ops()) {
    if (!op->gradient || op->samples.empty()) continue;
    int checked = 0, skipped = 0;
    bool any = false;
    for (const Sample& sample : all_samples(*op, 2, 12)) {
      for (size_t k = 0; k < sample.inputs.size(); ++k) any |= tested(sample, k);
      const Agreement agreement = compare(*op, sample, 24);
      INFO(fmt::format("{}: {}", describe(*op, sample), agreement.where));
      CHECK(agreement.worst < 1e-3);
      checked += agreement.checked;
      skipped += agreement.skipped;
    }
    INFO(fmt::format("{}: {} elements checked, {} near a kink", op->name, checked, skipped));
    if (any) CHECK(checked > 4 * skipped);
  }
}
