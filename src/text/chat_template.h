#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace argosy::text {

struct ToolCall {
  std::string name;
  std::string arguments;  ///< a JSON object
};

struct Message {
  std::string role;  ///< "system", "user", "assistant" or "tool"
  std::string content;
  std::vector<ToolCall> tool_calls;  ///< of the assistant
};

/// A part of a rendered conversation.
struct PromptPart {
  std::string text;
  bool special = false;  ///< names one special token; otherwise it is plain text
  bool answer = false;   ///< what the assistant says, with the token that ends its turn
};

/// How a model was taught to read conversations. Models' own templates are programs in Jinja; here
/// are the few formats that they come down to, each known by what its template text must and must
/// not have.
class ChatTemplate {
 public:
  /// The format of a name of chat_formats(): "chatml", "llama-3", "plain" and others.
  /// throws Error: there is none of that name (the nearest is named)
  static ChatTemplate named(const std::string& name);
  /// The format of a template text of tokenizer_config.json or tokenizer.chat_template, with its
  /// own default system message.
  /// throws Error, with `where`: it is none of the known
  static ChatTemplate of_text(std::string_view jinja, const std::string& where);

  const std::string& name() const { return name_; }
  /// Stands for a missing system message; empty: none.
  const std::string& default_system() const { return default_system_; }
  /// Texts that end an answer beside the vocabulary's own tokens for that: the next turn's
  /// beginning, in formats where no token ends a turn.
  std::vector<std::string> stops() const;

  /// The conversation, and the beginning of the assistant's turn if `answer_next`. What a message
  /// says is never a special token. The opening token of a text is among the parts where the
  /// format wants one.
  ///
  /// tools   JSON objects that describe functions, for formats that have them
  /// throws  Error: an unknown role, tools that the format does not know
  std::vector<PromptPart> render(std::span<const Message> messages, bool answer_next,
                                 std::span<const std::string> tools = {}) const;

 private:
  ChatTemplate(std::string name, std::string default_system)
      : name_(std::move(name)), default_system_(std::move(default_system)) {}

  std::string name_, default_system_;
};

std::vector<std::string> chat_formats();

inline constexpr const char* kChatTemplateFile = "chat_template.jinja";
/// The template text of a folder's chat_template.jinja or tokenizer_config.json; "" if it has none.
std::string find_chat_template(const Path& folder);
/// That of a tokenizer_config.json. throws Error (file): it is no JSON, or of another form
std::string read_chat_template(std::string_view json, const Path& file);

/// Tokens of rendered parts, and which of them the assistant says.
struct Prompt {
  std::vector<Token> tokens;
  std::vector<bool> answers;
};
/// throws Error: the vocabulary lacks a special token of the format
Prompt encode_parts(std::span<const PromptPart> parts, const Tokenizer& tokenizer);

}  // namespace argosy::text
