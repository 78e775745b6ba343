#include "ops/block_weights.h"
#include "ops/ops.h"

// Rows by number of a table that is kept in blocks: the embedding of tokens.
namespace argosy::ops {
namespace {

struct Table {
  BlockFormat format;
  int64_t entries, columns;

  explicit Table(const Attributes& attributes)
      : format(formats_of(attributes).at(0)),
        entries(attributes.get<int64_t>("entries")),
        columns(attributes.get<int64_t>("columns")) {}
};

std::vector<Type> infer(const InferArgs& args) {
  const Table table(args.attributes);
  args.require(fits(table.format, table.columns) &&
                   args.in[0] == panels_type(table.format, {table.entries, table.columns}),
               fmt::format("needs panels of {} rows of {} in {}", table.entries, table.columns,
                           table.format));
  args.require(args.in[1].dtype == DType::i32, "needs i32 indices");
  Shape shape = args.in[1].shape;
  shape.push_back(table.columns);
  return {{DType::f32, shape}};
}

void reference(KernelArgs& k) {
  const Table table(k.attributes);
  const auto indices = k.in<int32_t>(1);
  for (size_t i = 0; i < indices.size(); ++i) {
    check(indices[i] >= 0 && indices[i] < table.entries, "index {} is outside [0, {})", indices[i],
          table.entries);
    const auto width = static_cast<size_t>(table.columns);
    read_row(table.format, table.columns, std::as_bytes(k.in<uint8_t>(0)), indices[i],
             k.out().subspan(i * width, width));
  }
}

Sample rows(BlockFormat format, int64_t entries, int64_t columns, Shape indices) {
  return {.inputs = {panels_type(format, {entries, columns}), {DType::i32, std::move(indices)}},
          .attributes = {{"formats", join_formats({format})},
                         {"entries", entries},
                         {"columns", columns}},
          .index_limit = 64};
}

}  // namespace

extern const OpDef block_gather = {
    .name = "block_gather",
    .formula = "y[i..., j] = table[indices[i...], j], of a table in panels of its format",
    .infer = infer,
    .reference = reference,
    .samples = {rows(BlockFormat::q4_0, 70, 64, {5}), rows(BlockFormat::q6_k, 64, 256, {2, 3}),
                rows(BlockFormat::f32, 65, 7, {4}), rows(BlockFormat::q8_0, 64, 32, {1})},
};

}  // namespace argosy::ops
