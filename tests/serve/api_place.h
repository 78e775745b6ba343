#pragma once
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "serve/api.h"
#include "serve/fake_exchange.h"
#include "serve/fake_model.h"

namespace argosy::test {

using serve::Api;
using serve::ApiOptions;
using serve::HttpRequest;
using serve::HttpResponse;
using serve::ServedModel;
using Json = nlohmann::json;

/// The API with a model that says what it is told, without a network.
struct ApiPlace {
  ByteTokenizer tokenizer;
  EchoGenerator generator;
  ServedModel model{"echo", tokenizer, generator, text::ChatTemplate::named("chatml")};
  Api api;

  explicit ApiPlace(ApiOptions options = {}, int64_t context = 4096)
      : generator(context), api(options) {
    api.open(model);
  }

  HttpResponse ask(HttpRequest request) {
    const auto exchange = std::make_shared<FakeExchange>(std::move(request));
    api.handle(exchange);
    exchange->finish();
    exchange->response.headers.insert(exchange->response.headers.end(), exchange->added.begin(),
                                      exchange->added.end());
    return exchange->response;
  }
  HttpResponse get(const std::string& path) { return ask({.method = "GET", .path = path}); }
  HttpResponse post(const std::string& path, const Json& json) {
    return ask({.method = "POST",
                .path = path,
                .body = json.is_string() ? json.get<std::string>() : json.dump()});
  }
  /// The answer to a request that is good.
  Json good(const std::string& path, const Json& json) {
    const HttpResponse response = post(path, json);
    INFO(response.body);
    REQUIRE(response.status == 200);
    return Json::parse(response.body);
  }
  Json chat(const std::string& say, Json more = Json::object()) {
    more["messages"] = {{{"role", "user"}, {"content", say}}};
    return good("/v1/chat/completions", more);
  }
  /// The chunks of a stream; checks that it is one and ends as one.
  std::vector<Json> stream(const std::string& path, Json json) {
    json["stream"] = true;
    const HttpResponse response = post(path, json);
    INFO(response.body);
    REQUIRE(response.status == 200);
    CHECK(response.type == "text/event-stream; charset=utf-8");
    std::vector<Json> chunks;
    std::istringstream lines(response.body);
    std::string line, last;
    while (std::getline(lines, line)) {
      if (line.empty()) continue;
      REQUIRE(line.starts_with("data: "));
      last = line.substr(6);
      if (last != "[DONE]") chunks.push_back(Json::parse(last));
    }
    CHECK(last == "[DONE]");
    return chunks;
  }
  std::vector<Json> chat_stream(const std::string& say, Json more = Json::object()) {
    more["messages"] = {{{"role", "user"}, {"content", say}}};
    return stream("/v1/chat/completions", more);
  }
};

inline std::string text_of(const Json& answer) {
  return answer["choices"][0]["message"]["content"].get<std::string>();
}

inline std::string deltas(const std::vector<Json>& chunks, int64_t index = 0) {
  std::string text;
  for (const Json& chunk : chunks)
    for (const Json& choice : chunk["choices"])
      if (choice["index"] == index) text += choice["delta"].value("content", "");
  return text;
}

inline std::string header(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers)
    if (key == name) return value;
  return "";
}

}  // namespace argosy::test
