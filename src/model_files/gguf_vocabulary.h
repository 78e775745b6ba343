#pragma once
#include <deque>
#include <memory>
#include <string>

#include "engine/gguf_metadata.h"
#include "model_files/language_model.h"

/// Tokenizers as GGUF's metadata have them ("tokenizer.ggml.").
namespace argosy::model_files {

/// throws Error (file): a key is missing or of another kind, lists differ in length, the tokenizer
/// is of a kind that is not known here
std::unique_ptr<text::Tokenizer> read_gguf_tokenizer(const GgufMetadata& metadata,
                                                     const Path& file);

/// `entries` is the length of the model's table: what the tokenizer lacks is filled up. Texts that
/// the metadata view are kept in `texts`.
/// throws Error: GGUF has no name for such a tokenizer
void write_gguf_tokenizer(const text::Tokenizer& tokenizer, int64_t entries, GgufMetadata& metadata,
                          std::deque<std::string>& texts);

}  // namespace argosy::model_files
