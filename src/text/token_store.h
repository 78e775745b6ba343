#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "text/tokenizer.h"

/// Texts as tokens on disk, one document behind the other, in a folder:
///
///   store.json      what is in it
///   tokens.bin      u16, or u32 where the vocabulary is larger than 65536
///   documents.bin   u64, the first token of each document, then the number of tokens
///   answers.bin     u8, of conversations: 1 where the assistant says the token
///   tokenizer.json  (or another tokenizer's files) what made the tokens
namespace argosy::text {

/// A store, mapped: opening takes no time, whatever its size.
/// threads  any number at once
class TokenStore {
 public:
  /// throws Error (file): there is none, or its files do not agree
  explicit TokenStore(const Path& folder);

  const Path& folder() const { return folder_; }
  int64_t tokens() const { return tokens_; }
  int64_t vocabulary() const { return vocabulary_; }
  /// The chat format of its conversations (chat_template.h), or "".
  const std::string& chat() const { return chat_; }
  /// Whether it has conversations, of which not all is to be learned.
  bool has_answers() const { return !answers_.empty(); }
  int64_t documents() const { return static_cast<int64_t>(document_begins_.size()) - 1; }
  /// documents() + 1 numbers, ascending
  std::span<const uint64_t> document_begins() const { return document_begins_; }
  int64_t document_of(int64_t token) const;  ///< its number; token in [0, tokens())

  /// Tokens from `begin` on. Throws Error (file) where one is not in the vocabulary.
  void read(int64_t begin, std::span<int32_t> tokens) const;
  /// Whether it is to be learned to say this token: of conversations what the assistant says, of
  /// other texts all.
  bool learned(int64_t token) const { return answers_.empty() || answers_[token] != std::byte{0}; }

  std::unique_ptr<Tokenizer> tokenizer() const;

  /// Where the first `share` of the tokens end: at the end of a document, of a single text in it.
  int64_t cut(double share) const;

 private:
  Path folder_;
  std::string chat_;
  std::unique_ptr<MappedFile> token_file_, document_file_, answer_file_;
  int64_t tokens_ = 0, vocabulary_ = 0;
  int token_bytes_ = 2;
  std::span<const uint64_t> document_begins_;
  std::span<const std::byte> answers_;
};

/// Writes a store, which appears whole or not at all.
class TokenStoreWriter {
 public:
  /// throws Error (file): there is something already
  TokenStoreWriter(const Path& folder, const Tokenizer& tokenizer);
  ~TokenStoreWriter();

  /// answers  as many as tokens, or empty: all of them are to be learned
  void add(std::span<const Token> document, const std::vector<bool>& answers = {});
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  /// chat  see TokenStore::chat()
  void commit(const std::string& chat = "");

 private:
  const Tokenizer& tokenizer_;
  PartialFolder folder_;
  std::unique_ptr<PartialFile> token_file_, document_file_, answer_file_;
  int64_t tokens_ = 0, documents_ = 0;
  bool any_answers_ = false;
  int token_bytes_ = 2;
  std::string buffer_;
};

bool is_token_store(const Path& folder);

/// Says before long work that a store cannot be made there. Throws Error (file).
void expect_no_store(const Path& folder);

/// The token that closes a document: "<|endoftext|>" where the vocabulary has it, else the first
/// that ends an answer, else none.
std::optional<Token> document_end(const Tokenizer& tokenizer);

}  // namespace argosy::text
