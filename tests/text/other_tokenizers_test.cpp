#include <doctest/doctest.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <fstream>

#include "base/error.h"
#include "shared.h"
#include "text/character_tokenizer.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

namespace {

/// A model of Grok-1's kind: byte-pair encoding with bytes for what is unknown, nothing normalised.
void train_sentence_piece(const Path& folder, const std::string& type) {
  std::ofstream(folder / "verse.txt") << test::kVerse;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--input=" + (folder / "verse.txt").string() + " --model_prefix=" +
      (folder / "tokenizer").string() + " --vocab_size=310 --model_type=" + type +
      " --byte_fallback=true --normalization_rule_name=identity --remove_extra_whitespaces=false"
      " --minloglevel=2 --pad_id=3");
  INFO(status.ToString());
  REQUIRE(status.ok());
}

/// Text without what the library cannot give back: bytes that are no UTF-8, and U+2581, which is a
/// space to it.
std::string library_text(Random& random) {
  std::string bytes = test::random_text(random, 20);
  for (int i = 0; i < 5; ++i) bytes += std::string_view(test::kVerse).substr(random.below(200), 12);
  for (size_t at; (at = bytes.find("▁")) != bytes.npos;) bytes.erase(at, 3);
  CharacterStream stream;
  std::string text = stream.push(bytes);
  return text += stream.finish();
}

}  // namespace

