#include <doctest/doctest.h>

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

bool made_by_compiler(const OpDef& op) { return op.in_place_any; }

/// Runs what the rule accepted; true if it refused, and then checks what it says.
bool refuses(const OpDef& op, const Sample& sample) {
  INFO(describe(op, sample));
  try {
    infer(op, sample.attributes, sample.inputs);
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK(text.find(op.name) != std::string::npos);
    for (const Type& type : sample.inputs) {
      INFO(text);
      CHECK(text.find(fmt::format("{}", type)) != std::string::npos);
    }
    return true;
  }
  Sample in_range = sample;
  in_range.index_limit = 1;
  run_reference(op, sample.attributes, random_operands(in_range, 1));
  return false;
}

}  // namespace

TEST_CASE("ops: names are unique and found; each op has a formula, a shape rule and samples") {
  std::set<std::string_view> names;
  for (const OpDef* op : ops::all_ops()) {
    INFO(op->name);
    CHECK(names.insert(op->name).second);
    CHECK(ops::find_op(op->name) == op);
    CHECK_FALSE(op->formula.empty());
    CHECK(bool(op->infer));
    CHECK(bool(op->reference));
    if (!made_by_compiler(*op)) CHECK_FALSE(op->samples.empty());
  }
  CHECK(ops::find_op("none") == nullptr);
}

TEST_CASE("ops: every sample fits its op") {
  for (const OpDef* op : ops::all_ops())
    for (const Sample& sample : op->samples) CHECK_FALSE(refuses(*op, sample));
}

TEST_CASE("ops: what a shape rule accepts the reference can run, what it refuses it explains") {
  for (const OpDef* op : ops::all_ops()) {
    int refused = 0;
    for (const Sample& sample : op->samples)
      for (size_t i = 0; i < sample.inputs.size(); ++i) {
        const auto with = [&](const Type& type) {
          Sample changed = sample;
          changed.inputs[i] = type;
          refused += refuses(*op, changed);
        };
        const Type& type = sample.inputs[i];
        for (const DType dtype :
             {DType::f32, DType::bf16, DType::i32, DType::i64, DType::u8, DType::boolean})
          with({dtype, type.shape});
        with({type.dtype, {}});
        Shape longer = type.shape;
        longer.push_back(2);
        with({type.dtype, longer});
        for (size_t d = 0; d < type.shape.size(); ++d) {
          Shape grown = type.shape, empty = type.shape;
          ++grown[d];
          with({type.dtype, grown});
          empty[d] = 0;
          if (sample.index_limit == 2) with({type.dtype, empty});  // an index needs something
        }
      }
    INFO(op->name);
    if (!op->samples.empty() && op->samples[0].inputs.size() > 1) CHECK(refused > 0);
  }
}

TEST_CASE("ops: docs/ops.md is what the table says (ARGOSY_UPDATE=1 writes it)") {
  const Path path = Path(ARGOSY_SOURCE_DIR) / "docs" / "ops.md";
  if (std::getenv("ARGOSY_UPDATE")) write_file_atomically(path, ops::ops_page());
  CHECK(read_file(path) == ops::ops_page());
  for (const OpDef* op : ops::all_ops())
    CHECK(ops::ops_page().find(fmt::format("`{}`", op->name)) != std::string::npos);
}
