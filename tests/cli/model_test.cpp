#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "model_files/export.h"
#include "program.h"
#include "shared.h"
#include "tiny_model.h"

using namespace argosy;
using test::Ended;

namespace {

Path tiny_file(const test::TemporaryFolder& folder) {
  const Path path = folder.path() / "tiny.gguf";
  model_files::write_gguf_model(test::tiny_model(), path, std::nullopt);
  return path;
}

}  // namespace

TEST_CASE("model: info says what a file holds, for people and as JSON") {
  const test::TemporaryFolder folder;
  const Path path = tiny_file(folder);
  const Ended json = test::run_program(fmt::format("model info {} --json -", path.string()));
  REQUIRE(json.code == 0);
  const auto about = nlohmann::json::parse(json.out);
  CHECK(about["name"] == "tiny");
  CHECK(about["architecture"] == "llama");
  CHECK(about["parameters"] == test::tiny_model().parameters());
  CHECK(about["context"] == 64);
  CHECK(about["vocabulary"] == 264);
  CHECK(about["tokens"] == 262);
  CHECK(about["ends"] == std::vector<int>{2, 0});
  CHECK(about["formats"].size() == 1);
  CHECK(test::run_program(fmt::format("model info {}", path.string())).out.find("parameters") !=
        std::string::npos);
}

TEST_CASE("model: quantize writes a file once, says what it cost, and refuses another time") {
  const test::TemporaryFolder folder;
  const std::string from = tiny_file(folder), to = folder.path() / "small.gguf";
  const Path text = folder.path() / "text.txt";
  write_file(text, "hello hello, is there anybody in there?");
  const std::string command = fmt::format("model quantize {} --format q8_0 --to {}", from, to);
  const Ended said = test::run_program(fmt::format("{} --data {}", command, text.string()));
  CHECK(said.code == 0);
  CHECK(said.out.find("q8_0") != std::string::npos);
  CHECK(said.out.find("nats a token") != std::string::npos);
  const Ended again = test::run_program(command);
  CHECK(again.code == 3);
  CHECK(again.err ==
        fmt::format("error: {}: it is there already; remove it, or give another --to\n", to));
  CHECK(test::run_program(fmt::format("model info {}", to)).out.find("q8_0") != std::string::npos);
}

TEST_CASE("model: eval foretells a text by a model in files, which has no checkpoints") {
  const test::TemporaryFolder folder;
  const std::string model = tiny_file(folder), text = folder.path() / "text.txt";
  write_file(text, "hello hello, is there anybody in there?");
  const std::string command = fmt::format("eval {} --data {}", model, text);
  const Ended said = test::run_program(command + " --json -");
  REQUIRE(said.code == 0);
  const auto scores = nlohmann::json::parse(said.out);
  CHECK(scores["loss"] > 0);
  CHECK(scores["tokens"] > 10);
  CHECK(scores["bytes"] >= scores["tokens"]);
  CHECK(test::run_program(command).out.find("bits per byte") != std::string::npos);
  const Ended refused = test::run_program(command + " --checkpoint best");
  CHECK(refused.code == 2);
  CHECK(refused.err.find("--checkpoint is of runs") != std::string::npos);
}

TEST_CASE("model: an unknown format names those that there are, and nothing is written") {
  const test::TemporaryFolder folder;
  const std::string from = tiny_file(folder), to = folder.path() / "other";
  Ended said =
      test::run_program(fmt::format("model quantize {} --format q3 --to {}.gguf", from, to));
  CHECK(said.code == 2);
  CHECK(said.err.find("--format: there is no format q3; give one of f32, f16, bf16, q8_0") !=
        std::string::npos);
  said = test::run_program(fmt::format("model export {} --format q8_0 --to {}", from, to));
  CHECK(said.code == 2);
  CHECK(said.err.find("there is no format q8_0 in such a folder; give one of f32, f16, bf16") !=
        std::string::npos);
  CHECK(!std::filesystem::exists(to));
  said = test::run_program("model info nothing");
  CHECK(said.code == 2);
  CHECK(said.err.find("nothing: there is no such model") != std::string::npos);
}
