#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/ops.h"
#include "ops/paging.h"

// Attention of single tokens to what stands before them in their sequences, which lies in pages
// (ops/paging.h). A key that a query does not see adds nothing, whatever it holds.
namespace argosy::ops {
namespace {

// q [N, H, D], keys, values, positions [N], rows [N], table [S, P] -> [N, H, D]
std::vector<Type> infer(const InferArgs& args) {
  args.require(
      args.in.size() == 6 && are_pages(args.in[1], args.in[2], args.in[5]),
      "needs queries, pages of keys [C, G, D, S] and values [C, G, S, D], and an i32 table "
      "of pages");
  const Shape &q = args.in[0].shape, &pages = args.in[1].shape;
  args.require(
      args.in[0].dtype == DType::f32 && q.size() == 3 && q[2] == pages[2] && q[1] % pages[1] == 0,
      "needs f32 queries [N, H, D], H a multiple of the keys' heads");
  args.require(args.in[3] == Type{DType::i32, {q[0]}} && args.in[4] == args.in[3],
               "needs i32 positions and rows [N]");
  const AttentionOptions options = attention_options(args.attributes);
  args.require(options.causal, "sees what stands before: causal");
  args.require(options.window >= 0 && options.soft_cap >= 0, "window or soft_cap is negative");
  return {args.in[0]};
}

template <typename Element>
void attend_all(KernelArgs& k) {
  const Paging paging = paging_of(k.in_types[1], k.in_types[2], k.in_types[5]);
  const AttentionOptions options = attention_options(k.attributes);
  const int64_t heads = k.shape(0)[1], width = paging.width;
  const auto q = k.in(0);
  const auto keys = k.in<Element>(1), values = k.in<Element>(2);
  const auto positions = k.in<int32_t>(3), rows = k.in<int32_t>(4), table = k.in<int32_t>(5);
  std::fill(k.out().begin(), k.out().end(), 0.0f);
  for (size_t n = 0; n < positions.size(); ++n) {
    const int64_t last = positions[n];
    if (last < 0) continue;
    const int64_t first = options.window > 0 ? std::max<int64_t>(0, last - options.window + 1) : 0;
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t head = h / (heads / paging.heads);
      const auto at =
          (n * static_cast<size_t>(heads) + static_cast<size_t>(h)) * static_cast<size_t>(width);
      std::vector<double> scores, y(static_cast<size_t>(width));
      for (int64_t t = first; t <= last; ++t) {
        const size_t key =
            paging.key_at(page_at(paging, table, rows[n], t), head, t % paging.page_size);
        double product = 0;
        for (int64_t d = 0; d < width; ++d)
          product += static_cast<double>(q[at + static_cast<size_t>(d)]) *
                     static_cast<float>(keys[key + static_cast<size_t>(d * paging.page_size)]);
        product *= options.scale;
        scores.push_back(options.soft_cap == 0
                             ? product
                             : options.soft_cap * std::tanh(product / options.soft_cap));
      }
      const double top = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      for (int64_t t = first; t <= last; ++t) {
        const double weight = std::exp(scores[static_cast<size_t>(t - first)] - top);
        total += weight;
        const size_t value =
            paging.value_at(page_at(paging, table, rows[n], t), head, t % paging.page_size);
        for (size_t d = 0; d < y.size(); ++d)
          y[d] += weight * static_cast<float>(values[value + d]);
      }
      for (size_t d = 0; d < y.size(); ++d) k.out()[at + d] = static_cast<float>(y[d] / total);
    }
  }
}

void reference(KernelArgs& k) {
  if (k.in_types[1].dtype == DType::bf16)
    attend_all<BFloat16>(k);
  else
    attend_all<float>(k);
}

/// As if every query stood at the end of its sequence.
double flops(Types in, Types, const Attributes& attributes) {
  const Paging paging = paging_of(in[1], in[2], in[5]);
  const AttentionOptions options = attention_options(attributes);
  const int64_t seen = paging.longest * paging.page_size;
  return 4.0 * static_cast<double>(in[0].elements()) *
         static_cast<double>(options.window > 0 ? std::min(seen, options.window) : seen);
}

struct Sizes {
  int64_t tokens, heads, key_heads, width, page_size;
  DType dtype = DType::f32;
};

/// Positions, sequences and pages are drawn from [0, limit).
Sample pages(const Sizes& s, int64_t limit, int64_t window = 0, double soft_cap = 0) {
  const Type counts = {DType::i32, {s.tokens}};
  return {
      .inputs = {{DType::f32, {s.tokens, s.heads, s.width}},
                 {s.dtype, {limit, s.key_heads, s.width, s.page_size}},
                 {s.dtype, {limit, s.key_heads, s.page_size, s.width}},
                 counts,
                 counts,
                 {DType::i32, {limit, limit}}},
      .attributes = {{"causal", true}, {"scale", 0.5}, {"window", window}, {"soft_cap", soft_cap}},
      .index_limit = limit};
}

}  // namespace

extern const OpDef paged_attention = {
    .name = "paged_attention",
    .formula =
        "attention of token n, which is at positions[n] of sequence rows[n], to the keys and "
        "values "
        "at places 0 to positions[n] of that sequence, whose pages are table[rows[n], ...]; with "
        "window > 0 to the last so many of them; a negative position gives 0",
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .any_dtype = true,
    .samples = {pages({4, 4, 2, 3, 4}, 9), pages({1, 1, 1, 1, 5}, 3), pages({7, 6, 2, 16, 16}, 40),
                pages({5, 4, 1, 20, 32}, 60, 9), pages({3, 2, 2, 64, 16}, 45, 0, 1.5),
                pages({6, 3, 1, 33, 16, DType::bf16}, 44, 20, 2), pages({9, 8, 2, 8, 16}, 48)},
};

}  // namespace argosy::ops
