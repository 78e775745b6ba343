#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include "ops/block_weights.h"
#include "ops/grouped_matmul.h"
#include "ops/ops.h"

// Products of rows with weights that are kept in blocks (ir/block_format.h), laid out as panels
// (ir/panels.h). Whole numbers are multiplied by the operand as it is; blocks by the operand
// rounded to 8 bits, so that the sums within a block are sums of whole numbers.
//
// block_matmul has one matrix a weight, block_grouped_matmul one for each group of rows that are
// sorted by group: all rows are one group, or as many as `counts` says.
namespace argosy::ops {
namespace {

const std::vector<int64_t>& rows_of(const Attributes& attributes) {
  return attributes.get<std::vector<int64_t>>("outputs");
}

/// `in` has the rows [N, K] and weights of panels of [groups..., M, K]: [N, M] of each weight.
std::vector<Type> infer_products(const InferArgs& args, Types in, const Shape& groups) {
  const std::vector<BlockFormat> formats = formats_of(args.attributes);
  const std::vector<int64_t>& outputs = rows_of(args.attributes);
  args.require(
      in.size() >= 2 && in.size() == formats.size() + 1 && formats.size() == outputs.size(),
      "needs rows and at least one weight, each with a format and a size");
  const Type& x = in[0];
  args.require(x.dtype == DType::f32 && x.shape.size() == 2, "needs f32 rows [N, K]");
  std::vector<Type> types;
  for (size_t i = 0; i < formats.size(); ++i) {
    args.require(fits(formats[i], x.shape[1]) && x.shape[1] > 0,
                 fmt::format("{} columns are no whole blocks of {}", x.shape[1], formats[i]));
    Shape matrices = groups;
    matrices.insert(matrices.end(), {outputs[i], x.shape[1]});
    const Type wanted = panels_type(formats[i], matrices);
    args.require(in[i + 1] == wanted,
                 fmt::format("a weight of {} rows in {} is {}", outputs[i], formats[i], wanted));
    types.push_back({DType::f32, {x.shape[0], outputs[i]}});
  }
  return types;
}

std::vector<Type> infer(const InferArgs& args) { return infer_products(args, args.in, {}); }

std::vector<Type> infer_grouped(const InferArgs& args) {
  args.require(args.in.size() >= 3, "needs rows, at least one weight, and counts");
  const Type& counts = args.in.back();
  args.require(counts.dtype == DType::i32 && counts.shape.size() == 1, "needs i32 counts [E]");
  return infer_products(args, args.in.first(args.in.size() - 1), counts.shape);
}

double flops(Types in, Types out, const Attributes&) {
  double total = 0;
  for (const Type& type : out)
    total += 2.0 * static_cast<double>(type.elements()) * static_cast<double>(in[0].shape[1]);
  return total;
}

/// x as the product sees it.
std::vector<float> rounded(std::span<const float> x, int64_t columns) {
  std::vector<float> values(x.size());
  for (int64_t i = 0; i + 32 <= std::ssize(x) && columns % 32 == 0; i += 32) {
    const RoundedBlock block = round_block(&x[static_cast<size_t>(i)]);
    for (int64_t j = 0; j < 32; ++j)
      values[static_cast<size_t>(i + j)] = static_cast<float>(block.levels[j]) * block.step;
  }
  return values;
}

void multiply_rows(KernelArgs& k, std::span<const int32_t> counts) {
  const std::vector<BlockFormat> formats = formats_of(k.attributes);
  const int64_t count = k.shape(0)[0], columns = k.shape(0)[1];
  const std::span<const float> x = k.in(0);
  const std::vector<float> blocks = rounded(x, columns);
  std::vector<float> weight(static_cast<size_t>(columns));
  for (size_t i = 0; i < formats.size(); ++i) {
    const int64_t outputs = k.out_shape(i)[1];
    const float* rows = panel_layout(formats[i]).bits == 0 ? x.data() : blocks.data();
    const auto matrices = std::as_bytes(k.in<uint8_t>(i + 1));
    std::ranges::fill(k.out(i), 0.0f);
    for_groups(counts, count, [&](int64_t group, int64_t begin, int64_t end) {
      const size_t size = matrices.size() / counts.size();
      const auto panels = matrices.subspan(static_cast<size_t>(group) * size, size);
      for (int64_t m = 0; m < outputs; ++m) {
        read_row(formats[i], columns, panels, m, weight);
        for (int64_t n = begin; n < end; ++n) {
          double total = 0;
          for (int64_t j = 0; j < columns; ++j)
            total += static_cast<double>(rows[n * columns + j]) * weight[static_cast<size_t>(j)];
          k.out(i)[static_cast<size_t>(n * outputs + m)] = static_cast<float>(total);
        }
      }
    });
  }
}

void reference(KernelArgs& k) {
  const auto all = static_cast<int32_t>(k.shape(0)[0]);
  multiply_rows(k, {&all, 1});
}

void reference_grouped(KernelArgs& k) { multiply_rows(k, k.in<int32_t>(k.in_types.size() - 1)); }

Sample product(int64_t n, int64_t columns, const std::vector<BlockFormat>& formats,
               const std::vector<int64_t>& outputs) {
  Sample sample = {.inputs = {{DType::f32, {n, columns}}},
                   .attributes = {{"formats", join_formats(formats)}, {"outputs", outputs}},
                   .index_limit = 64};  // bytes below 64 are no NaN and no infinity in any format
  for (size_t i = 0; i < formats.size(); ++i)
    sample.inputs.push_back(panels_type(formats[i], {outputs[i], columns}));
  return sample;
}

/// Counts are below 64, as bytes are: often the first groups take all rows, or some are left over.
Sample grouped(int64_t n, int64_t groups, int64_t columns, const std::vector<BlockFormat>& formats,
               const std::vector<int64_t>& outputs) {
  Sample sample = product(n, columns, formats, outputs);
  for (size_t i = 0; i < formats.size(); ++i)
    sample.inputs[i + 1] = panels_type(formats[i], {groups, outputs[i], columns});
  sample.inputs.push_back({DType::i32, {groups}});
  return sample;
}

std::vector<Sample> samples() {
  using enum BlockFormat;
  std::vector<Sample> all = {product(3, 64, {q4_0}, {20})};
  for (const BlockLayout& layout : block_layouts()) {
    all.push_back(product(1, 256, {layout.format}, {33}));
    all.push_back(product(13, 512, {layout.format}, {16}));
  }
  all.push_back(product(5, 256, {q4_0, f32, q6_k}, {48, 7, 64}));
  all.push_back(product(9, 7, {bf16, f16}, {1, 17}));
  all.push_back(product(0, 32, {q8_0}, {3}));
  return all;
}

std::vector<Sample> samples_grouped() {
  using enum BlockFormat;
  std::vector<Sample> all = {grouped(150, 3, 64, {q4_0}, {20})};
  for (const BlockLayout& layout : block_layouts())
    all.push_back(grouped(40, 2, 256, {layout.format}, {33}));
  all.push_back(grouped(90, 4, 256, {q4_0, f32, q6_k}, {48, 7, 16}));
  all.push_back(grouped(2, 7, 32, {q8_0, q8_0}, {5, 5}));
  all.push_back(grouped(60, 1, 7, {bf16}, {17}));
  all.push_back(grouped(0, 2, 32, {q8_0}, {3}));
  return all;
}

}  // namespace

std::string join_formats(const std::vector<BlockFormat>& formats) {
  return fmt::format("{}", fmt::join(formats, " "));
}

std::vector<BlockFormat> formats_of(const Attributes& attributes) {
  std::vector<BlockFormat> formats;
  std::istringstream names(attributes.get<std::string>("formats"));
  for (std::string name; names >> name;) {
    const auto format = block_format_named(name);
    check(format.has_value(), "no format is named {}", name);
    formats.push_back(*format);
  }
  return formats;
}

RoundedBlock round_block(const float* numbers) {
  float largest = 0, doubt = 0;  // x * 0 is NaN where x is not finite
  for (int64_t i = 0; i < 32; ++i) {
    largest = std::max(largest, std::fabs(numbers[i]));
    doubt += numbers[i] * 0;
  }
  RoundedBlock block;
  if (doubt != 0) {
    block.step = std::numeric_limits<float>::quiet_NaN();
    return block;
  }
  block.step = largest / 127;
  const float inverse = largest >= kLeastRounded ? 127 / largest : 0;
  for (int64_t i = 0; i < 32; ++i)
    block.levels[i] = static_cast<int8_t>(std::nearbyint(numbers[i] * inverse));
  return block;
}

std::vector<Tensor> multiply_blocks(const Tensor& x, const std::vector<Tensor>& weights,
                                    const std::vector<BlockFormat>& formats,
                                    const std::vector<int64_t>& outputs, const Tensor& counts) {
  std::vector<Tensor> operands = {x};
  operands.insert(operands.end(), weights.begin(), weights.end());
  if (counts) operands.push_back(counts);
  return x.graph().add(counts ? block_grouped_matmul : block_matmul, operands,
                       {{"formats", join_formats(formats)}, {"outputs", outputs}});
}

extern const OpDef block_matmul = {
    .name = "block_matmul",
    .formula =
        "y[n, m] = sum_k x[n, k] w[m, k] for each weight w in panels of its format; where that has "
        "blocks, x is rounded to 255 levels in blocks of 32",
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .samples = samples(),
};

extern const OpDef block_grouped_matmul = {
    .name = "block_grouped_matmul",
    .formula =
        "y[n, m] = sum_k x[n, k] w[e, m, k] for each weight w as block_matmul has it, where row n "
        "is in group e: the first counts[0] rows in group 0, and so on; rows after the last group "
        "give 0",
    .infer = infer_grouped,
    .flops = flops,
    .reference = reference_grouped,
    .samples = samples_grouped(),
};

}  // namespace argosy::ops
