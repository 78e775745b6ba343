#pragma once
#include <string>
#include <string_view>

#include "text/bpe_tokenizer.h"

/// tokenizer.json and what stands beside it, as Hugging Face's libraries write them.
namespace argosy::text {

/// throws Error (file), with `where`: it is none, it is damaged, or it asks for what Argosy does
///        not do, which is named
BpeDefinition read_tokenizer_json(std::string_view json, const std::string& where);

/// Tokens that tokenizer_config.json (or generation_config.json) says end a text or an answer.
/// throws Error (file), with `where`
void add_ends(BpeDefinition& definition, std::string_view config_json, const std::string& where);

std::string tokenizer_json(const BpeDefinition& definition);
std::string tokenizer_config(const BpeDefinition& definition);

/// Names that models give to tokens that end a turn; those that a vocabulary has as special tokens
/// end an answer.
void add_known_ends(BpeDefinition& definition);

}  // namespace argosy::text
