#include "text/tokenizer_json.h"

#include <doctest/doctest.h>

#include <fmt/format.h>
#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "shared.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer_files.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;
using nlohmann::json;

namespace {

json small() {
  return json::parse(R"({
    "added_tokens": [{"id": 4, "content": "<|end|>", "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null,
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}})");
}

BpeDefinition read(const json& file) { return read_tokenizer_json(file.dump(), "t.json"); }

void check_says(const json& file, const char* says) {
  CHECK_THROWS_WITH_AS(read(file), doctest::Contains(says), Error);
}

}  // namespace

TEST_CASE("tokenizer.json: merges are read in both spellings") {
  json file = small();
  const BpeDefinition one = read(file);
  file["model"]["merges"] = json::array({json::array({"a", "b"})});
  const BpeDefinition other = read(file);
  for (const BpeDefinition* definition : {&one, &other}) {
    REQUIRE(definition->merges.size() == 1);
    CHECK(BpeTokenizer(*definition, "t").encode("ab ab", false) == std::vector<Token>{2, 3, 2});
  }
  CHECK(one.ends == std::vector<Token>{4});
}

TEST_CASE("tokenizer.json: what is written is read as the same tokenizer") {
  const test::TemporaryFolder temporary;
  BpeDefinition definition = test::verse_definition();
  definition.splits = {R"(\p{N})", kGpt2Split};
  definition.beginning = 1;
  definition.ends = {2, 0};
  const BpeTokenizer written(definition, "test");
  written.write(temporary.path());
  const auto again = open_tokenizer(temporary.path());
  CHECK(again->vocabulary() == written.vocabulary());
  CHECK(again->beginning() == written.beginning());
  CHECK(again->ends() == written.ends());
  Random random(7);
  for (int round = 0; round < 100; ++round) {
    const std::string text = test::random_text(random, 30);
    CHECK(again->encode(text, true) == written.encode(text, true));
  }
}

TEST_CASE("tokenizer.json: a vocabulary of Llama's kind is read, and written as the same") {
  const json file = json::parse(R"({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true},
                     {"id": 1, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "▁"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "pre_tokenizer": null,
    "post_processor": {"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
    "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
      "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁": 3, "a": 4, "▁a": 5, "b": 6},
      "merges": ["▁ a"]}})");
  const BpeTokenizer tokenizer(read(file), "t");
  CHECK(tokenizer.encode("ab a\n", false) == std::vector<Token>{5, 6, 5, 2});
  CHECK(tokenizer.encode("éé", false) == std::vector<Token>{3, 0});
  CHECK(tokenizer.decode({5, 6}) == "ab");
  CHECK(tokenizer.beginning() == 1);
  const BpeTokenizer again(read_tokenizer_json(tokenizer_json(tokenizer.definition()), "again"),
                           "again");
  for (const char* text : {"ab a\n", "  a", "éé b"})
    CHECK(again.encode(text, false) == tokenizer.encode(text, false));
}

TEST_CASE("tokenizer.json: Metaspace puts a space in front of texts that have none") {
  json file = json::parse(R"({
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                      "split": false},
    "model": {"vocab": {"▁": 0, "a": 1, "▁a": 2}, "merges": [["▁", "a"]]}})");
  const BpeTokenizer always(read(file), "t");
  CHECK(always.encode("a", false) == std::vector<Token>{2});
  CHECK(always.encode(" a", false) == std::vector<Token>{2});
  file["pre_tokenizer"]["prepend_scheme"] = "never";
  CHECK(BpeTokenizer(read(file), "t").encode("a", false) == std::vector<Token>{1});
  file["pre_tokenizer"]["prepend_scheme"] = "first";
  check_says(file, "\"prepend_scheme\": \"first\" is not supported");
}

TEST_CASE("tokenizer.json: with the normalizer NFC, texts that look alike are the same tokens") {
  json file = small();
  file["normalizer"] = {{"type", "NFC"}};
  file["model"]["vocab"]["Ã"] = 5;  // the two bytes of an e with an accent
  file["model"]["vocab"]["©"] = 6;
  const BpeTokenizer tokenizer(read(file), "t");
  CHECK(tokenizer.encode("ae\u0301", false) == std::vector<Token>{0, 5, 6});
  CHECK(tokenizer.encode("a\u00E9", false) == std::vector<Token>{0, 5, 6});
  const BpeTokenizer again(read_tokenizer_json(tokenizer_json(tokenizer.definition()), "again"),
                           "again");
  CHECK(again.encode("ae\u0301", false) == std::vector<Token>{0, 5, 6});
  // in GGUF the split has it, or it has no form
  CHECK_THROWS_WITH_AS(gguf_vocabulary(tokenizer.definition()),
                       doctest::Contains("brought into the form NFC and cut by"), Error);
  BpeDefinition qwen2 = tokenizer.definition();
  qwen2.splits = find_named_split("qwen2")->expressions;
  const GgufVocabulary written = gguf_vocabulary(qwen2);
  CHECK(written.pre == "qwen2");
  CHECK(read_gguf_vocabulary(written, "t").composed);
}

