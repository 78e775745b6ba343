#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace argosy::text {

using Token = int32_t;  ///< an entry of a vocabulary

/// Text to tokens and back. decode(encode(x)) is x for any bytes that the vocabulary can spell.
/// threads  any number at once
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual int64_t vocabulary() const = 0;  ///< tokens are in [0, vocabulary())

  /// Tokens of any bytes, in time linear in them. The names of special tokens ("<|im_end|>") are
  /// plain text unless `special`. Nothing is put in front or behind.
  virtual std::vector<Token> encode(std::string_view bytes, bool special = false) const = 0;

  /// What the token stands for; not always whole characters. Empty for special tokens, and for
  /// those beyond the vocabulary, which only fill a model's table up: it may choose one all the
  /// same.
  virtual std::string_view bytes(Token token) const = 0;

  /// The text of tokens that stand at the beginning of one. Where encode() puts a space in front
  /// of a text, it is taken away.
  virtual std::string decode(const std::vector<Token>& tokens) const {
    std::string text;
    for (const Token token : tokens) text += bytes(token);
    return text;
  }

  virtual bool is_special(Token token) const = 0;
  /// The token that is spelled so in the vocabulary, special or not.
  virtual std::optional<Token> find(std::string_view name) const = 0;

  /// The token that opens every text (where the model wants one), and those that end an answer.
  virtual std::optional<Token> beginning() const = 0;
  /// Tokens of a text with the opening one in front, where the model wants one.
  std::vector<Token> opened(std::vector<Token> tokens) const {
    if (const auto first = beginning()) tokens.insert(tokens.begin(), *first);
    return tokens;
  }
  virtual const std::vector<Token>& ends() const = 0;

  /// Its files into a folder, from which open_tokenizer() (tokenizer_files.h) makes it again.
  virtual void write(const Path& folder) const = 0;

 protected:
  static std::string_view bytes_in(const std::vector<std::string>& of_all, Token token) {
    const auto entry = static_cast<size_t>(token);
    return entry < of_all.size() ? std::string_view(of_all[entry]) : std::string_view();
  }
};

}  // namespace argosy::text
