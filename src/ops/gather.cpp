#include <algorithm>

#include "ops/ops.h"

// Rows by number, and their transpose. Indices are checked: one out of range is a Bug of the
// caller, since tokens and labels are checked where they enter.
namespace argosy::ops {
namespace {

int64_t index_at(const KernelArgs& k, size_t operand, size_t i, int64_t limit) {
  const int64_t index = k.in_types[operand].dtype == DType::i32 ? k.in<int32_t>(operand)[i]
                                                                : k.in<int64_t>(operand)[i];
  check(index >= 0 && index < limit, "index {} is outside [0, {})", index, limit);
  return index;
}

std::vector<Type> infer_gather(
    const InferArgs& args) {  // table [V, ...], indices [...] -> [..., ...]
  args.require(!args.in[0].shape.empty() && is_integer(args.in[1].dtype),
               "needs a table and whole-number indices");
  Shape shape = args.in[1].shape;
  shape.insert(shape.end(), args.in[0].shape.begin() + 1, args.in[0].shape.end());
  return {{args.in[0].dtype, shape}};
}

std::vector<Tensor> gather_gradient(const GradArgs& g) {
  return {apply(scatter_add, {g.output_grad(0), g.input(1)}, {{"rows", g.input(0).size(0)}}),
          Tensor()};
}

void gather_reference(KernelArgs& k) {
  const int64_t rows = k.shape(0)[0];
  const size_t bytes = rows == 0 ? 0 : k.in_types[0].bytes() / static_cast<size_t>(rows);
  for (size_t i = 0; i < static_cast<size_t>(k.in_types[1].elements()); ++i)
    std::copy_n(k.in_bytes[0] + static_cast<size_t>(index_at(k, 1, i, rows)) * bytes, bytes,
                k.out_bytes[0] + i * bytes);
}

std::vector<Type> infer_scatter(
    const InferArgs& args) {  // values [..., ...], indices [...] -> [rows, ...]
  const size_t rank = args.in[1].shape.size();
  args.require(
      is_floating(args.in[0].dtype) && is_integer(args.in[1].dtype) &&
          args.in[0].shape.size() >= rank &&
          std::equal(args.in[1].shape.begin(), args.in[1].shape.end(), args.in[0].shape.begin()),
      "needs real values with the shape of the whole-number indices in front");
  Shape shape = {args.attributes.get<int64_t>("rows")};
  shape.insert(shape.end(), args.in[0].shape.begin() + static_cast<std::ptrdiff_t>(rank),
               args.in[0].shape.end());
  return {{result_dtype(args, args.in[0].dtype), shape}};
}

std::vector<Tensor> scatter_gradient(const GradArgs& g) {
  return {apply(gather, {g.output_grad(0), g.input(1)}), Tensor()};
}

void scatter_reference(KernelArgs& k) {
  const int64_t rows = k.out_shape()[0];
  const size_t width = rows == 0 ? 0 : k.out().size() / static_cast<size_t>(rows);
  std::fill(k.out().begin(), k.out().end(), 0.0f);
  for (size_t i = 0; i < static_cast<size_t>(k.in_types[1].elements()); ++i) {
    const auto row = static_cast<size_t>(index_at(k, 1, i, rows));
    for (size_t j = 0; j < width; ++j) k.out()[row * width + j] += k.in(0)[i * width + j];
  }
}

Sample indexed(Shape values, Shape indices, int64_t limit, Attributes attributes = {}) {
  return {.inputs = {{DType::f32, std::move(values)}, {DType::i32, std::move(indices)}},
          .attributes = std::move(attributes),
          .index_limit = limit};
}

}  // namespace

extern const OpDef gather = {
    .name = "gather",
    .formula = "y[i..., j...] = table[indices[i...], j...]",
    .infer = infer_gather,
    .gradient = gather_gradient,
    .reference = gather_reference,
    .any_dtype = true,
    .exact = true,
    .precision = Precision::moves,
    .samples = {indexed({7, 5}, {4}, 7), indexed({3, 2, 3}, {2, 5}, 3), indexed({4}, {6}, 4)},
};

extern const OpDef scatter_add = {
    .name = "scatter_add",
    .formula = "y[r, j...] = sum of values[i..., j...] over the i with indices[i...] = r",
    .infer = infer_scatter,
    .gradient = scatter_gradient,
    .flops = [](Types in, Types,
                const Attributes&) { return static_cast<double>(in[0].elements()); },
    .reference = scatter_reference,
    .precision = Precision::sums,
    .samples = {indexed({4, 5}, {4}, 7, {{"rows", int64_t{7}}}),
                indexed({2, 5, 3}, {2, 5}, 2, {{"rows", int64_t{3}}})},
};

}  // namespace argosy::ops
