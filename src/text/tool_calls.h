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
};
Answer read_answer(std::string_view text);

}  // namespace argosy::text
