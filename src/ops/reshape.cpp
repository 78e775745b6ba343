#include <algorithm>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  const Shape shape = args.attributes.get<std::vector<int64_t>>("shape");
  args.require(count(shape) == args.in[0].elements(), fmt::format("cannot be seen as {}", shape));
  return {{args.in[0].dtype, shape}};
}

std::vector<Tensor> gradient(const GradArgs& g) {
  return {reshape_to(g.output_grad(0), g.input(0).shape())};
}

void reference(KernelArgs& k) {
  std::copy_n(k.in_bytes[0], k.out_types[0].bytes(), k.out_bytes[0]);
}

}  // namespace

extern const OpDef reshape = {
    .name = "reshape",
    .formula = "y has the elements of x, in order, under another shape",
    .infer = infer,
    .gradient = gradient,
    .reference = reference,
    .any_dtype = true,
    .exact = true,
    .view = true,
    .precision = Precision::moves,
    .samples = {sample({{2, 6}}, {{"shape", Shape{3, 4}}}), sample({{}}, {{"shape", Shape{1, 1}}}),
                sample({{0, 3}}, {{"shape", Shape{5, 0}}})},
};

}  // namespace argosy::ops
