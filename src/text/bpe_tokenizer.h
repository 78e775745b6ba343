#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_tokens.h"
#include "text/merges.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace argosy::text {

enum class EntryKind : uint8_t {
  plain,    ///< comes of bytes and merges
  special,  ///< steers the model; its name in a text is plain text unless asked for
  added,    ///< found in every text before anything is cut and merged
  byte,     ///< "<0x0A>", for characters that have no entry
  unknown,  ///< stands for what cannot be spelled
  unused,
};

struct VocabularyEntry {
  std::string spelling;  ///< as in the file
  EntryKind kind = EntryKind::plain;
};

/// How the entries are spelled, and what merging begins with.
enum class Alphabet {
  bytes,       ///< bytes (spelling.h)
  characters,  ///< characters as SentencePiece has them: U+2581 for a space, bytes for the unknown
};

enum class SpacePrefix { none, always, unless_there };

/// All there is to know about a tokenizer of byte-pair encoding, as vocabulary files have it.
struct BpeDefinition {
  std::vector<VocabularyEntry> entries;
  std::vector<Merge> merges;  ///< in order of rank
  Alphabet alphabet = Alphabet::bytes;
  std::vector<std::string> splits;  ///< see PreTokenizer; for the alphabet of bytes
  bool whole_piece_first = false;   ///< a piece that is an entry is that one, whatever the merges
  bool fuse_unknown = false;        ///< one unknown token for neighbours
  bool composed = false;            ///< a text is brought into Unicode's form NFC first; for bytes
  SpacePrefix space_prefix = SpacePrefix::none;  ///< a space put in front of a text
  std::optional<Token> unknown;  ///< for what cannot be spelled; without it, that is left out
  std::optional<Token> beginning;
  std::vector<Token> ends;
};

/// Byte-pair encoding, of bytes (GPT-2 and on) or of characters (SentencePiece as Llama has it).
///
/// What the vocabulary cannot spell is left out, as by others: SmolLM2's lacks some control
/// characters. And U+2581 in a text is spelled in bytes where that character means a space.
class BpeTokenizer final : public Tokenizer {
 public:
  /// throws Error, with `where`: entries spelled alike, merges of tokens that are none, patterns
  ///        that are none
  BpeTokenizer(BpeDefinition definition, const std::string& where);
  ~BpeTokenizer() override;

  int64_t vocabulary() const override { return static_cast<int64_t>(bytes_.size()); }
  std::vector<Token> encode(std::string_view bytes, bool special) const override;
  std::string_view bytes(Token token) const override { return bytes_in(bytes_, token); }
  std::string decode(const std::vector<Token>& tokens) const override;
  bool is_special(Token token) const override;
  std::optional<Token> find(std::string_view name) const override;
  std::optional<Token> beginning() const override { return definition_.beginning; }
  const std::vector<Token>& ends() const override { return definition_.ends; }
  /// tokenizer.json and tokenizer_config.json, as Hugging Face's libraries read them.
  void write(const Path& folder) const override;

  const BpeDefinition& definition() const { return definition_; }

 private:
  struct Workspace;
  std::unique_ptr<Workspace> take() const;
  void encode_text(std::string_view text, Workspace& work, std::vector<Token>& tokens) const;
  void encode_piece(std::string_view piece, Workspace& work, std::vector<Token>& tokens) const;
  void merge_piece(std::string_view piece, Workspace& work) const;
  void begin_with_bytes(std::string_view piece, std::vector<Token>& tokens) const;
  void begin_with_characters(std::string_view piece, std::vector<Token>& tokens) const;
  void add_unknown(std::vector<Token>& tokens) const;

  BpeDefinition definition_;
  std::vector<std::string> bytes_;
  std::unordered_map<std::string_view, Token> by_spelling_;
  std::unordered_map<std::string_view, Token> by_bytes_;  // plain entries
  std::array<Token, 256> byte_tokens_{};                  // -1: none
  bool words_apart_ = false;  // no merge reaches from a character to a space behind it
  PreTokenizer pre_tokenizer_;
  Merges merges_;
  AddedTokens added_, special_;  // found in every text; found where special tokens are asked for

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;  // as many as ever encoded at once
};

}  // namespace argosy::text
