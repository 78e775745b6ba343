#include "text/character_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "text/json_reader.h"
#include "text/spelling.h"
#include "text/utf8.h"

namespace argosy::text {

CharacterTokenizer::CharacterTokenizer(std::vector<std::string> characters)
    : characters_(std::move(characters)) {
  for (Token token = 0; const std::string& character : characters_)
    tokens_.emplace(character, token++);
}

std::unique_ptr<CharacterTokenizer> CharacterTokenizer::of_text(std::string_view text,
                                                                const std::string& where) {
  const auto fail = [&](std::string what) {
    throw Error({.what = std::move(what),
                 .where = where,
                 .fix = "give a text in UTF-8, or another tokenizer",
                 .kind = ErrorKind::file});
  };
  if (text.empty()) fail("there is no text to take characters from");
  if (const size_t whole = whole_characters(text); whole < text.size())
    fail(fmt::format("byte {} is no UTF-8", whole));
  // UTF-8 sorts as its code points do
  std::set<std::string_view> found;
  for (size_t at = 0; at < text.size();) {
    const std::string_view character = text.substr(at, first_character(text.substr(at)).length);
    found.insert(character);
    at += character.size();
  }
  return std::unique_ptr<CharacterTokenizer>(
      new CharacterTokenizer(std::vector<std::string>(found.begin(), found.end())));
}

std::unique_ptr<CharacterTokenizer> CharacterTokenizer::read(const Path& file) {
  const nlohmann::json parsed = JsonReader::parse(read_file(file), file);
  const JsonReader list = JsonReader(parsed, file).list();
  std::vector<std::string> characters;
  for (size_t i = 0; i < list.size(); ++i) {
    characters.push_back(list.at(i).text());
    const std::string& character = characters.back();
    if (character.empty() || first_character(character).length != character.size())
      list.at(i).fail("it is not one character");
  }
  if (characters.empty()) list.fail("it has no characters");
  if (std::set<std::string>(characters.begin(), characters.end()).size() != characters.size())
    list.fail("it has a character twice");
  return std::unique_ptr<CharacterTokenizer>(new CharacterTokenizer(std::move(characters)));
}

std::vector<Token> CharacterTokenizer::encode(std::string_view bytes, bool) const {
  std::vector<Token> tokens;
  tokens.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const std::string_view character = bytes.substr(at, first_character(bytes.substr(at)).length);
    const auto entry = tokens_.find(character);
    if (entry == tokens_.end())
      throw Error({.what = fmt::format("the character {} is not among the {} of the vocabulary",
                                       is_utf8(character)
                                           ? fmt::format("U+{:04X}", code_point_of(character))
                                           : "that is no UTF-8",
                                       characters_.size()),
                   .where = fmt::format("a text of {} bytes, at byte {}", bytes.size(), at),
                   .fix = "use characters of the text that the vocabulary was made from"});
    tokens.push_back(entry->second);
    at += character.size();
  }
  return tokens;
}

std::optional<Token> CharacterTokenizer::find(std::string_view name) const {
  const auto entry = tokens_.find(name);
  return entry == tokens_.end() ? std::nullopt : std::optional(entry->second);
}

void CharacterTokenizer::write(const Path& folder) const {
  write_file(folder / kCharactersFile, nlohmann::json(characters_).dump() + "\n");
}

BpeDefinition CharacterTokenizer::definition() const {
  BpeDefinition definition{.alphabet = Alphabet::characters};
  for (const std::string& character : characters_) {
    if (character == kSpace)
      throw Error({.what = "the vocabulary has U+2581, which others take for a space",
                   .where = "tokenizer",
                   .fix = "learn from a text without it"});
    definition.entries.push_back({character == " " ? std::string(kSpace) : character});
  }
  return definition;
}

}  // namespace argosy::text
