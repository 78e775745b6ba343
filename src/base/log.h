#pragma once
#include <fmt/format.h>

#include <string_view>

/// Lines for people, on standard error; data goes to standard output and never through here.
namespace argosy::log {

enum class Level { debug, info, warning, error };

/// Lines below `level` are dropped; info unless --verbose or --quiet says otherwise.
void set_level(Level level);
void write(Level level, std::string_view text);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}

/// True when standard error is a terminal that understands cursor movement (and NO_COLOR is unset
/// where colour is meant).
bool terminal();
bool colour();

}  // namespace argosy::log
