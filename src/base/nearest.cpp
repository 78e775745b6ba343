#include "base/nearest.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace argosy {

size_t edit_distance(std::string_view a, std::string_view b) {
  constexpr size_t kLongest = 100;
  a = a.substr(0, kLongest);
  b = b.substr(0, kLongest);
  const auto same = [&](size_t i, size_t j) {
    return std::tolower(static_cast<unsigned char>(a[i])) ==
           std::tolower(static_cast<unsigned char>(b[j]));
  };
  // rows[i][j]: edits from the first i letters of a to the first j of b; three rows are alive
  std::array<std::array<size_t, kLongest + 1>, 3> rows{};
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto &above = rows[(i - 1) % 3], &second_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1,
                         above[j - 1] + (same(i - 1, j - 1) ? size_t{0} : size_t{1})});
      if (i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1))
        row[j] = std::min(row[j], second_above[j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::string nearest_name(std::string_view name, std::span<const std::string> known) {
  const auto nearest =
      std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
        return edit_distance(name, a) < edit_distance(name, b);
      });
  return nearest == known.end() ? std::string() : *nearest;
}

}  // namespace argosy
