#pragma once
#include <memory>

#include "text/tokenizer.h"

namespace argosy::text {

/// The tokenizer of a folder or file: tokenizer.json (Hugging Face), tokenizer.model
/// (SentencePiece) or characters.json, the first that is there, or another file .json or .model;
/// tokenizer_config.json and generation_config.json beside it say what opens texts and what ends
/// them.
///
/// throws Error: none is there, or it is damaged, or it asks for what is not supported
std::unique_ptr<Tokenizer> open_tokenizer(const Path& path);

/// Whether open_tokenizer() would find a file there.
bool has_tokenizer(const Path& path);

}  // namespace argosy::text
