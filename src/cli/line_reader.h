#pragma once
#include <optional>
#include <string>

namespace argosy::cli {

/// Lines that a person types, with a history that the arrow keys bring back where the program was
/// built with libedit. Prompts go to standard error.
/// threads  one at a time
class LineReader {
 public:
  /// terminal     someone types: prompts are shown and lines can be edited
  /// interrupted  what the handler of SIGINT sets; a wait for input ends with it
  LineReader(bool terminal, bool (*interrupted)());
  /// Nothing at the end of the input, and where Ctrl-C came.
  std::optional<std::string> read(const char* prompt);

 private:
  bool terminal_;
};

}  // namespace argosy::cli
