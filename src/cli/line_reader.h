#pragma once
#include <optional>
#include <string>

namespace argosy::cli {

/// Lines that a person types, with a history that the arrow keys bring back where the program was
/// built with libedit.
/// threads  one at a time
class LineReader {
 public:
  /// terminal  someone types: prompts are shown and lines can be edited
  explicit LineReader(bool terminal) : terminal_(terminal) {}
  /// Nothing at the end of the input, and where a signal came.
  std::optional<std::string> read(const char* prompt);

 private:
  bool terminal_;
};

}  // namespace argosy::cli
