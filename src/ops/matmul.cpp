#include "ops/matmul.h"

#include "ops/ops.h"

namespace argosy::ops {

MatmulSizes matmul_sizes(Types in, const Attributes& attributes) {
  const Shape &a = in[0].shape, &b = in[1].shape;
  const bool ta = attributes.get<bool>("transpose_a"), tb = attributes.get<bool>("transpose_b");
  const size_t ra = a.size(), rb = b.size();
  MatmulSizes s{.m = ta ? a[ra - 1] : a[ra - 2],
                .n = tb ? b[rb - 2] : b[rb - 1],
                .k = ta ? a[ra - 2] : a[ra - 1],
                .shared_b = rb == 2,
                .transpose_a = ta,
                .transpose_b = tb};
  for (size_t i = 0; i + 2 < ra; ++i) s.batch *= a[i];
  return s;
}

namespace {

struct Flags {
  bool a, b;
};

Flags flags(const Attributes& attributes) {
  return {attributes.get<bool>("transpose_a"), attributes.get<bool>("transpose_b")};
}

std::vector<Type> infer(const InferArgs& args) {
  const Shape &a = args.in[0].shape, &b = args.in[1].shape;
  args.require(a.size() >= 2 && b.size() >= 2, "operands need at least two dimensions");
  args.require(args.in[0].dtype == args.in[1].dtype && is_floating(args.in[0].dtype),
               "operands need one real dtype");
  args.require(
      b.size() == 2 || (b.size() == a.size() && std::equal(a.begin(), a.end() - 2, b.begin())),
      "outer dimensions differ");
  const MatmulSizes s = matmul_sizes(args.in, args.attributes);
  const Flags t = flags(args.attributes);
  args.require(s.k == (t.b ? b[b.size() - 1] : b[b.size() - 2]),
               fmt::format("inner sizes differ{}{}", t.a ? ", a transposed" : "",
                           t.b ? ", b transposed" : ""));
  Shape out = a;
  out[a.size() - 2] = s.m;
  out[a.size() - 1] = s.n;
  return {{result_dtype(args, args.in[0].dtype), out}};
}

// c = a b  =>  da = dc b^T, db = a^T dc; with flags the roles swap accordingly.
std::vector<Tensor> gradient(const GradArgs& g) {
  Tensor a = g.input(0);
  const Tensor b = g.input(1), dc = g.output_grad(0);
  const Flags t = flags(g.attributes());
  if (b.rank() == 2 && a.rank() > 2) {
    // the shared operand: all rows of all batches are one long matrix
    if (t.a) a = swap_last(a);
    int64_t all = 1;
    for (int64_t i = 0; i + 1 < a.rank(); ++i) all *= a.size(i);
    const Tensor rows = reshape_to(a, {all, a.size(-1)}),
                 grads = reshape_to(dc, {all, dc.size(-1)});
    const Tensor da = matrix_multiply(dc, b, false, !t.b);
    return {t.a ? swap_last(da) : da,
            t.b ? matrix_multiply(grads, rows, true) : matrix_multiply(rows, grads, true)};
  }
  return {t.a ? matrix_multiply(b, dc, t.b, true) : matrix_multiply(dc, b, false, !t.b),
          t.b ? matrix_multiply(dc, a, true, t.a) : matrix_multiply(a, dc, !t.a)};
}

double flops(Types in, Types, const Attributes& attributes) {
  const MatmulSizes s = matmul_sizes(in, attributes);
  return 2.0 * static_cast<double>(s.batch) * static_cast<double>(s.m) * static_cast<double>(s.n) *
         static_cast<double>(s.k);
}

void reference(KernelArgs& k) {
  const MatmulSizes s = matmul_sizes(k.in_types, k.attributes);
  const Flags t = flags(k.attributes);
  const auto c = k.out();
  for (int64_t batch = 0; batch < s.batch; ++batch) {
    const float* a = k.in(0).data() + batch * s.m * s.k;
    const float* b = k.in(1).data() + (s.shared_b ? 0 : batch * s.k * s.n);
    for (int64_t i = 0; i < s.m; ++i)
      for (int64_t j = 0; j < s.n; ++j) {
        double total = 0;
        for (int64_t l = 0; l < s.k; ++l)
          total += static_cast<double>(t.a ? a[l * s.m + i] : a[i * s.k + l]) *
                   (t.b ? b[j * s.k + l] : b[l * s.n + j]);
        c[static_cast<size_t>((batch * s.m + i) * s.n + j)] = static_cast<float>(total);
      }
  }
}

std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      const Attributes attributes = {{"transpose_a", ta}, {"transpose_b", tb}};
      const auto shape = [](bool swapped, Shape s) {
        if (swapped) std::swap(s[s.size() - 1], s[s.size() - 2]);
        return s;
      };
      all.push_back(sample({shape(ta, {3, 5}), shape(tb, {5, 4})}, attributes));
      all.push_back(sample({shape(ta, {2, 3, 7}), shape(tb, {2, 7, 9})}, attributes));
      all.push_back(sample({shape(ta, {2, 2, 3, 7}), shape(tb, {7, 5})}, attributes));
    }
  const Attributes plain = {{"transpose_a", false}, {"transpose_b", false}};
  all.push_back(sample({{1, 1}, {1, 1}}, plain));
  all.push_back(sample({{0, 4}, {4, 3}}, plain));
  all.push_back(sample({{3, 0}, {0, 2}}, plain));
  all.push_back(sample({{37, 65}, {65, 33}}, plain));
  return all;
}

}  // namespace

extern const OpDef matmul = {
    .name = "matmul",
    .formula = "c[..., i, j] = sum_k a[..., i, k] b[..., k, j]",
    .infer = infer,
    .gradient = gradient,
    .flops = flops,
    .reference = reference,
    .precision = Precision::narrow,
    .samples = samples(),
};

}  // namespace argosy::ops
