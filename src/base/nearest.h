#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace argosy {

/// How many edits (insert, delete, replace, swap two neighbours) lead from `a` to `b`; upper and
/// lower case count as equal. Only the first 100 characters are looked at.
size_t edit_distance(std::string_view a, std::string_view b);

/// The known name with the fewest edits from `name`, the first of equals; "" if none is known.
std::string nearest_name(std::string_view name, std::span<const std::string> known);

}  // namespace argosy
