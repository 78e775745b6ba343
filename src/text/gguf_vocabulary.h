#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/bpe_tokenizer.h"

namespace argosy::text {

/// The keys tokenizer.ggml.* of a GGUF file, whose reader stands elsewhere.
struct GgufVocabulary {
  std::string model;  ///< "gpt2" or "llama"
  std::string pre;    ///< how "gpt2" cuts texts, a name of named_splits()
  std::vector<std::string> tokens;
  std::vector<float> scores;        ///< of "llama": of two merges the one of the higher score first
  std::vector<int32_t> types;       ///< token_type, 1 to 6; may be empty
  std::vector<std::string> merges;  ///< of "gpt2": "LEFT RIGHT"
  std::optional<int64_t> beginning, end, end_of_turn, unknown;  ///< *_token_id
  std::optional<bool> add_beginning, add_space_prefix;
};

/// throws Error (file), with `where`: lists of different lengths, tokens that are none, a model
///        or a `pre` that is not known
BpeDefinition read_gguf_vocabulary(const GgufVocabulary& vocabulary, const std::string& where);

/// throws Error: a split that has no name in GGUF
GgufVocabulary gguf_vocabulary(const BpeDefinition& definition);

}  // namespace argosy::text
