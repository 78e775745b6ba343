#include "text/token_store.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "shared.h"
#include "text/character_tokenizer.h"
#include "text/tokenize_files.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

namespace {

std::vector<Token> all_tokens(const TokenStore& store) {
  std::vector<Token> tokens(static_cast<size_t>(store.tokens()));
  store.read(0, tokens);
  return tokens;
}

/// A store of two documents, {1, 2, 3} and {4, 5}.
void write_small(const Path& folder) {
  const auto tokenizer = test::verse_tokenizer();
  TokenStoreWriter writer(folder, *tokenizer);
  writer.add(std::vector<Token>{1, 2, 3});
  writer.add(std::vector<Token>{4, 299});
  writer.commit();
}

}  // namespace

TEST_CASE("token store: what is written is read, with its documents and its tokenizer") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "store";
  write_small(folder);
  const TokenStore store(folder);
  CHECK(all_tokens(store) == std::vector<Token>{1, 2, 3, 4, 299});
  CHECK(store.documents() == 2);
  CHECK(std::vector<uint64_t>(store.document_begins().begin(), store.document_begins().end()) ==
        std::vector<uint64_t>{0, 3, 5});
  CHECK(store.document_of(2) == 0);
  CHECK(store.document_of(3) == 1);
  CHECK(store.learned(0));
  CHECK(store.tokenizer()->encode("Speak", false) ==
        test::verse_tokenizer()->encode("Speak", false));
  CHECK(std::filesystem::file_size(folder / "tokens.bin") == 10);
  CHECK_FALSE(std::filesystem::exists(folder / "answers.bin"));
}

TEST_CASE("token store: a large vocabulary takes four bytes a token") {
  const test::TemporaryFolder temporary;
  BpeDefinition definition = test::verse_definition();
  definition.entries.resize(100'000, {"", EntryKind::unused});
  definition.entries[99'999] = {"last", EntryKind::special};
  const BpeTokenizer tokenizer(definition, "test");
  TokenStoreWriter writer(temporary.path() / "store", tokenizer);
  writer.add(std::vector<Token>{7, 99'999, 65'536});
  writer.commit();
  CHECK(all_tokens(TokenStore(temporary.path() / "store")) ==
        std::vector<Token>{7, 99'999, 65'536});
}

TEST_CASE("token store: without commit() nothing is left, and what is there is not written over") {
  const test::TemporaryFolder temporary;
  const auto tokenizer = test::verse_tokenizer();
  {
    TokenStoreWriter writer(temporary.path() / "store", *tokenizer);
    writer.add(std::vector<Token>{1, 2, 3});
  }
  CHECK(std::filesystem::is_empty(temporary.path()));
  write_small(temporary.path() / "store");
  CHECK_THROWS_AS(TokenStoreWriter(temporary.path() / "store", *tokenizer), Error);
}

TEST_CASE("token store: the cut is at the end of a document, and of a single text in it") {
  const test::TemporaryFolder temporary;
  write_small(temporary.path() / "two");
  const TokenStore two(temporary.path() / "two");
  CHECK(two.cut(0.3) == 3);
  CHECK(two.cut(0.9) == 5);
  const auto tokenizer = test::verse_tokenizer();
  TokenStoreWriter writer(temporary.path() / "one", *tokenizer);
  writer.add(std::vector<Token>(1003, 7));
  writer.commit();
  CHECK(TokenStore(temporary.path() / "one").cut(0.9) == 902);
  TokenStoreWriter talk(temporary.path() / "talk", *tokenizer);
  talk.add(std::vector<Token>(10, 7), std::vector<bool>(10, true));
  talk.commit();
  CHECK(TokenStore(temporary.path() / "talk").cut(0.5) == 10);
}

TEST_CASE("token store: every file that is missing, cut or changed is named") {
  const auto says = [](const char* file, std::string_view bytes, const char* text) {
    const test::TemporaryFolder temporary;
    const Path folder = temporary.path() / "store";
    write_small(folder);
    if (bytes == "-")
      std::filesystem::remove(folder / file);
    else
      write_file(folder / file, bytes);
    CHECK_THROWS_WITH_AS(all_tokens(TokenStore(folder)), doctest::Contains(text), Error);
  };
  says("store.json", "-", "it is no token store; make one with argosy data tokens");
  says("store.json", "{", "it is no JSON");
  says("store.json", R"({"format": "other"})", "its format is \"other\"");
  for (const char* number : {"-1", "1e30", "99999999999999999999", "\"5\"", "null"})
    says("store.json",
         fmt::format(R"({{"format": "argosy tokens 1", "vocabulary": 300, "tokens": {},
                         "documents": 2}})",
                     number),
         "tokens");
  says("store.json",
       R"({"format": "argosy tokens 1", "vocabulary": 299, "tokens": 5, "documents": 2})",
       "token 4 is 299, the vocabulary has 299");
  says("tokens.bin", "-", "cannot open");
  says("tokens.bin", "1234", "tokens.bin has 4 bytes, 10 are expected");
  says("documents.bin", "1234", "documents.bin has 4 bytes, 24 are expected");
  says("documents.bin", std::string(24, '\x05'), "documents.bin is no list of ascending places");
}

