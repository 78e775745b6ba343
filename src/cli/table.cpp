#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace argosy::cli {

void print_table(const std::vector<std::vector<std::string>>& rows,
                 const std::function<bool(size_t column)>& left) {
  const auto width = [](const std::string& text) {  // characters, not bytes
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string gap(widths[c] - width(row[c]), ' ');
      line += left(c) ? row[c] + gap : gap + row[c];
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print("{}\n", line);
  }
}

}  // namespace argosy::cli
