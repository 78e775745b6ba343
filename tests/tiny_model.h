#pragma once
#include <cstring>
#include <memory>

#include "base/random.h"
#include "model_files/format_tables.h"
#include "text/bpe_tokenizer.h"
#include "text/spelling.h"
#include "text/tokenizer_json.h"

namespace argosy::test {

/// Byte-pair encoding with all bytes, three merges and three special tokens: 262 tokens.
inline text::BpeDefinition tiny_vocabulary() {
  text::BpeDefinition definition;
  for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    definition.entries.push_back({special, text::EntryKind::special});
  for (int byte = 0; byte < 256; ++byte)
    definition.entries.push_back({text::spelled(std::string(1, static_cast<char>(byte)))});
  const auto token = [&](const std::string& bytes) {
    for (size_t i = 0; i < definition.entries.size(); ++i)
      if (definition.entries[i].spelling == text::spelled(bytes))
        return static_cast<text::Token>(i);
    return text::Token{-1};
  };
  for (const auto& [left, right] :
       {std::pair("h", "e"), std::pair("l", "l"), std::pair("he", "ll")}) {
    definition.entries.push_back({text::spelled(std::string(left) + right)});
    definition.merges.push_back({token(left), token(right), token(std::string(left) + right),
                                 static_cast<int32_t>(definition.merges.size())});
  }
  definition.splits = text::find_named_split("gpt-2")->expressions;
  definition.ends = {2};
  text::add_known_ends(definition);
  return definition;
}

/// A model that nobody trained, in memory.
inline model_files::LanguageModel tiny_model(const models::LanguageFormat& format,
                                             const models::LanguageOptions& options) {
  model_files::LanguageModel model;
  model.name = "tiny";
  model.path = "tiny";
  model.options = options;
  auto numbers = std::make_shared<std::vector<std::vector<float>>>();
  for (const model_files::NamedWeight& named :
       model_files::named_weights(format, model.options, &models::WeightName::name)) {
    const NamedNumbers random(named.name);
    std::vector<float>& of_one = numbers->emplace_back(count(named.shape));
    for (size_t i = 0; i < of_one.size(); ++i) of_one[i] = random(i);
    model_files::Weight& weight = model.weights.emplace_back();
    weight.name = named.name;
    weight.shape = named.shape;
    weight.bytes = std::as_bytes(std::span(of_one));
  }
  model.mapping = numbers;
  model.tokenizer = std::make_unique<text::BpeTokenizer>(tiny_vocabulary(), "tiny");
  model.chat_template = "{% for message in messages %}<|im_start|>{{ message['role'] }}...";
  return model;
}

/// Of two layers; a Grok has three experts in each.
inline models::LanguageOptions tiny_options(std::string_view architecture) {
  models::LanguageOptions options = {.architecture = std::string(architecture),
                                     .vocabulary = 264,
                                     .context = 64,
                                     .width = 32,
                                     .layers = 2,
                                     .heads = 4,
                                     .key_heads = 2,
                                     .head_width = 8,
                                     .hidden = 64,
                                     .epsilon = 1e-5,
                                     .rotary_base = 5000};
  if (architecture != "grok") return options;
  options.experts = 3, options.active = 2;
  options.embedding_multiplier = 5.5, options.output_multiplier = 0.5;
  options.attention_multiplier = 0.25, options.soft_cap = 20;
  return options;
}

inline model_files::LanguageModel tiny_model(
    bool tied = true, int64_t width = 32,
    const models::LanguageFormat& format = models::kLlamaFormat) {
  models::LanguageOptions options = tiny_options(format.architecture);
  options.width = width, options.tied = tied;
  return tiny_model(format, options);
}

inline model_files::LanguageModel tiny_grok(bool tied = true) {
  return tiny_model(tied, 32, models::kGrokFormat);
}

}  // namespace argosy::test
