#include "model_files/gguf_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model_files/format_tables.h"
#include "text/character_tokenizer.h"
#include "text/gguf_vocabulary.h"

namespace argosy::model_files {
namespace {

std::string key(const char* name) { return std::string("tokenizer.ggml.") + name; }

std::vector<std::string> texts_of(const GgufMetadata& metadata, const char* name) {
  const auto texts = metadata.texts(key(name)).value_or(std::vector<std::string_view>());
  return {texts.begin(), texts.end()};
}

/// Views of texts that are kept in `texts`.
GgufValue kept(const std::vector<std::string>& all, std::deque<std::string>& texts) {
  std::vector<std::string_view> views;
  for (const std::string& text : all) views.push_back(texts.emplace_back(text));
  return GgufValue::all_texts(std::move(views));
}

text::BpeDefinition definition_of(const text::Tokenizer& tokenizer) {
  if (const auto* bpe = dynamic_cast<const text::BpeTokenizer*>(&tokenizer))
    return bpe->definition();
  if (const auto* characters = dynamic_cast<const text::CharacterTokenizer*>(&tokenizer))
    return characters->definition();
  throw Error({.what = "GGUF has no form for the model's tokenizer that is known here",
               .where = "tokenizer",
               .fix = "export the model as a Hugging Face folder"});
}

}  // namespace

std::unique_ptr<text::Tokenizer> read_gguf_tokenizer(const GgufMetadata& metadata,
                                                     const Path& file) {
  text::GgufVocabulary vocabulary;
  const auto model = metadata.text(key("model"));
  if (!model) fail_model(file, fmt::format("{} is missing", key("model")));
  vocabulary.model = *model;
  vocabulary.pre = metadata.text(key("pre")).value_or("");
  vocabulary.tokens = texts_of(metadata, "tokens");
  vocabulary.merges = texts_of(metadata, "merges");
  vocabulary.scores = metadata.numbers(key("scores")).value_or(std::vector<float>());
  for (const int64_t type : metadata.integers(key("token_type")).value_or(std::vector<int64_t>()))
    vocabulary.types.push_back(static_cast<int32_t>(std::clamp<int64_t>(type, 0, INT32_MAX)));
  vocabulary.beginning = metadata.integer(key("bos_token_id"));
  vocabulary.end = metadata.integer(key("eos_token_id"));
  vocabulary.end_of_turn = metadata.integer(key("eot_token_id"));
  vocabulary.unknown = metadata.integer(key("unknown_token_id"));
  vocabulary.add_beginning = metadata.flag(key("add_bos_token"));
  vocabulary.add_space_prefix = metadata.flag(key("add_space_prefix"));
  return std::make_unique<text::BpeTokenizer>(text::read_gguf_vocabulary(vocabulary, file), file);
}

void write_gguf_tokenizer(const text::Tokenizer& tokenizer, int64_t entries, GgufMetadata& metadata,
                          std::deque<std::string>& texts) {
  text::GgufVocabulary vocabulary = text::gguf_vocabulary(definition_of(tokenizer));
  // others take the number of tokens for that of the model's table
  constexpr int32_t kUnused = 5;
  for (int64_t i = std::ssize(vocabulary.tokens); i < entries; ++i) {
    vocabulary.tokens.push_back(fmt::format("[PAD{}]", i));
    vocabulary.types.push_back(kUnused);
    if (!vocabulary.scores.empty()) vocabulary.scores.push_back(0);
  }
  metadata.set(key("model"), GgufValue::text(texts.emplace_back(vocabulary.model)));
  if (!vocabulary.pre.empty())
    metadata.set(key("pre"), GgufValue::text(texts.emplace_back(vocabulary.pre)));
  metadata.set(key("tokens"), kept(vocabulary.tokens, texts));
  metadata.set(key("token_type"), GgufValue::of_all<int32_t>(vocabulary.types));
  if (!vocabulary.scores.empty())
    metadata.set(key("scores"), GgufValue::of_all<float>(vocabulary.scores));
  if (!vocabulary.merges.empty()) metadata.set(key("merges"), kept(vocabulary.merges, texts));
  const std::pair<const char*, std::optional<int64_t>> ids[] = {
      {"bos_token_id", vocabulary.beginning},
      {"eos_token_id", vocabulary.end},
      {"eot_token_id", vocabulary.end_of_turn},
      {"unknown_token_id", vocabulary.unknown}};
  for (const auto& [name, id] : ids)
    if (id) metadata.set(key(name), GgufValue::of(static_cast<uint32_t>(*id)));
  if (vocabulary.add_beginning)
    metadata.set(key("add_bos_token"), GgufValue::of(*vocabulary.add_beginning));
  if (vocabulary.add_space_prefix)
    metadata.set(key("add_space_prefix"), GgufValue::of(*vocabulary.add_space_prefix));
}

}  // namespace argosy::model_files
