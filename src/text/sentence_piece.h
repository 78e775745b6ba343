#pragma once
#include <memory>
#include <string>
#include <unordered_map>

#include "text/added_tokens.h"
#include "text/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace argosy::text {

/// A model of the SentencePiece library, as Grok-1 has it. What the model itself normalises away
/// does not come back; bytes that are no UTF-8 do, where it has pieces for bytes.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  struct Options {
    bool add_beginning = false;  ///< the model wants its BOS in front of every text
  };
  /// throws Error (file): no such file, or no model
  explicit SentencePieceTokenizer(const Path& file) : SentencePieceTokenizer(file, Options()) {}
  SentencePieceTokenizer(const Path& file, Options options);
  ~SentencePieceTokenizer() override;

  int64_t vocabulary() const override { return static_cast<int64_t>(bytes_.size()); }
  std::vector<Token> encode(std::string_view bytes, bool special) const override;
  std::string_view bytes(Token token) const override { return bytes_in(bytes_, token); }
  std::string decode(const std::vector<Token>& tokens) const override;
  bool is_special(Token token) const override;
  std::optional<Token> find(std::string_view name) const override;
  std::optional<Token> beginning() const override { return beginning_; }
  const std::vector<Token>& ends() const override { return ends_; }
  void write(const Path& folder) const override;

 private:
  void encode_text(std::string_view text, std::vector<Token>& tokens) const;

  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  std::string file_bytes_;
  std::vector<std::string> bytes_;
  std::unordered_map<std::string, Token> by_spelling_;
  AddedTokens none_, special_;
  std::vector<Token> byte_tokens_;  // 256, or none
  std::optional<Token> unknown_, beginning_;
  std::vector<Token> ends_;
  bool space_prefix_ = false;
};

inline constexpr const char* kSentencePieceFile = "tokenizer.model";

}  // namespace argosy::text
