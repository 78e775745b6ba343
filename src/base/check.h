#pragma once
#include <fmt/format.h>

#include <source_location>
#include <string_view>
#include <type_traits>

namespace argosy {

[[noreturn]] void check_failed(std::source_location place, std::string_view message);

/// A format string that remembers the line it stands on.
template <typename... Args>
struct CheckedFormat {
  template <typename Text>
  consteval CheckedFormat(const Text& text,  // NOLINT: implicit, as the caller writes a literal
                          std::source_location at = std::source_location::current())
      : format(text), place(at) {}
  fmt::format_string<Args...> format;
  std::source_location place;
};

/// What must hold for the program to be right, in release builds too. Throws Bug with the place and
/// the values given.
template <typename... Args>
void check(bool holds, CheckedFormat<std::type_identity_t<Args>...> message, Args&&... args) {
  if (!holds) [[unlikely]]
    check_failed(message.place, fmt::format(message.format, std::forward<Args>(args)...));
}

}  // namespace argosy