TEST_CASE("tokenizer.json: what is not supported is named with its place") {
  json file = small();
  file["pre_tokenizer"]["add_prefix_space"] = true;
  CHECK_THROWS_WITH(read(file),
                    "t.json, pre_tokenizer: \"add_prefix_space\": true is not supported; use a "
                    "model whose tokenizer is byte-pair encoding, or its SentencePiece file "
                    "tokenizer.model");
  file = small();
  file["model"]["type"] = "WordPiece";
  check_says(file, "t.json, model: a model of type WordPiece is not supported");
  file = small();
  file["normalizer"] = {{"type", "Lowercase"}};
  check_says(file, "the normalizer Lowercase is not supported");
  file = small();
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", json::array({json{{"type", "BertPreTokenizer"}}})}};
  check_says(file, "t.json, pre_tokenizer, pretokenizers, 0: the pre-tokenizer BertPreTokenizer");
  file = small();
  file["added_tokens"][0]["lstrip"] = true;
  check_says(file, "t.json, added_tokens, 0: \"lstrip\" is not supported");
  file = small();
  file["model"]["end_of_word_suffix"] = "</w>";
  check_says(file, "\"end_of_word_suffix\" is not supported");
  file = small();
  file["pre_tokenizer"] = nullptr;
  check_says(file, "neither of bytes (ByteLevel) nor of SentencePiece's");
}

TEST_CASE(
    "tokenizer.json: every member that is missing, of another type or out of range is named") {
  json file = small();
  file["model"]["vocab"]["c"] = -1;
  check_says(file, "token -1 is not in [0,");
  file["model"]["vocab"]["c"] = 1'000'000'000'000;
  check_says(file, "token 1000000000000 is not in [0,");
  file["model"]["vocab"]["c"] = 18'446'744'073'709'551'615ull;
  check_says(file, "it is no whole number");
  file["model"]["vocab"]["c"] = "1";
  check_says(file, "it is no whole number");
  file["model"]["vocab"]["c"] = 1;
  check_says(file, "token 1 is both \"b\" and \"c\"");
  file = small();
  file["model"]["merges"] = json::array({"a c"});
  check_says(file, "t.json, model, merges, 0: \"c\" is not in the vocabulary");
  file["model"]["merges"] = json::array({"ab"});
  check_says(file, "it is not two names with a space between");
  file["model"]["merges"] = json::array({7});
  check_says(file, "t.json, model, merges, 0: it is no text");
  file["model"].erase("merges");
  check_says(file, "t.json, model: \"merges\" is missing");
  file = small();
  file["model"]["ignore_merges"] = 1;
  check_says(file, "t.json, model, ignore_merges: it is neither true nor false");
  // whatever stands in place of a member, it is an Error and nothing else
  for (const char* pointer :
       {"/model", "/model/vocab", "/model/merges", "/added_tokens", "/added_tokens/0",
        "/added_tokens/0/id", "/added_tokens/0/content", "/pre_tokenizer", "/pre_tokenizer/type",
        "/normalizer", "/post_processor"})
    for (const json& value : {json(-1), json("x"), json(json::array({1})), json(json::object()),
                              json(1e300), json(true)}) {
      INFO(pointer << " = " << value.dump());
      file = small();
      file[json::json_pointer(pointer)] = value;
      try {
        BpeTokenizer(read(file), "t.json");
      } catch (const Error&) {
      }
    }
}

TEST_CASE("tokenizer.json: what is no JSON, or nested without end, is said") {
  CHECK_THROWS_WITH_AS(read_tokenizer_json("{\"model\": ", "t.json"),
                       doctest::Contains("t.json: it is no JSON ("), Error);
  CHECK_THROWS_WITH_AS(read_tokenizer_json(std::string(1'000'000, '['), "t.json"),
                       doctest::Contains("t.json: its JSON is nested more than 64 deep"), Error);
}

