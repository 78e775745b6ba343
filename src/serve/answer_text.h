#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "text/utf8.h"

namespace argosy::serve {

/// The text of an answer as its tokens come: whole characters alone, and nothing that a stop
/// sequence may have begun in. Ends before the first stop sequence.
class AnswerText {
 public:
  explicit AnswerText(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// More text that is sure by now; "" often.
  std::string push(std::string_view bytes) { return take(characters_.push(bytes), false); }
  /// Nothing more comes: what was held back.
  std::string finish() { return take(characters_.finish(), true); }
  bool stopped() const { return stopped_; }

 private:
  std::string take(const std::string& more, bool last);

  std::vector<std::string> stops_;
  text::CharacterStream characters_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace argosy::serve
