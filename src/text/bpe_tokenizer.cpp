#include "text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "text/normalization.h"
#include "text/spelling.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace argosy::text {
namespace {

constexpr size_t kCachedPieces = 1 << 14, kLongestCached = 64;
constexpr size_t kMostKept = 1 << 16;  // tokens of the longest piece whose memory is kept

Error broken(const std::string& where, std::string what) {
  return Error({.what = std::move(what),
                .where = where,
                .fix = "use another copy of the file",
                .kind = ErrorKind::file});
}

std::string bytes_of(const VocabularyEntry& entry, Alphabet alphabet) {
  switch (entry.kind) {
    case EntryKind::special:
    case EntryKind::unknown:
    case EntryKind::unused:
      return "";
    case EntryKind::added:
      return entry.spelling;
    case EntryKind::byte:
      return std::string(1, static_cast<char>(byte_named(entry.spelling)));
    case EntryKind::plain:
      break;
  }
  // an entry that is in no alphabet comes of no merge, but a model may still say it
  if (alphabet == Alphabet::bytes) return unspelled(entry.spelling).value_or(entry.spelling);
  return with_spaces(entry.spelling);
}

/// Whether a space stands behind something else.
bool joins_words(std::string_view bytes) {
  const size_t begin = bytes.find_first_not_of(' ');
  return begin != std::string_view::npos && bytes.find(' ', begin) != std::string_view::npos;
}

}  // namespace

/// What one call of encode() works with. The cache has a place for each hash, which the newest
/// piece takes.
struct BpeTokenizer::Workspace {
  struct Cached {
    std::string piece;
    std::vector<Token> tokens;
  };
  std::vector<Cached> cache = std::vector<Cached>(kCachedPieces);
  std::vector<Token> tokens;  // of the piece at hand
  Merges::Scratch scratch;
};

BpeTokenizer::BpeTokenizer(BpeDefinition definition, const std::string& where)
    : definition_(std::move(definition)),
      pre_tokenizer_(definition_.splits, where),
      merges_(definition_.merges) {
  const auto& entries = definition_.entries;
  byte_tokens_.fill(-1);
  bytes_.reserve(entries.size());
  by_spelling_.reserve(entries.size());
  by_bytes_.reserve(entries.size());
  for (Token token = 0; const VocabularyEntry& entry : entries) {
    if (entry.kind == EntryKind::byte && byte_named(entry.spelling) < 0)
      throw broken(where, fmt::format("token {} is \"{}\" and stands for a byte", token,
                                      entry.spelling.substr(0, 40)));
    bytes_.push_back(bytes_of(entry, definition_.alphabet));
    ++token;
  }
  const auto known = [&](Token token) {
    return token >= 0 && token < static_cast<Token>(entries.size());
  };
  for (Token token = 0; token < static_cast<Token>(entries.size()); ++token) {
    const auto& [spelling, kind] = entries[token];
    if (kind == EntryKind::unused) continue;
    const auto [first, is_new] = by_spelling_.emplace(spelling, token);
    if (!is_new)
      throw broken(where, fmt::format("tokens {} and {} are both spelled \"{}\"", first->second,
                                      token, spelling.substr(0, 40)));
    const std::string_view bytes = bytes_[token];
    if (kind == EntryKind::plain) by_bytes_.emplace(bytes, token);
    if (kind == EntryKind::special || kind == EntryKind::added) special_.add(spelling, token);
    if (kind == EntryKind::added) added_.add(spelling, token);
    const bool one_byte = definition_.alphabet == Alphabet::bytes
                              ? kind == EntryKind::plain && bytes.size() == 1
                              : kind == EntryKind::byte;
    if (one_byte) byte_tokens_[static_cast<uint8_t>(bytes[0])] = token;
  }
  words_apart_ = true;
  for (size_t i = 0; i < definition_.merges.size(); ++i) {
    const Merge& merge = definition_.merges[i];
    if (!known(merge.left) || !known(merge.right) || !known(merge.result))
      throw broken(where, fmt::format("merge {} names a token that is none", i));
    words_apart_ &= !joins_words(bytes_[merge.result]);
  }
  for (const std::optional<Token> token : {definition_.unknown, definition_.beginning})
    if (token && !known(*token)) throw broken(where, fmt::format("{} is no token", *token));
  for (const Token token : definition_.ends)
    if (!known(token)) throw broken(where, fmt::format("{} is no token", token));
}

BpeTokenizer::~BpeTokenizer() = default;

std::unique_ptr<BpeTokenizer::Workspace> BpeTokenizer::take() const {
  const std::lock_guard lock(mutex_);
  if (workspaces_.empty()) return std::make_unique<Workspace>();
  std::unique_ptr<Workspace> work = std::move(workspaces_.back());
  workspaces_.pop_back();
  return work;
}

