#include "ops/grouped_matmul.h"

#include "ops/ops.h"

// Matrix products of rows that are sorted by group, each group with a weight of its own: the
// experts of a mixture. How many rows a group has is known at run time only, as whole numbers in
// `counts`.
namespace argosy::ops {
namespace {

// ---- grouped_matmul: x [N, K], weight [E, K, M] (or [E, M, K]), counts [E] -> [N, M]

bool transposed(const Attributes& attributes) { return attributes.get<bool>("transpose_b"); }

std::vector<Type> infer(const InferArgs& args) {
  const Shape &x = args.in[0].shape, &weight = args.in[1].shape, &counts = args.in[2].shape;
  args.require(x.size() == 2 && weight.size() == 3 && counts.size() == 1,
               "needs rows [N, K], weights [E, K, M] and counts [E]");
  args.require(args.in[0].dtype == args.in[1].dtype && is_floating(args.in[0].dtype),
               "rows and weights need one real dtype");
  args.require(args.in[2].dtype == DType::i32 && counts[0] == weight[0],
               "needs an i32 count for each weight");
  const bool t = transposed(args.attributes);
  args.require(x[1] == weight[t ? 2 : 1],
               fmt::format("inner sizes differ{}", t ? ", weights transposed" : ""));
  return {{result_dtype(args, args.in[0].dtype), {x[0], weight[t ? 1 : 2]}}};
}

// y = x w  =>  dx = dy w^T, dw = x^T dy of the group's rows
std::vector<Tensor> gradient(const GradArgs& g) {
  const Tensor x = g.input(0), counts = g.input(2), dy = g.output_grad(0);
  const bool t = transposed(g.attributes());
  return {multiply_groups(dy, g.input(1), counts, !t),
          t ? apply(grouped_matmul_gradient_weight, {dy, x, counts})
            : apply(grouped_matmul_gradient_weight, {x, dy, counts}),
          Tensor()};
}

void reference(KernelArgs& k) {
  const int64_t rows = k.shape(0)[0], inner = k.shape(0)[1], width = k.out_shape()[1];
  const bool t = transposed(k.attributes);
  std::fill(k.out().begin(), k.out().end(), 0.0f);
  for_groups(k.in<int32_t>(2), rows, [&](int64_t group, int64_t begin, int64_t end) {
    const float* weight = k.in(1).data() + group * inner * width;
    for (int64_t row = begin; row < end; ++row)
      for (int64_t j = 0; j < width; ++j) {
        double total = 0;
        for (int64_t l = 0; l < inner; ++l)
          total += static_cast<double>(k.in(0)[static_cast<size_t>(row * inner + l)]) *
                   (t ? weight[j * inner + l] : weight[l * width + j]);
        k.out()[static_cast<size_t>(row * width + j)] = static_cast<float>(total);
      }
  });
}

// every row is costed, as if each had a group
double flops(Types in, Types out, const Attributes&) {
  return 2.0 * static_cast<double>(out[0].elements()) * static_cast<double>(in[0].shape[1]);
}

// ---- grouped_matmul_gradient_weight: x [N, K], dy [N, M], counts [E] -> [E, K, M]

std::vector<Type> infer_weight(const InferArgs& args) {
  const Shape &x = args.in[0].shape, &dy = args.in[1].shape, &counts = args.in[2].shape;
  args.require(x.size() == 2 && dy.size() == 2 && counts.size() == 1 && x[0] == dy[0],
               "needs rows [N, K], rows [N, M] and counts [E]");
  args.require(args.in[0].dtype == args.in[1].dtype && is_floating(args.in[0].dtype) &&
                   args.in[2].dtype == DType::i32,
               "rows need one real dtype, counts are i32");
  return {{result_dtype(args, args.in[0].dtype), {counts[0], x[1], dy[1]}}};
}

// dw = x^T dy  =>  x gets dy (ddw)^T, dy gets x ddw
std::vector<Tensor> gradient_weight(const GradArgs& g) {
  const Tensor counts = g.input(2), ddw = g.output_grad(0);
  return {multiply_groups(g.input(1), ddw, counts, true),
          multiply_groups(g.input(0), ddw, counts, false), Tensor()};
}

void reference_weight(KernelArgs& k) {
  const int64_t rows = k.shape(0)[0], height = k.shape(0)[1], width = k.shape(1)[1];
  for_groups(k.in<int32_t>(2), rows, [&](int64_t group, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j) {
        double total = 0;
        for (int64_t row = begin; row < end; ++row)
          total += static_cast<double>(k.in(0)[static_cast<size_t>(row * height + i)]) *
                   k.in(1)[static_cast<size_t>(row * width + j)];
        k.out()[static_cast<size_t>((group * height + i) * width + j)] = static_cast<float>(total);
      }
  });
}

double flops_weight(Types in, Types, const Attributes&) {
  return 2.0 * static_cast<double>(in[0].elements()) * static_cast<double>(in[1].shape[1]);
}

// ---- samples

/// Counts are drawn from [0, limit): of small ones some are 0 and rows are left over, of large ones
/// the last groups get none.
Sample grouped(Shape a, Shape b, int64_t groups, int64_t limit, Attributes attributes = {}) {
  return {
      .inputs = {{DType::f32, std::move(a)}, {DType::f32, std::move(b)}, {DType::i32, {groups}}},
      .attributes = std::move(attributes),
      .index_limit = limit};
}

std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const bool t : {false, true}) {
    const Attributes attributes = {{"transpose_b", t}};
    const auto add = [&](int64_t n, int64_t e, int64_t k, int64_t m, int64_t limit) {
      all.push_back(grouped({n, k}, t ? Shape{e, m, k} : Shape{e, k, m}, e, limit, attributes));
    };
    add(9, 3, 5, 4, 4);       // some rows are left over
    add(8, 3, 5, 7, 8);       // counts that ask for more rows than there are
    add(7, 1, 4, 6, 8);       // one group
    add(3, 11, 2, 5, 3);      // more groups than rows
    add(130, 3, 17, 37, 90);  // more than one block of rows
    add(0, 2, 3, 4, 3);
    add(5, 2, 0, 4, 3);
    add(5, 4, 1, 1, 2);
  }
  return all;
}

