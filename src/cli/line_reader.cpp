#include "cli/line_reader.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <memory>

#ifdef ARGOSY_WITH_LIBEDIT
#include <editline/readline.h>
#endif

namespace argosy::cli {
namespace {

bool (*interrupted_)() = nullptr;  // libedit hands nothing on to what reads its characters

/// The next byte; a buffer would hide what has come from poll. SIGINT comes in the wait alone, so
/// that none is missed between a look at the flag and the wait.
std::optional<char> next_byte() {
  sigset_t interrupt, before;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupt, &before);
  pollfd input = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  char byte = 0;
  int ready = -1;
  while (!interrupted_() && (ready = ppoll(&input, 1, nullptr, &before)) < 0 && errno == EINTR);
  const bool there = ready > 0 && ::read(STDIN_FILENO, &byte, 1) == 1;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return there ? std::optional(byte) : std::nullopt;
}

std::optional<std::string> plain_line() {
  std::string line;
  while (const std::optional<char> byte = next_byte()) {
    if (*byte == '\n') return line;
    line += *byte;
  }
  return line.empty() || interrupted_() ? std::nullopt : std::optional(line);
}

#ifdef ARGOSY_WITH_LIBEDIT
/// The next character as libedit wants it, which takes bytes for characters where it is not its own
/// reader.
int next_character(FILE*) {
  std::mbstate_t state{};
  wchar_t character = 0;
  while (const std::optional<char> byte = next_byte()) {
    const size_t length = std::mbrtowc(&character, &*byte, 1, &state);
    if (length == static_cast<size_t>(-1)) return 0xFFFD;
    if (length != static_cast<size_t>(-2)) return static_cast<int>(character);
  }
  return EOF;
}
#endif

}  // namespace

LineReader::LineReader(bool terminal, bool (*interrupted)()) : terminal_(terminal) {
  interrupted_ = interrupted;
#ifdef ARGOSY_WITH_LIBEDIT
  if (!terminal) return;
  std::setlocale(LC_CTYPE, "C.UTF-8");  // what is typed is text for models
  rl_outstream = stderr;                // answers alone are on standard output
  rl_getc_function = next_character;
  rl_initialize();
#endif
}

std::optional<std::string> LineReader::read(const char* prompt) {
  if (!terminal_) return plain_line();
#ifdef ARGOSY_WITH_LIBEDIT
  rl_prep_terminal(1);  // before the prompt: a Ctrl-D that comes at once would be no key otherwise
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
