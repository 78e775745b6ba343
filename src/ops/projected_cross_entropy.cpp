#include <algorithm>
#include <cmath>

#include "ops/ops.h"

// The loss of logits that a product gives, and its way back through the product, in one op: made by
// the compiler where the logits of all rows together would take much memory.
namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  args.require(args.in.size() == 4, "needs 4 operands");
  const Type &x = args.in[0], &table = args.in[1], &labels = args.in[2], &dloss = args.in[3];
  args.require(is_floating(x.dtype) && x.shape.size() == 2 && table.dtype == x.dtype &&
                   table.shape.size() == 2 && table.shape[0] > 0 && table.shape[1] == x.shape[1],
               "needs real x [N, D] and a table [V, D] of its dtype");
  const Shape rows = {x.shape[0]};
  args.require(labels == Type{DType::i32, rows} && dloss == Type{DType::f32, rows},
               "needs i32 labels [N] and dloss [N]");
  return {{DType::f32, rows}, {DType::f32, rows}, x, {DType::f32, table.shape}};
}

double flops(Types in, Types, const Attributes&) {
  const auto logits = static_cast<double>(in[0].shape[0]) * static_cast<double>(in[1].shape[0]);
  return logits * (6.0 * static_cast<double>(in[0].shape[1]) + 8.0);
}

void reference(KernelArgs& k) {
  const size_t rows = k.in(3).size(), width = static_cast<size_t>(k.shape(1)[1]),
               classes = static_cast<size_t>(k.shape(1)[0]);
  const auto x = k.in(0), table = k.in(1);
  std::vector<double> logits(classes), dx(width), dtable(classes * width);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t v = 0; v < classes; ++v) {
      logits[v] = 0;
      for (size_t d = 0; d < width; ++d)
        logits[v] += static_cast<double>(x[row * width + d]) * table[v * width + d];
    }
    const double top = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const double logit : logits) total += std::exp(logit - top);
    const double all = top + std::log(total);
    const int32_t label = k.in<int32_t>(2)[row];
    check(label < static_cast<int64_t>(classes), "label {} with {} classes", label, classes);
    k.out(0)[row] = label < 0 ? 0.0f : static_cast<float>(all - logits[static_cast<size_t>(label)]);
    k.out(1)[row] = static_cast<float>(all);
    std::fill(dx.begin(), dx.end(), 0.0);
    for (size_t v = 0; v < classes && label >= 0; ++v) {
      const double hit = static_cast<size_t>(label) == v ? 1.0 : 0.0;
      const double dlogit = k.in(3)[row] * (std::exp(logits[v] - all) - hit);
      for (size_t d = 0; d < width; ++d) {
        dx[d] += dlogit * table[v * width + d];
        dtable[v * width + d] += dlogit * x[row * width + d];
      }
    }
    std::copy(dx.begin(), dx.end(), k.out(2).begin() + static_cast<std::ptrdiff_t>(row * width));
  }
  std::copy(dtable.begin(), dtable.end(), k.out(3).begin());
}

Sample labelled(int64_t n, int64_t d, int64_t v) {
  return {
      .inputs = {{DType::f32, {n, d}}, {DType::f32, {v, d}}, {DType::i32, {n}}, {DType::f32, {n}}},
      .index_limit = v};
}

}  // namespace

extern const OpDef projected_cross_entropy = {
    .name = "projected_cross_entropy",
    .formula =
        "with the logits x table^T: loss and log-sum-exp of cross_entropy, and the gradients "
        "of sum_n dloss[n] loss[n] for x and (in f32) the table",
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .precision = Precision::narrow,
    .wide_operands = {3},
    .samples = {labelled(3, 4, 5), labelled(1, 1, 1), labelled(0, 3, 4), labelled(37, 19, 70)},
};

}  // namespace argosy::ops
