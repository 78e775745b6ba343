#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

/// Lists on the terminal.
namespace argosy::cli {

inline constexpr size_t kMostRows = 40;  ///< of a list on the terminal; --json has them all

/// Rows of text in aligned columns; those for which `left(column)` holds to the left, numbers to
/// the right.
void print_table(const std::vector<std::vector<std::string>>& rows,
                 const std::function<bool(size_t column)>& left);

/// The first `left` columns to the left.
inline void print_table(const std::vector<std::vector<std::string>>& rows, size_t left) {
  print_table(rows, [left](size_t column) { return column < left; });
}

}  // namespace argosy::cli
