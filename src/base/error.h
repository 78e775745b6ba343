#pragma once
#include <stdexcept>
#include <string>

namespace argosy {

/// What kind of thing is wrong; the value is the program's exit code.
enum class ErrorKind { input = 2, file = 3, device = 4 };

/// A mistake that the user can mend. All three texts are needed, so that every message says what is
/// wrong, where, and what to do: "WHERE: WHAT; FIX".
struct ErrorText {
  std::string what;   ///< the value and its limit
  std::string where;  ///< file, line, record, key
  std::string fix;    ///< what the user can do
  ErrorKind kind = ErrorKind::input;
};

class Error : public std::runtime_error {
 public:
  explicit Error(const ErrorText& text);
  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

/// A broken promise inside the program: never the user's fault, never reachable by input.
class Bug : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

inline constexpr int kBugExitCode = 70;

/// An Error for a failed system call on `path`, with the meaning of `error_number` (errno).
Error file_error(const std::string& action, const std::string& path, int error_number);

}  // namespace argosy
