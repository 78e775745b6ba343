#include "text/sentence_piece.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>

#include "base/error.h"
#include "text/spelling.h"
#include "text/utf8.h"

namespace argosy::text {

SentencePieceTokenizer::SentencePieceTokenizer(const Path& file, Options options)
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()),
      file_bytes_(read_file(file)) {
  const auto status = processor_->LoadFromSerializedProto(file_bytes_);
  const int count = status.ok() ? processor_->GetPieceSize() : 0;
  if (count == 0)
    throw Error({.what = fmt::format("it is no SentencePiece model ({})",
                                     status.ok() ? "it has no pieces" : status.ToString()),
                 .where = file,
                 .fix = "use another copy of the file",
                 .kind = ErrorKind::file});
  std::vector<Token> byte_tokens(256, -1);
  for (Token token = 0; token < count; ++token) {
    const std::string& piece = processor_->IdToPiece(token);
    by_spelling_.emplace(piece, token);
    const bool byte = processor_->IsByte(token) && byte_named(piece) >= 0;
    if (byte) byte_tokens[byte_named(piece)] = token;
    if (processor_->IsControl(token)) special_.add(piece, token);
    bytes_.push_back(byte                ? std::string(1, static_cast<char>(byte_named(piece)))
                     : is_special(token) ? ""
                                         : with_spaces(piece));
  }
  if (std::find(byte_tokens.begin(), byte_tokens.end(), -1) == byte_tokens.end())
    byte_tokens_ = std::move(byte_tokens);
  if (processor_->unk_id() >= 0) unknown_ = processor_->unk_id();
  if (options.add_beginning && processor_->bos_id() >= 0) beginning_ = processor_->bos_id();
  if (processor_->eos_id() >= 0) ends_.push_back(processor_->eos_id());
  std::vector<Token> tokens;
  encode_text("a", tokens);
  space_prefix_ = !tokens.empty() && bytes_[tokens[0]].starts_with(' ');
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

bool SentencePieceTokenizer::is_special(Token token) const {
  if (token < 0 || token >= processor_->GetPieceSize()) return false;
  return processor_->IsControl(token) || processor_->IsUnknown(token);
}

std::optional<Token> SentencePieceTokenizer::find(std::string_view name) const {
  const auto entry = by_spelling_.find(std::string(name));
  return entry == by_spelling_.end() ? std::nullopt : std::optional(entry->second);
}

std::vector<Token> SentencePieceTokenizer::encode(std::string_view bytes, bool special) const {
  std::vector<Token> tokens;
  (special ? special_ : none_)
      .split(
          bytes, [&](std::string_view text) { encode_text(text, tokens); },
          [&](Token token) { tokens.push_back(token); });
  return tokens;
}

void SentencePieceTokenizer::encode_text(std::string_view text, std::vector<Token>& tokens) const {
  while (!text.empty()) {
    const size_t whole = whole_characters(text);
    std::vector<int> ids;
    // it fails on what is no text only
    if (whole > 0 && processor_->Encode(text.substr(0, whole), &ids).ok())
      tokens.insert(tokens.end(), ids.begin(), ids.end());
    text.remove_prefix(whole);
    if (text.empty()) break;
    const size_t broken = first_character(text).length;
    for (const char c : text.substr(0, broken)) {
      if (!byte_tokens_.empty())
        tokens.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
      else if (unknown_)
        tokens.push_back(*unknown_);
    }
    text.remove_prefix(broken);
  }
}

std::string SentencePieceTokenizer::decode(const std::vector<Token>& tokens) const {
  std::string text = Tokenizer::decode(tokens);
  if (space_prefix_ && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

void SentencePieceTokenizer::write(const Path& folder) const {
  write_file(folder / kSentencePieceFile, file_bytes_);
  write_file(folder / "tokenizer_config.json",
             fmt::format("{{\"add_bos_token\": {}}}\n", beginning_.has_value()));
}

}  // namespace argosy::text
