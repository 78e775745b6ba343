#pragma once
#include <string>
#include <vector>

#include "serve/json_text.h"
#include "serve/served_model.h"

/// The pieces of OpenAI's answers. For the .cpp files of this folder, as json_text.h is.
namespace argosy::serve {

/// A token as /v1/chat/completions lists it under logprobs.content.
Json token_json(const Generated& generated, const text::Tokenizer& tokenizer);

/// The first of a prompt, which has no logprob.
Json first_token_json(Token token, const text::Tokenizer& tokenizer);

/// logprobs of /v1/chat/completions; `tokens` are of token_json().
Json chat_logprobs(const std::vector<Json>& tokens);

/// logprobs of /v1/completions; `offset`: characters of the text before.
Json text_logprobs(const std::vector<Json>& tokens, int64_t offset);

Json calls_json(const std::vector<text::ToolCall>& calls, const std::string& id, bool indexed);

Json usage_json(int64_t prompt, int64_t generated, int64_t cached);

/// An event of a stream.
std::string event_of(const std::string& data);

int64_t characters(std::string_view text);  ///< as Python counts them

/// Bytes as a text: what is no UTF-8 is replaced.
std::string readable(std::string_view bytes);

}  // namespace argosy::serve
