#include "cli/line_reader.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#ifdef ARGOSY_WITH_LIBEDIT
#include <editline/readline.h>
#endif

namespace argosy::cli {
namespace {

/// A byte at a time, without a buffer: a signal ends the wait.
std::optional<std::string> plain_line() {
  std::string line;
  for (char c = 0;;) {
    const ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0) return std::nullopt;
    if (got == 0) return line.empty() ? std::nullopt : std::optional(line);
    if (c == '\n') return line;
    line += c;
  }
}

}  // namespace

std::optional<std::string> LineReader::read(const char* prompt) {
  if (!terminal_) return plain_line();
#ifdef ARGOSY_WITH_LIBEDIT
  const std::unique_ptr<char, decltype(&std::free)> line(readline(prompt), std::free);
  if (!line) return std::nullopt;
  if (*line) add_history(line.get());
  return std::string(line.get());
#else
  std::fputs(prompt, stderr);
  std::fflush(stderr);
  return plain_line();
#endif
}

}  // namespace argosy::cli
