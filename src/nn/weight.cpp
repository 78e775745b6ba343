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

}  // namespace

Tensor multiply(const Tensor& x, const Weight& weight) { return multiply_each(x, {&weight, 1})[0]; }

std::vector<Tensor> multiply_each(const Tensor& x, std::span<const Weight> weights) {
  std::vector<Tensor> results;
  if (!std::ranges::all_of(weights, [](const Weight& w) { return w.format.has_value(); })) {
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
  std::vector<Tensor> values;
  std::vector<BlockFormat> formats;
  std::vector<int64_t> outputs;
  for (const Weight& weight : weights) {
    values.push_back(weight.values);
    formats.push_back(*weight.format);
    outputs.push_back(weight.rows);
  }
  results = multiply_blocks(reshape_to(x, {-1, x.size(-1)}), values, formats, outputs);
  for (size_t i = 0; i < results.size(); ++i) {
    Shape shape = x.rank() == 1 ? Shape{1, 0} : x.shape();
    shape.back() = outputs[i];
    results[i] = reshape_to(results[i], shape);
  }
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
