#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "program.h"
#include "shared.h"

using namespace argosy;

TEST_CASE("data tokens: a text becomes a store, and its figures are printed") {
  const test::TemporaryFolder temporary;
  const std::string text = temporary.path() / "a.txt", store = temporary.path() / "store";
  write_file(text, "to be or not to be");
  const test::Ended said =
      test::run_program("data tokens " + text + " --tokenizer characters --to " + store);
  CHECK(said.code == 0);
  CHECK(said.out == store + ": 18 tokens of a vocabulary of 7, 1 document in 1 file, 18 B\n");
  const test::Ended again = test::run_program("data tokens " + text + " --to " + store);
  CHECK(again.code == 3);
  CHECK(again.err == "error: " + store +
                         ": cannot create: File exists; choose another name or remove what is "
                         "there\n");
}

TEST_CASE("data tokens: what is left out is said, and counted in the figures") {
  const test::TemporaryFolder temporary;
  const std::string text = temporary.path() / "a.jsonl";
  write_file(text, "{\"text\": \"to be or not to be\"}\nnonsense\n");
  const test::Ended said = test::run_program("data tokens " + text + " --vocabulary 260 --to " +
                                             (temporary.path() / "store").string() + " --json -");
  CHECK(said.code == 0);
  CHECK(said.err.find("1 line left out; the first: " + text + ", line 2: it is no JSON (") !=
        std::string::npos);
  const auto json = nlohmann::json::parse(said.out);
  CHECK(json["skipped_lines"] == 1);
  CHECK(json["documents"] == 1);
  CHECK(json["vocabulary"] == 260);
}

TEST_CASE("data tokens: a vocabulary too small, a tokenizer that is none and no text are input") {
  const test::TemporaryFolder temporary;
  const std::string text = temporary.path() / "a.txt", to = (temporary.path() / "store").string();
  write_file(text, "to be");
  CHECK(test::run_program("data tokens " + text + " --vocabulary 10 --to " + to)
            .err.find("--vocabulary: a vocabulary of 10 tokens is not in [259, 16777216]") !=
        std::string::npos);
  CHECK(test::run_program("data tokens " + text + " --tokenizer nowhere --to " + to)
            .err.find("nowhere: there is no such model") != std::string::npos);
  write_file(text, "");
  CHECK(test::run_program("data tokens " + text + " --to " + to).code == 2);
  CHECK_FALSE(std::filesystem::exists(to));
}