std::vector<Sample> samples_weight() {
  return {grouped({9, 5}, {9, 4}, 3, 4),        grouped({8, 5}, {8, 7}, 3, 8),
          grouped({7, 4}, {7, 6}, 1, 8),        grouped({3, 2}, {3, 5}, 11, 3),
          grouped({130, 17}, {130, 37}, 3, 90), grouped({0, 3}, {0, 4}, 2, 3),
          grouped({5, 1}, {5, 1}, 4, 2)};
}

}  // namespace

Tensor multiply_groups(const Tensor& x, const Tensor& weight, const Tensor& counts,
                       bool transpose_b) {
  return apply(grouped_matmul, {x, weight, counts}, {{"transpose_b", transpose_b}});
}

extern const OpDef grouped_matmul = {
    .name = "grouped_matmul",
    .formula =
        "y[n, m] = sum_k x[n, k] weight[e, k, m], where row n is in group e: the first "
        "counts[0] rows in group 0, and so on; rows after the last group give 0",
    .infer = infer,
    .gradient = gradient,
    .flops = flops,
    .reference = reference,
    .precision = Precision::narrow,
    .samples = samples(),
};

extern const OpDef grouped_matmul_gradient_weight = {
    .name = "grouped_matmul_gradient_weight",
    .formula = "dw[e, k, m] = sum of x[n, k] dy[n, m] over the rows n of group e",
    .infer = infer_weight,
    .gradient = gradient_weight,
    .flops = flops_weight,
    .reference = reference_weight,
    .precision = Precision::narrow,
    .samples = samples_weight(),
};

}  // namespace argosy::ops
