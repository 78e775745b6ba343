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
      "| op | formula | gradient | traits | first sample |\n"
      "|---|---|---|---|---|\n";
  for (const OpDef* op : all_ops()) {
    std::string sample = op->in_place_any ? "made by the compiler" : "";
    if (!op->samples.empty())
      sample = fmt::format("{} {}", fmt::join(op->samples[0].inputs, ", "),
                           to_text(op->samples[0].attributes));
    page += fmt::format("| `{}` | {} | {} | {} | {} |\n", op->name, cell(op->formula),
                        op->gradient ? "yes" : "no", traits(*op), cell(sample));
  }
  return page;
}

}  // namespace argosy::ops
