#pragma once
#include <memory>
#include <string>
#include <unordered_map>

#include "text/bpe_tokenizer.h"

namespace argosy::text {

/// One token for each character that a text has, in the order of their code points.
class CharacterTokenizer final : public Tokenizer {
 public:
  /// throws Error, with `where`: the text is empty or no UTF-8
  static std::unique_ptr<CharacterTokenizer> of_text(std::string_view text,
                                                     const std::string& where);
  /// What write() wrote.
  static std::unique_ptr<CharacterTokenizer> read(const Path& file);

  int64_t vocabulary() const override { return static_cast<int64_t>(characters_.size()); }
  /// throws Error: a character that the vocabulary lacks
  std::vector<Token> encode(std::string_view bytes, bool special) const override;
  std::string_view bytes(Token token) const override { return bytes_in(characters_, token); }
  bool is_special(Token) const override { return false; }
  std::optional<Token> find(std::string_view name) const override;
  std::optional<Token> beginning() const override { return std::nullopt; }
  const std::vector<Token>& ends() const override { return ends_; }
  void write(const Path& folder) const override;

  /// The same tokens as byte-pair encoding has them that merges nothing; what the vocabulary lacks
  /// is left out there. throws Error: it has U+2581, which means a space there
  BpeDefinition definition() const;

 private:
  explicit CharacterTokenizer(std::vector<std::string> characters);

  std::vector<std::string> characters_;
  std::unordered_map<std::string_view, Token> tokens_;
  std::vector<Token> ends_;  // none
};

inline constexpr const char* kCharactersFile = "characters.json";

}  // namespace argosy::text
