#pragma once
#include <span>
#include <string>
#include <string_view>

#include "text/chat_template.h"

/// Tools in texts, as Hermes models began it: JSON between tags.
namespace argosy::text {

inline constexpr std::string_view kToolCallBegins = "<tool_call>", kToolCallEnds = "</tool_call>";

/// What a system message says of the tools there are. Each is a JSON object.
std::string tools_as_text(std::span<const std::string> tools);

/// The calls of an assistant's turn, behind its content.
std::string tool_calls_as_text(const Message& turn);

/// An answer taken apart. What looks like a call and is none stays in the content.
struct Answer {
  std::string content;
  std::vector<ToolCall> tool_calls;
  Answer& operator+=(Answer more);  ///< what was said behind it
};

/// Takes an answer apart while it comes; in whatever pieces that is, what is said in all is the
/// same. Blanks before a call, and those that end an answer with calls, are not content.
class AnswerReader {
 public:
  /// What is sure by now: more of the content, and calls that are whole.
  Answer push(std::string_view more) { return take(more, false); }
  /// Nothing more comes.
  Answer finish() { return take("", true); }

 private:
  Answer take(std::string_view more, bool last);

  std::string held_;     ///< blanks, and what may be a call
  size_t searched_ = 0;  ///< of that, for the call's end
  bool called_ = false;
};

Answer read_answer(std::string_view text);

}  // namespace argosy::text
