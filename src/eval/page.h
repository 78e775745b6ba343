#pragma once
#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "run/event_file.h"

namespace argosy::eval {

/// A number for the reader: "0.123", "1.20e-05", or a dash where there is none.
std::string figure(std::optional<double> value);

/// A report page as it is written: no scripts, no outside resource, light or dark as the reader's
/// system is. Texts are given escaped, but for titles and tiles.
class Page {
 public:
  explicit Page(const std::string& title);
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  void begin_section(const std::string& title);
  void end_section() { add("</section>\n"); }
  /// A figure with its name, in a <div class="tiles">.
  void tile(const std::string& value, const std::string& name);
  std::string finish() &&;

 private:
  std::string text_;
};

/// Section "How training went"; nothing without curves.
void add_curves(Page& page, const run::Curves& curves);

/// Section "Where this comes from".
void add_provenance(Page& page, std::span<const std::string> notes,
                    std::span<const std::pair<std::string, std::string>> provenance,
                    const std::string& recipe_toml);

}  // namespace argosy::eval