TEST_CASE("tokenizer.json: what its folder says ends an answer goes first") {
  const test::TemporaryFolder temporary;
  json file = small();
  file["model"]["vocab"]["x"] = 5;
  write_file(temporary.path() / "tokenizer.json", file.dump());
  write_file(temporary.path() / "tokenizer_config.json", R"({"eos_token": {"content": "b"}})");
  write_file(temporary.path() / "generation_config.json", R"({"eos_token_id": [5, 1]})");
  CHECK(open_tokenizer(temporary.path())->ends() == std::vector<Token>{1, 5, 4});
  write_file(temporary.path() / "generation_config.json", R"({"eos_token_id": 99})");
  CHECK_THROWS_WITH_AS(open_tokenizer(temporary.path()),
                       doctest::Contains("eos_token_id: 99 is not in the vocabulary"), Error);
}

TEST_CASE("gguf vocabulary: byte-pair encoding is the same through it") {
  BpeDefinition definition = test::verse_definition();
  definition.splits = {R"(\p{N})", kGpt2Split};
  const GgufVocabulary vocabulary = gguf_vocabulary(definition);
  CHECK(vocabulary.model == "gpt2");
  CHECK(vocabulary.pre == "smollm");
  const BpeTokenizer one(definition, "test"),
      other(read_gguf_vocabulary(vocabulary, "test"), "test");
  Random random(8);
  for (int round = 0; round < 50; ++round) {
    const std::string text = test::random_text(random, 30);
    CHECK(one.encode(text, true) == other.encode(text, true));
  }
  CHECK(one.ends() == other.ends());
}

TEST_CASE("gguf vocabulary: what only fills the model's table up is no part of it") {
  GgufVocabulary vocabulary = gguf_vocabulary(test::verse_definition());
  for (const char* pad : {"[PAD300]", "[PAD301]"}) {
    vocabulary.tokens.emplace_back(pad);
    vocabulary.types.push_back(5);
  }
  const BpeTokenizer tokenizer(read_gguf_vocabulary(vocabulary, "test"), "test");
  CHECK(tokenizer.vocabulary() == 300);
  CHECK(tokenizer.bytes(301).empty());
  std::ranges::fill(vocabulary.types, 5);
  vocabulary.merges.clear();
  CHECK_THROWS_WITH_AS(read_gguf_vocabulary(vocabulary, "test"),
                       doctest::Contains("none of its tokens is in use"), Error);
}

TEST_CASE("gguf vocabulary: every list and number that does not fit is named") {
  const GgufVocabulary good = gguf_vocabulary(test::verse_definition());
  const auto says = [](const GgufVocabulary& vocabulary, const char* text) {
    CHECK_THROWS_WITH_AS(BpeTokenizer(read_gguf_vocabulary(vocabulary, "m.gguf"), "m.gguf"),
                         doctest::Contains(text), Error);
  };
  GgufVocabulary bad = good;
  bad.pre = "none-such";
  says(bad, "m.gguf: tokenizer.ggml.pre is \"none-such\"; use a model with one of gpt-2,");
  bad = good;
  bad.model = "bert";
  says(bad, "tokenizer.ggml.model is \"bert\"");
  bad = good;
  bad.types.pop_back();
  says(bad, "300 tokens have 299 types");
  bad = good;
  bad.types[7] = 99;
  says(bad, "token 7 has the type 99");
  bad = good;
  bad.end = int64_t{1} << 40;
  says(bad, "eos_token_id is 1099511627776, the vocabulary has 300 tokens");
  bad = good;
  bad.merges[0] = "nospace";
  says(bad, "merge 0 is not two names");
  bad = good;
  bad.merges[0] = "zz z";
  says(bad, "merge 0: \"zz\" is not in the vocabulary");
  bad = good;
  bad.tokens[9] = bad.tokens[8];
  says(bad, "tokens 8 and 9 are both spelled");
  bad = good;
  bad.tokens.clear();
  says(bad, "tokenizer.ggml.tokens is missing or empty");
  bad = good;
  bad.model = "llama";
  says(bad, "300 tokens have 0 scores");
  bad.scores.assign(300, 0);
  bad.scores[5] = std::nanf("");
  says(bad, "token 5 has the score nan");
  bad.scores[5] = 0;
  bad.types[5] = 6;
  says(bad, "token 5 is");
}