TEST_CASE("tokenizers: a token that only fills a model's table up has no bytes") {
  const test::TemporaryFolder temporary;
  train_sentence_piece(temporary.path(), "bpe");
  const auto pieces = open_tokenizer(temporary.path());
  const auto characters = CharacterTokenizer::of_text("abc", "test");
  const auto pairs = test::verse_tokenizer();
  for (const Tokenizer* tokenizer :
       std::initializer_list<const Tokenizer*>{pieces.get(), characters.get(), pairs.get()})
    for (const int64_t beyond : {int64_t{0}, int64_t{1}, int64_t{100'000}}) {
      const auto token = static_cast<Token>(tokenizer->vocabulary() + beyond);
      CHECK(tokenizer->bytes(token).empty());
      CHECK(tokenizer->decode({token}).empty());
      CHECK(!tokenizer->is_special(token));
    }
}

TEST_CASE("characters: as a vocabulary of GGUF they give the same tokens") {
  const std::string text = "The quick brown fox\njumps \t over  the \xC3\xA9\xE4\xB8\xAD dog.";
  const auto characters = CharacterTokenizer::of_text(text, "test");
  const GgufVocabulary written = gguf_vocabulary(characters->definition());
  const BpeTokenizer again(read_gguf_vocabulary(written, "test"), "test");
  CHECK(again.vocabulary() == characters->vocabulary());
  for (const std::string& part : {text, std::string(" fox  over"), std::string("\n\n")}) {
    CHECK(again.encode(part, false) == characters->encode(part, false));
    CHECK(again.decode(again.encode(part, false)) == part);
  }
  CHECK(again.encode("fXox", false) ==
        characters->encode("fox", false));  // what is not there is left out
  CHECK(again.ends().empty());
  CHECK(!again.beginning());
  CHECK_THROWS_WITH_AS(CharacterTokenizer::of_text("a \xE2\x96\x81", "test")->definition(),
                       doctest::Contains("the vocabulary has U+2581"), Error);
}

TEST_CASE("sentencepiece: texts, and bytes that are none, come back from models of both kinds") {
  for (const char* type : {"bpe", "unigram"}) {
    const test::TemporaryFolder temporary;
    train_sentence_piece(temporary.path(), type);
    const auto tokenizer = open_tokenizer(temporary.path());
    CHECK(tokenizer->vocabulary() == 310);
    Random random(9);
    for (int round = 0; round < 100; ++round) {
      const std::string text = library_text(random);
      CHECK(tokenizer->decode(tokenizer->encode(text, false)) == text);
    }
    CHECK(tokenizer->decode(tokenizer->encode("Speak\xFF", false)) == "Speak\xFF");
    const Token end = tokenizer->ends().at(0);
    CHECK(tokenizer->find("</s>") == end);
    CHECK(tokenizer->is_special(end));
    CHECK(tokenizer->encode("Speak</s>", true).back() == end);
    CHECK(tokenizer->encode("Speak</s>", false).back() != end);
    CHECK_FALSE(tokenizer->beginning());
    const std::string hostile(1'000'000, 'a');
    CHECK(tokenizer->decode(tokenizer->encode(hostile, false)) == hostile);
  }
}

TEST_CASE("gguf vocabulary: pieces and scores give the tokens that SentencePiece gives") {
  const test::TemporaryFolder temporary;
  train_sentence_piece(temporary.path(), "bpe");
  sentencepiece::SentencePieceProcessor model;
  REQUIRE(model.Load((temporary.path() / "tokenizer.model").string()).ok());
  GgufVocabulary vocabulary{.model = "llama", .unknown = model.unk_id()};
  for (int token = 0; token < model.GetPieceSize(); ++token) {
    vocabulary.tokens.push_back(model.IdToPiece(token));
    vocabulary.scores.push_back(model.GetScore(token));
    vocabulary.types.push_back(model.IsByte(token)      ? 6
                               : model.IsControl(token) ? 3
                               : model.IsUnknown(token) ? 2
                                                        : 1);
  }
  vocabulary.add_beginning = false;
  const BpeTokenizer tokenizer(read_gguf_vocabulary(vocabulary, "test"), "test");
  const auto library = open_tokenizer(temporary.path());
  Random random(10);
  for (int round = 0; round < 300; ++round) {
    const std::string text = library_text(random);
    CHECK(tokenizer.encode(text, false) == library->encode(text, false));
  }
  // and written again, the scores order the merges as before
  const BpeTokenizer again(read_gguf_vocabulary(gguf_vocabulary(tokenizer.definition()), "again"),
                           "again");
  CHECK(again.encode(test::kVerse, false) == tokenizer.encode(test::kVerse, false));
}

TEST_CASE("sentencepiece: written, it is the same; and the folder says whether it wants its BOS") {
  const test::TemporaryFolder temporary, other;
  train_sentence_piece(temporary.path(), "bpe");
  write_file(temporary.path() / "tokenizer_config.json", R"({"add_bos_token": true})");
  const auto tokenizer = open_tokenizer(temporary.path());
  CHECK(tokenizer->beginning() == tokenizer->find("<s>"));
  tokenizer->write(other.path());
  const auto again = open_tokenizer(other.path());
  CHECK(again->beginning() == tokenizer->beginning());
  CHECK(again->encode(test::kVerse, false) == tokenizer->encode(test::kVerse, false));
}

TEST_CASE("sentencepiece: what is no model is said") {
  const test::TemporaryFolder temporary;
  for (const char* bytes : {"", "not a model", "\x0A\xFF\xFF\xFF\xFF\xFF"}) {
    write_file(temporary.path() / "tokenizer.model", bytes);
    CHECK_THROWS_WITH_AS(open_tokenizer(temporary.path()),
                         doctest::Contains("it is no SentencePiece model ("), Error);
  }
}

TEST_CASE("characters: tokens are the sorted characters, and the file gives them again") {
  const test::TemporaryFolder temporary;
  const auto tokenizer = CharacterTokenizer::of_text("hello wörld\n", "test");
  CHECK(tokenizer->vocabulary() == 10);
  CHECK(tokenizer->bytes(0) == "\n");
  CHECK(tokenizer->bytes(9) == "ö");
  CHECK(tokenizer->decode(tokenizer->encode("dröhlew", false)) == "dröhlew");
  tokenizer->write(temporary.path());
  const auto again = open_tokenizer(temporary.path());
  CHECK(again->encode("hello", false) == tokenizer->encode("hello", false));
  CHECK_THROWS_WITH_AS(
      again->encode("hex", false),
      "a text of 3 bytes, at byte 2: the character U+0078 is not among the 10 of "
      "the vocabulary; use characters of the text that the vocabulary was made from",
      Error);
  CHECK_THROWS_AS(again->encode("he\xFF", false), Error);
}

TEST_CASE("characters: a text that is none, and a damaged file, are said") {
  CHECK_THROWS_WITH_AS(CharacterTokenizer::of_text("ab\xFF", "a.txt"),
                       doctest::Contains("a.txt: byte 2 is no UTF-8"), Error);
  CHECK_THROWS_AS(CharacterTokenizer::of_text("", "a.txt"), Error);
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "characters.json";
  for (const char* json : {"{}", "[]", "[1]", "[\"ab\"]", "[\"\"]", "[\"a\", \"a\"]", "[\"a\""}) {
    write_file(file, json);
    CHECK_THROWS_AS(open_tokenizer(temporary.path()), Error);
  }
}

TEST_CASE("tokenizer files: a file is known by its name, or by its ending") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path();
  CharacterTokenizer::of_text("ab", "test")->write(folder);
  CHECK(open_tokenizer(folder / "characters.json")->vocabulary() == 2);
  test::verse_tokenizer()->write(folder);
  std::filesystem::rename(folder / "tokenizer.json", folder / "other.json");
  CHECK(open_tokenizer(folder / "other.json")->vocabulary() == 300);
  write_file(folder / "weights.gguf", "GGUF");
  CHECK_FALSE(has_tokenizer(folder / "weights.gguf"));
}

TEST_CASE("tokenizer files: a folder without any is named") {
  const test::TemporaryFolder temporary;
  CHECK_FALSE(has_tokenizer(temporary.path()));
  CHECK_THROWS_WITH_AS(open_tokenizer(temporary.path()),
                       doctest::Contains("there is no tokenizer (tokenizer.json, tokenizer.model, "
                                         "characters.json); name a folder that has one"),
                       Error);
}
