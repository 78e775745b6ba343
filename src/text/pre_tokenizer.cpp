#include "text/pre_tokenizer.h"

#include "text/utf8.h"

namespace argosy::text {
namespace {

constexpr const char* kDigit = R"(\p{N})";
constexpr const char* kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4oSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const std::vector<NamedSplit>& table() {
  static const std::vector<NamedSplit> rows = {
      {"gpt-2", {kGpt2Split}},
      {"mpt", {kGpt2Split}},
      {"olmo", {kGpt2Split}},
      {"phi-2", {kGpt2Split}},
      {"jais", {kGpt2Split}},
      {"smollm", {kDigit, kGpt2Split}},
      {"starcoder", {kDigit, kGpt2Split}},
      {"refact", {kDigit, kGpt2Split}},
      {"command-r", {kDigit, kGpt2Split}},
      {"codeshell", {kDigit, kGpt2Split}},
      {"exaone", {kDigit, kGpt2Split}},
      {"llama-bpe", {kLlama3Split}, true},
      {"llama3", {kLlama3Split}, true},
      {"llama-v3", {kLlama3Split}, true},
      {"falcon3", {kLlama3Split}, true},
      {"dbrx", {kLlama3Split}},
      {"smaug-bpe", {kLlama3Split}},
      {"qwen2", {kQwen2Split}, false, true},
      {"stablelm2", {kQwen2Split}},
      {"deepseek-r1-qwen", {kQwen2Split}},
      {"gpt-4o", {kGpt4oSplit}},
      {"llama4", {kGpt4oSplit}},
  };
  return rows;
}

}  // namespace

PreTokenizer::PreTokenizer(std::span<const std::string> expressions, const std::string& where) {
  for (const std::string& expression : expressions) patterns_.emplace_back(expression, where);
}

void PreTokenizer::split_from(size_t pattern, std::string_view text, const Piece& piece) const {
  if (pattern == patterns_.size()) return piece(text);
  patterns_[pattern].split(text,
                           [&](std::string_view part) { split_from(pattern + 1, part, piece); });
}

void PreTokenizer::split(std::string_view bytes, const Piece& piece) const {
  while (!bytes.empty()) {
    const size_t whole = patterns_.empty() ? bytes.size() : whole_characters(bytes);
    if (whole > 0) split_from(0, bytes.substr(0, whole), piece);
    bytes.remove_prefix(whole);
    size_t broken = 0;
    while (broken < bytes.size()) {
      const Character next = first_character(bytes.substr(broken));
      if (next.whole()) break;
      broken += next.length;
    }
    if (broken > 0) piece(bytes.substr(0, broken));
    bytes.remove_prefix(broken);
  }
}

std::span<const NamedSplit> named_splits() { return table(); }

const NamedSplit* find_named_split(std::string_view name) {
  for (const NamedSplit& row : table())
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace argosy::text
