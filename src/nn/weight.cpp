#include "nn/weight.h"

#include <algorithm>

#include "ops/block_weights.h"
#include "ops/ops.h"

namespace argosy::nn {

using namespace ops;

namespace {

Tensor adapted(const Tensor& rows, const Weight& weight) {
  const Tensor low = matrix_multiply(rows, weight.down, false, true);
  return matrix_multiply(low, weight.up, false, true) * weight.scale;
}

bool all_in_panels(std::span<const Weight> weights) {
  return std::ranges::all_of(weights, [](const Weight& w) { return w.format.has_value(); });
}

/// Of weights that are all in panels; with counts, of groups.
std::vector<Tensor> multiply_panels(const Tensor& x, std::span<const Weight> weights,
                                    const Tensor& counts = {}) {
  std::vector<Tensor> values;
  std::vector<BlockFormat> formats;
  std::vector<int64_t> outputs;
  for (const Weight& weight : weights) {
    values.push_back(weight.values);
    formats.push_back(*weight.format);
    outputs.push_back(weight.rows);
  }
  return multiply_blocks(x, values, formats, outputs, counts);
}

}  // namespace

Tensor multiply(const Tensor& x, const Weight& weight) { return multiply_each(x, {&weight, 1})[0]; }

std::vector<Tensor> multiply_each(const Tensor& x, std::span<const Weight> weights) {
  std::vector<Tensor> results;
  if (!all_in_panels(weights)) {
    const Tensor rows = x.rank() == 1 ? reshape_to(x, {1, x.size(0)}) : x;
    for (const Weight& weight : weights) {
      if (weight.format) {
        results.push_back(multiply(x, weight));
        continue;
      }
      const Tensor y = matrix_multiply(rows, weight.values, false, true);
      results.push_back(weight.down ? y + adapted(rows, weight) : y);
    }
    return results;
  }
  results = multiply_panels(reshape_to(x, {-1, x.size(-1)}), weights);
  for (size_t i = 0; i < results.size(); ++i) {
    Shape shape = x.rank() == 1 ? Shape{1, 0} : x.shape();
    shape.back() = weights[i].rows;
    results[i] = reshape_to(results[i], shape);
  }
  return results;
}

std::vector<Tensor> multiply_groups(const Tensor& x, std::span<const Weight> weights,
                                    const Tensor& counts) {
  if (all_in_panels(weights)) return multiply_panels(x, weights, counts);
  std::vector<Tensor> results;
  for (const Weight& weight : weights)
    results.push_back(weight.format
                          ? multiply_panels(x, {&weight, 1}, counts)[0]
                          : ops::multiply_groups(x, cast_to(weight.values, x.dtype()), counts));
  return results;
}

Tensor rows_of(const Weight& table, const Tensor& indices) {
  if (!table.format) return apply(gather, {table.values, indices});
  return apply(block_gather, {table.values, indices},
               {{"formats", join_formats({*table.format})},
                {"entries", table.rows},
                {"columns", table.columns}});
}

}  // namespace argosy::nn
