#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::string traits(const OpDef& op) {
  std::vector<std::string_view> list;
  if (op.pointwise.arity > 0) list.push_back("pointwise");
  if (op.commutative) list.push_back("commutative");
  if (op.exact) list.push_back("exact");
  if (op.view) list.push_back("view");
  if (!op.in_place.empty() || op.in_place_each || op.in_place_any) list.push_back("in place");
  return fmt::format("{}", fmt::join(list, ", "));
}

std::string_view name_of(Precision precision) {
  constexpr std::string_view names[] = {"wide", "sums", "mixed", "moves", "narrow"};
  return names[static_cast<size_t>(precision)];
}

/// A formula inside a table's cell.
std::string cell(std::string_view text) {
  std::string result;
  for (const char c : text) result += c == '|' ? std::string("\\|") : std::string(1, c);
  return result;
}

}  // namespace

std::string ops_page() {
  std::string page =
      "# Ops\n\n"
      "Written from the op table by `ARGOSY_UPDATE=1 test_ops`; a test compares the two.\n\n"
      "- *pointwise*: each element alone; operands broadcast as NumPy does.\n"
      "- *exact*: every kernel gives the same bits.\n"
      "- *view*: the operand's memory under another shape, at no cost.\n"
      "- *in place*: an output may take an operand's memory.\n\n"
      "In bf16 (`precision = \"bf16\"` in a recipe) all arithmetic stays f32 but for the products' "
      "operands; what changes is the dtype of the numbers in memory between ops. State, inputs and "
      "outputs keep theirs. A CPU without bf16 products widens their operands and uses f32's: the "
      "same numbers to rounding, only slower.\n\n"
      "- *wide*: reads and gives f32.\n"
      "- *sums*: reads either, gives f32.\n"
      "- *mixed*: reads and gives either: f32 where an operand of more than one axis is f32, bf16 "
      "otherwise and where products alone read it. Pointwise ops round where they leave their "
      "group.\n"
      "- *moves*: gives what it reads.\n"
      "- *narrow*: reads bf16, adds up in f32, gives bf16, or f32 where that is needed (the "
      "gradient of a weight).\n\n"
      "| op | formula | gradient | traits | in bf16 | first sample |\n"
      "|---|---|---|---|---|---|\n";
  for (const OpDef* op : all_ops()) {
    std::string sample = op->in_place_any ? "made by the compiler" : "";
    if (!op->samples.empty())
      sample = fmt::format("{} {}", fmt::join(op->samples[0].inputs, ", "),
                           to_text(op->samples[0].attributes));
    page +=
        fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", op->name, cell(op->formula),
                    op->gradient ? "yes" : "no", traits(*op), name_of(op->precision), cell(sample));
  }
  return page;
}

}  // namespace argosy::ops
