#include "serve/completion_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/utf8.h"

namespace argosy::serve {
namespace {

/// JSON has no infinity; clients know this one for what can never come.
double finite(float logprob) { return std::isfinite(logprob) ? logprob : -9999.0; }

Json bare_token(Token token, float logprob, const text::Tokenizer& tokenizer) {
  const std::string_view spelling = tokenizer.bytes(token);
  Json bytes = Json::array();
  for (const char byte : spelling) bytes.push_back(static_cast<uint8_t>(byte));
  return {{"token", readable(spelling)}, {"logprob", finite(logprob)}, {"bytes", bytes}};
}

}  // namespace

int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

std::string readable(std::string_view bytes) {
  text::CharacterStream characters;
  std::string text = characters.push(bytes);
  return text + characters.finish();
}

Json token_json(const Generated& generated, const text::Tokenizer& tokenizer) {
  Json json = bare_token(generated.token, generated.logprob, tokenizer);
  Json others = Json::array();
  for (const auto& [token, logprob] : generated.others)
    others.push_back(bare_token(token, logprob, tokenizer));
  json["top_logprobs"] = std::move(others);
  return json;
}

Json first_token_json(Token token, const text::Tokenizer& tokenizer) {
  return {
      {"token", readable(tokenizer.bytes(token))}, {"logprob", nullptr}, {"top_logprobs", nullptr}};
}

Json chat_logprobs(const std::vector<Json>& tokens) {
  return {{"content", tokens}, {"refusal", nullptr}};
}

Json text_logprobs(const std::vector<Json>& tokens, int64_t offset) {
  Json texts = Json::array(), logprobs = Json::array(), others = Json::array(),
       offsets = Json::array();
  for (const Json& token : tokens) {
    texts.push_back(token["token"]);
    logprobs.push_back(token["logprob"]);
    Json top = token["top_logprobs"].is_null() ? Json() : Json::object();
    for (const Json& other : token["top_logprobs"])
      top[other["token"].get<std::string>()] = other["logprob"];
    others.push_back(std::move(top));
    offsets.push_back(offset);
    offset += characters(token["token"].get_ref<const std::string&>());
  }
  return {{"tokens", texts},
          {"token_logprobs", logprobs},
          {"top_logprobs", others},
          {"text_offset", offsets}};
}

Json calls_json(const std::vector<text::ToolCall>& calls, const std::string& id, bool indexed) {
  Json list = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    Json call = Json::object();
    if (indexed) call["index"] = i;
    call["id"] = fmt::format("call_{}{}", id, i);
    call["type"] = "function";
    call["function"] = {{"name", calls[i].name}, {"arguments", calls[i].arguments}};
    list.push_back(std::move(call));
  }
  return list;
}

Json usage_json(int64_t prompt, int64_t generated, int64_t cached) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", generated},
          {"total_tokens", prompt + generated},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

std::string event_of(const std::string& data) { return "data: " + data + "\n\n"; }

}  // namespace argosy::serve