TEST_CASE("text files: text, lines of JSON and conversations become documents") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "texts";
  std::filesystem::create_directory(folder);
  write_file(folder / "a.txt", "Speak, speak.");
  write_file(folder / "b.jsonl",
             "{\"text\": \"First\"}\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, "
             "{\"role\": \"assistant\", \"content\": \"Resolved\"}]}\nnonsense\n{\"text\": 1}\n"
             "{\"messages\": [{\"role\": \"robot\", \"content\": \"Hi\"}]}");
  write_file(folder / "c.bin", "left alone");
  const auto tokenizer = test::verse_tokenizer();
  const ChatTemplate chat = ChatTemplate::named("chatml");
  TokenStoreWriter writer(temporary.path() / "store", *tokenizer);
  const std::vector<Path> files = text_files(std::vector<Path>{folder});
  REQUIRE(files.size() == 2);
  const TokenizeReport report = tokenize_files(files, *tokenizer, writer, {.chat = &chat});
  writer.commit("chatml");
  CHECK(report.skipped.count == 3);
  CHECK(report.skipped.first.find("b.jsonl, line 4: it is no JSON (") != std::string::npos);
  CHECK(report.conversations == 1);
  CHECK(report.unspelled_bytes == 0);
  CHECK(report.bytes == 13 + 5 + 2 + 8);
  const TokenStore store(temporary.path() / "store");
  CHECK(store.documents() == 3);
  CHECK(store.chat() == "chatml");
  const std::vector<Token> tokens = all_tokens(store);
  CHECK(tokenizer->decode(tokens) == "Speak, speak.Firstuser\nHi\nassistant\nResolved\n");
  // of the conversation only what the assistant says is learned, with the token that ends it
  std::vector<Token> learned;
  for (int64_t i = static_cast<int64_t>(store.document_begins()[2]); i < store.tokens(); ++i)
    if (store.learned(i)) learned.push_back(tokens[static_cast<size_t>(i)]);
  CHECK(learned == tokenizer->encode("Resolved<|im_end|>", true));
  CHECK(store.learned(0));
  CHECK(tokens[store.document_begins()[1] - 1] == *tokenizer->find("<|endoftext|>"));
}

TEST_CASE("text files: a conversation without a format, or a bad line under --strict, ends it") {
  const test::TemporaryFolder temporary;
  const Path talk = temporary.path() / "t.jsonl", bad = temporary.path() / "b.jsonl";
  write_file(talk, "[{\"role\": \"user\", \"content\": \"Hi\"}]");
  write_file(bad, "{\"text\": \"x\"}\n{\"messages\": []}");
  const auto tokenizer = test::verse_tokenizer();
  TokenStoreWriter writer(temporary.path() / "store", *tokenizer);
  CHECK_THROWS_WITH_AS(
      tokenize_files(std::vector<Path>{talk}, *tokenizer, writer),
      doctest::Contains("line 1: it is a conversation, and no chat format is named; name one: "
                        "--chat-format chatml"),
      Error);
  CHECK_THROWS_WITH_AS(tokenize_files(std::vector<Path>{bad}, *tokenizer, writer, {.strict = true}),
                       doctest::Contains("line 2, messages: it has no messages"), Error);
  CHECK_THROWS_AS(text_files(std::vector<Path>{temporary.path() / "none"}), Error);
  std::filesystem::create_directory(temporary.path() / "empty");
  CHECK_THROWS_WITH_AS(text_files(std::vector<Path>{temporary.path() / "empty"}),
                       doctest::Contains("the folder has no .txt, .md or .jsonl files"), Error);
}

TEST_CASE("text files: bytes that the vocabulary cannot spell are counted") {
  const test::TemporaryFolder temporary;
  BpeDefinition definition = test::verse_definition(259);
  for (VocabularyEntry& entry : definition.entries)
    if (entry.spelling == "q") entry = {"", EntryKind::unused};
  const BpeTokenizer tokenizer(definition, "test");
  write_file(temporary.path() / "a.txt", "quiq");
  TokenStoreWriter writer(temporary.path() / "store", tokenizer);
  CHECK(tokenize_files(std::vector<Path>{temporary.path() / "a.txt"}, tokenizer, writer)
            .unspelled_bytes == 2);
}
