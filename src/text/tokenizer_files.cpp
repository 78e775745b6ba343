#include "text/tokenizer_files.h"

#include "base/error.h"
#include "text/character_tokenizer.h"
#include "text/json_reader.h"
#include "text/sentence_piece.h"
#include "text/tokenizer_json.h"

namespace argosy::text {
namespace {

constexpr size_t kLargestFile = size_t{1} << 28;

bool is_file(const Path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

std::unique_ptr<Tokenizer> open_json(const Path& file) {
  BpeDefinition definition = read_tokenizer_json(read_file(file, kLargestFile), file);
  for (const char* name : {"generation_config.json", "tokenizer_config.json"})
    if (const Path config = file.parent_path() / name; is_file(config))
      add_ends(definition, read_file(config, kLargestFile), config);
  return std::make_unique<BpeTokenizer>(std::move(definition), file);
}

std::unique_ptr<Tokenizer> open_sentence_piece(const Path& file) {
  bool add_beginning = false;
  if (const Path config = file.parent_path() / "tokenizer_config.json"; is_file(config)) {
    const nlohmann::json parsed = JsonReader::parse(read_file(config, kLargestFile), config);
    add_beginning = JsonReader(parsed, config).flag("add_bos_token", false);
  }
  return std::make_unique<SentencePieceTokenizer>(
      file, SentencePieceTokenizer::Options{.add_beginning = add_beginning});
}

std::unique_ptr<Tokenizer> open_characters(const Path& file) {
  return CharacterTokenizer::read(file);
}

struct Kind {
  const char* file;
  std::unique_ptr<Tokenizer> (*open)(const Path& file);
};
constexpr Kind kKinds[] = {{"tokenizer.json", open_json},
                           {kSentencePieceFile, open_sentence_piece},
                           {kCharactersFile, open_characters}};

/// The kind and the file of what `path` names.
std::pair<const Kind*, Path> find_file(const Path& path) {
  for (const Kind& kind : kKinds)
    if (is_file(path / kind.file)) return {&kind, path / kind.file};
  // the file itself, under its own name or another of its kind
  for (const Kind& kind : kKinds)
    if (is_file(path) && path.filename() == kind.file) return {&kind, path};
  for (const Kind& kind : kKinds)
    if (is_file(path) && path.extension() == Path(kind.file).extension()) return {&kind, path};
  return {nullptr, path};
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const Path& path) {
  const auto [kind, file] = find_file(path);
  if (!kind)
    throw Error({.what = "there is no tokenizer (tokenizer.json, tokenizer.model, characters.json)",
                 .where = path,
                 .fix = "name a folder that has one",
                 .kind = ErrorKind::file});
  return kind->open(file);
}

bool has_tokenizer(const Path& path) { return find_file(path).first != nullptr; }

}  // namespace argosy::text
