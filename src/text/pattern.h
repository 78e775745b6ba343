#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace argosy::text {

/// A part of a text.
using Piece = std::function<void(std::string_view)>;

/// A regular expression as tokenizers have them: Unicode's properties, ^ and $ at every line, \s is
/// Unicode's White_Space.
/// threads  any number at once
class Pattern {
 public:
  /// throws Error, with `where`: it is none
  Pattern(const std::string& expression, const std::string& where);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  /// Every match and every text between two, in order: together they are `text`, which is UTF-8.
  /// throws Error: the expression takes more steps on this text than anyone would wait for
  void split(std::string_view text, const Piece& piece) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

/// An expression that matches just this text.
std::string literal_expression(std::string_view text);

}  // namespace argosy::text