std::vector<Token> BpeTokenizer::encode(std::string_view bytes, bool special) const {
  if (bytes.size() > std::numeric_limits<int32_t>::max())
    throw Error({.what = fmt::format("a text of {} bytes is longer than 2 GiB", bytes.size()),
                 .where = "tokenizer",
                 .fix = "cut it into several texts"});
  std::unique_ptr<Workspace> work = take();
  std::vector<Token> tokens;
  tokens.reserve(bytes.size() / 4 + 1);
  (special ? special_ : added_)
      .split(
          bytes, [&](std::string_view text) { encode_text(text, *work, tokens); },
          [&](Token token) { tokens.push_back(token); });
  if (work->tokens.capacity() > kMostKept) {
    work->tokens = {};
    work->scratch = {};
  }
  const std::lock_guard lock(mutex_);
  workspaces_.push_back(std::move(work));
  return tokens;
}

void BpeTokenizer::encode_text(std::string_view text, Workspace& work,
                               std::vector<Token>& tokens) const {
  const auto piece = [&](std::string_view part) { encode_piece(part, work, tokens); };
  if (definition_.alphabet == Alphabet::bytes) {
    if (definition_.composed && !is_ascii(text)) return pre_tokenizer_.split(composed(text), piece);
    return pre_tokenizer_.split(text, piece);
  }
  std::string prefixed;
  const SpacePrefix prefix = definition_.space_prefix;
  if (prefix == SpacePrefix::always ||
      (prefix == SpacePrefix::unless_there && !text.starts_with(' '))) {
    (prefixed = ' ') += text;
    text = prefixed;
  }
  if (!words_apart_) return piece(text);
  for (size_t begin = 0; begin < text.size();) {
    const size_t word = text.find_first_not_of(' ', begin);
    const size_t end = std::min(word == text.npos ? word : text.find(' ', word), text.size());
    piece(text.substr(begin, end - begin));
    begin = end;
  }
}

void BpeTokenizer::encode_piece(std::string_view piece, Workspace& work,
                                std::vector<Token>& tokens) const {
  if (piece.size() > kLongestCached) {
    merge_piece(piece, work);
    tokens.insert(tokens.end(), work.tokens.begin(), work.tokens.end());
    return;
  }
  auto& cached = work.cache[std::hash<std::string_view>()(piece) % kCachedPieces];
  if (cached.piece != piece) {
    merge_piece(piece, work);
    cached.piece = piece;
    cached.tokens = work.tokens;
  }
  tokens.insert(tokens.end(), cached.tokens.begin(), cached.tokens.end());
}

void BpeTokenizer::merge_piece(std::string_view piece, Workspace& work) const {
  work.tokens.clear();
  if (definition_.whole_piece_first) {
    if (const auto whole = by_bytes_.find(piece); whole != by_bytes_.end()) {
      work.tokens.push_back(whole->second);
      return;
    }
  }
  if (definition_.alphabet == Alphabet::bytes)
    begin_with_bytes(piece, work.tokens);
  else
    begin_with_characters(piece, work.tokens);
  merges_.apply(work.tokens, work.scratch);
}

void BpeTokenizer::begin_with_bytes(std::string_view piece, std::vector<Token>& tokens) const {
  for (const char c : piece) {
    const Token token = byte_tokens_[static_cast<uint8_t>(c)];
    if (token >= 0)
      tokens.push_back(token);
    else
      add_unknown(tokens);
  }
}

void BpeTokenizer::begin_with_characters(std::string_view piece, std::vector<Token>& tokens) const {
  while (!piece.empty()) {
    const std::string_view character = piece.substr(0, first_character(piece).length);
    piece.remove_prefix(character.size());
    // the character that stands for a space is none here: it would come back as one
    const auto own = character == kSpace ? by_bytes_.end() : by_bytes_.find(character);
    if (own != by_bytes_.end()) {
      tokens.push_back(own->second);
      continue;
    }
    const bool spelled = std::all_of(character.begin(), character.end(), [&](char c) {
      return byte_tokens_[static_cast<uint8_t>(c)] >= 0;
    });
    if (spelled)
      for (const char c : character) tokens.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
    else
      add_unknown(tokens);
  }
}

void BpeTokenizer::add_unknown(std::vector<Token>& tokens) const {
  if (!definition_.unknown) return;
  if (definition_.fuse_unknown && !tokens.empty() && tokens.back() == *definition_.unknown) return;
  tokens.push_back(*definition_.unknown);
}

std::string BpeTokenizer::decode(const std::vector<Token>& tokens) const {
  std::string text = Tokenizer::decode(tokens);
  if (definition_.space_prefix != SpacePrefix::none && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

bool BpeTokenizer::is_special(Token token) const {
  if (token < 0 || token >= vocabulary()) return false;
  const EntryKind kind = definition_.entries[static_cast<size_t>(token)].kind;
  return kind == EntryKind::special || kind == EntryKind::unknown;
}

std::optional<Token> BpeTokenizer::find(std::string_view name) const {
  const auto entry = by_spelling_.find(name);
  return entry == by_spelling_.end() ? std::nullopt : std::optional(entry->second);
}

void BpeTokenizer::write(const Path& folder) const {
  write_file(folder / "tokenizer.json", tokenizer_json(definition_));
  write_file(folder / "tokenizer_config.json", tokenizer_config(definition_));
}

}  // namespace argosy::text
