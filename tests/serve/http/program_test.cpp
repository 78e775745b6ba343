#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "model_files/export.h"
#include "program.h"
#include "serve/http/client.h"
#include "shared.h"
#include "tiny_model.h"

using namespace argosy;
using test::Client;
using Json = nlohmann::json;

namespace {

/// A model that nobody trained, and the program that serves it.
struct Place {
  test::TemporaryFolder folder;
  std::string file = folder.path() / "tiny.gguf";

  Place() {
    setenv("ARGOSY_THREADS", "1", 1);
    unsetenv("ARGOSY_API_KEY");
    model_files::write_gguf_model(test::tiny_model(), file, {});
  }
  std::vector<std::string> arguments(const std::vector<std::string>& more) const {
    std::vector<std::string> list = {"serve", file, "--port", "0"};
    list.insert(list.end(), more.begin(), more.end());
    return list;
  }
  std::string said() const {
    return std::filesystem::exists(folder.path() / "stderr") ? read_file(folder.path() / "stderr")
                                                             : "";
  }
  /// The port in "... at http://127.0.0.1:PORT/".
  int port() const {
    for (int i = 0; i < 2000; ++i) {
      const std::string text = said();
      const size_t at = text.find("http://127.0.0.1:");
      if (at != text.npos && text.find('/', at + 17) != text.npos)
        return std::stoi(text.substr(at + 17));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL("it does not serve: " << said());
    return 0;
  }
  test::Ended refused(const std::vector<std::string>& more) const {
    return test::run_program(folder.path(), arguments(more));
  }
};

}  // namespace

TEST_CASE("argosy serve: a model's file is served until SIGTERM, which ends it in order") {
  const Place place;
  test::Program program(place.folder.path(), place.arguments({"--name", "mine", "--api-key", "k",
                                                              "--chat-format", "chatml"}));
  const int port = place.port();
  CHECK(Client(port).ask(test::get("/health")).status == 200);
  CHECK(Client(port).ask(test::get("/v1/models")).status == 401);
  const std::string body =
      R"({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 8, "seed": 1})";
  const std::string request = fmt::format(
      "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer k\r\nContent-Length: "
      "{}\r\n\r\n{}",
      body.size(), body);
  const auto answer = Client(port).ask(request);
  INFO(answer.body);
  REQUIRE(answer.status == 200);
  const Json json = Json::parse(answer.body);
  CHECK(json["model"] == "mine");
  CHECK(json["choices"][0]["finish_reason"].is_string());
  CHECK(Json::parse(Client(port).ask(request).body)["choices"] == json["choices"]);
  program.signal(SIGTERM);
  const test::Ended ended = program.wait();
  CHECK(ended.code == 0);
  CHECK(ended.err.find("127.0.0.1 POST /v1/chat/completions 200") != std::string::npos);
}

TEST_CASE("argosy serve: a model with a chat template that is not known continues texts") {
  const Place place;
  model_files::LanguageModel model = test::tiny_model();
  model.chat_template = "{{ '<|mine|>' }}";
  std::filesystem::remove(place.file);
  model_files::write_gguf_model(model, place.file, {});
  test::Program program(place.folder.path(), place.arguments({}));
  const int port = place.port();
  CHECK(place.said().find("no conversations, texts alone") != std::string::npos);
  CHECK(Client(port)
            .ask(test::post("/v1/completions", R"({"prompt": "hello", "max_tokens": 2})"))
            .status == 200);
  const auto refused = Client(port).ask(
      test::post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "x"}]})"));
  CHECK(refused.status == 400);
  CHECK(refused.body.find("--chat-format") != std::string::npos);
}

TEST_CASE("argosy serve: what is wrong with its options is told in a sentence, before it serves") {
  const Place place;
  const auto code_and_words = [&](const std::vector<std::string>& more, int code,
                                  const std::string& words) {
    const test::Ended ended = place.refused(more);
    INFO(ended.err);
    CHECK(ended.code == code);
    CHECK(ended.err.find(words) != std::string::npos);
  };
  code_and_words({"--port", "70000"}, 2, "--port");
  code_and_words({"--host", "nowhere"}, 4, "give an address of this machine");
  code_and_words({"--parallel", "0"}, 2, "--parallel is 0");
  code_and_words({"--cache", "lots"}, 2, "--cache");
  code_and_words({"--chat-format", "chatm"}, 2, "chatml");
  const test::Ended missing =
      test::run_program(place.folder.path(), {"serve", place.folder.path() / "none.gguf"});
  CHECK(missing.code != 0);
  CHECK(missing.err.find("none.gguf") != std::string::npos);
}
