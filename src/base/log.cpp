#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

#include "base/progress.h"

namespace argosy::log {
namespace {
std::atomic<Level> lowest = Level::info;
}

void set_level(Level level) { lowest = level; }

void write(Level level, std::string_view text) {
  if (level < lowest) return;
  std::string line;
  if (level == Level::warning) line = colour() ? "\033[33mwarning:\033[0m " : "warning: ";
  if (level == Level::error) line = colour() ? "\033[31merror:\033[0m " : "error: ";
  line += text;
  print_above_progress(line);
}

bool terminal() {
  static const bool answer = [] {
    const char* term = std::getenv("TERM");
    return isatty(STDERR_FILENO) && term && std::string_view(term) != "dumb";
  }();
  return answer;
}

bool colour() {
  static const bool answer = [] {
    const char* none = std::getenv("NO_COLOR");
    return terminal() && !(none && *none);
  }();
  return answer;
}

}  // namespace argosy::log
