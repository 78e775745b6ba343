#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/generator.h"
#include "text/chat_template.h"

namespace argosy::serve {

struct Tool {
  std::string name, description;
  std::string parameters;  ///< a JSON schema as a text; "": any object
};

/// A request to /v1/chat/completions or /v1/completions: each field in its limits.
struct CompletionRequest {
  bool chat = false;
  std::string model;  ///< "": the one there is
  std::vector<text::Message> messages;
  std::vector<std::variant<std::string, std::vector<Token>>> prompts;  ///< where it is no chat

  Sampling sampling;  ///< without its seed
  std::optional<int64_t> seed;
  int64_t choices = 1;  ///< for each prompt
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stops;
  bool stream = false, include_usage = false;
  bool echo = false;  ///< the prompt stands before the answer

  std::optional<std::string> schema;  ///< of the answer; "": any JSON object
  std::vector<Tool> tools;
  std::vector<std::string> tool_texts;  ///< each as its JSON, for the prompt
  enum class ToolChoice { none, automatic, required } tool_choice = ToolChoice::none;
  std::string tool;  ///< required: this one; "": any
  bool parallel_calls = true;
};

/// vocabulary  for fields that hold tokens
/// throws      ApiError, Error
CompletionRequest read_chat_request(std::string_view body, int64_t vocabulary);
CompletionRequest read_completion_request(std::string_view body, int64_t vocabulary);

}  // namespace argosy::serve
