#include "base/byte_size.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/error.h"

namespace argosy {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};

constexpr Unit kUnits[] = {{"B", 1},        {"kB", 1e3},     {"MB", 1e6},
                           {"GB", 1e9},     {"TB", 1e12},    {"KiB", 0x1p10},
                           {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
constexpr double kLargest = 0x1p63;

}  // namespace

size_t read_byte_size(std::string_view text, const std::string& where) {
  if (text.empty()) return 0;
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view name = text.substr(static_cast<size_t>(end - text.data()));
  name.remove_prefix(std::min(name.find_first_not_of(' '), name.size()));
  const Unit* unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                                  [&](const Unit& known) { return known.name == name; });
  if (error != std::errc() || unit == std::end(kUnits) || !(number * unit->bytes >= 1) ||
      number * unit->bytes >= kLargest)
    throw Error(
        {.what = fmt::format("\"{}\" is no size of memory", text.substr(0, 50)),
         .where = where,
         .fix = "write a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, e.g. \"2 GB\""});
  return static_cast<size_t>(number * unit->bytes);
}

std::string byte_size_text(size_t bytes) {
  constexpr std::string_view names[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto number = static_cast<double>(bytes);
  size_t unit = 0;
  for (; number >= 999.5 && unit + 1 < std::size(names); ++unit) number /= 1000;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.3g} {}", number, names[unit]);
}

}  // namespace argosy
