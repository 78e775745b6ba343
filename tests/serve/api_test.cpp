#include "serve/api.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "base/base64.h"
#include "serve/api_place.h"

using namespace argosy;
using namespace argosy::serve;
using test::header;
using test::Json;
using Place = test::ApiPlace;

TEST_CASE("api: JSON that is broken, too deep or too wide is a 400, and what is no UTF-8 too") {
  Place place;
  std::string wide = "{";
  for (int i = 0; i < 3000; ++i) wide += fmt::format("\"k{}\": 1,", i);
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("nonsense"), std::string("[]"),
        std::string("3"), std::string("{\"messages\": 1e999}"),
        std::string("{\"prompt\": \"\xFF\"}"), std::string("{\"prompt\": \"\\ud800\"}"),
        std::string(100'000, '['), "{\"a\":" + std::string(200, '[') + std::string(200, ']') + "}",
        wide + "\"end\": 1}", std::string("{\"prompt\": \"a\"} more"), std::string("\0\0", 2)}) {
    for (const char* path :
         {"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"}) {
      const HttpResponse response = place.ask({.method = "POST", .path = path, .body = body});
      INFO(path << " " << body.substr(0, 40) << "\n" << response.body);
      CHECK(response.status == 400);
      CHECK(Json::parse(response.body)["error"]["message"].is_string());
    }
  }
}

TEST_CASE("api: an unknown model, path or method says what there is") {
  Place place;
  CHECK(Json::parse(place.get("/v1/models").body)["data"][0]["id"] == "echo");
  CHECK(Json::parse(place.get("/v1/models/echo").body)["id"] == "echo");
  CHECK(place.get("/v1/models/other").status == 404);
  const HttpResponse response =
      place.post("/v1/completions", {{"model", "gpt-4"}, {"prompt", "x"}});
  CHECK(response.status == 404);
  CHECK(Json::parse(response.body)["error"]["code"] == "model_not_found");
  CHECK(place.post("/v1/completions", {{"model", "echo"}, {"prompt", "x"}}).status == 200);
  CHECK(place.get("/v1/nothing").status == 404);
  CHECK(place.get("/v1/chat/completions").status == 405);
  CHECK(header(place.get("/v1/chat/completions"), "Allow") == "POST");
  CHECK(place.ask({.method = "DELETE", .path = "/health"}).status == 405);
  CHECK(place.ask({.method = "OPTIONS", .path = "/v1/completions"}).status == 204);
  CHECK(place.ask({.method = "HEAD", .path = "/health"}).status == 200);
}

TEST_CASE("api: embeddings are a 400 that says that this model gives none") {
  Place place;
  const HttpResponse response = place.post("/v1/embeddings", {{"model", "echo"}, {"input", "x"}});
  CHECK(response.status == 400);
  CHECK(response.body.find("gives no embeddings") != std::string::npos);
}

TEST_CASE("api: text becomes tokens and tokens text") {
  Place place;
  const Json tokens = place.good("/tokenize", {{"content", "hé"}});
  CHECK(tokens["tokens"] == Json{104, 0xC3, 0xA9});
  CHECK(tokens["count"] == 3);
  CHECK(place.good("/tokenize", {{"prompt", "hé"}})["tokens"] == tokens["tokens"]);
  CHECK(place.good("/detokenize", {{"tokens", tokens["tokens"]}})["content"] == "hé");
  CHECK(place.good("/tokenize", {{"content", "<|im_end|>"}, {"parse_special", true}})["count"] ==
        1);
  CHECK(place.good("/tokenize", {{"content", "<|im_end|>"}})["count"] == 10);
  for (const Json& bad :
       {Json::object(), Json{{"tokens", 3}}, Json{{"tokens", {-1}}}, Json{{"tokens", {1000}}},
        Json{{"tokens", {1.5}}}, Json{{"tokens", {"a"}}}})
    CHECK(place.post("/detokenize", bad).status == 400);
  for (const Json& bad :
       {Json::object(), Json{{"content", 3}}, Json{{"content", "a"}, {"more", 1}}})
    CHECK(place.post("/tokenize", bad).status == 400);
}

TEST_CASE("api: the key guards every route but /health") {
  Place place({.key = "secret"});
  const auto status = [&](const std::string& method, const std::string& path,
                          const std::string& authorization) {
    return place
        .ask({.method = method,
              .path = path,
              .authorization = authorization,
              .body = "{\"prompt\": \"x\"}"})
        .status;
  };
  CHECK(status("GET", "/health", "") == 200);
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/"},
                                                        {"GET", "/metrics"},
                                                        {"GET", "/v1/models"},
                                                        {"GET", "/v1/models/echo"},
                                                        {"POST", "/v1/completions"},
                                                        {"POST", "/v1/chat/completions"},
                                                        {"POST", "/v1/embeddings"},
                                                        {"POST", "/tokenize"},
                                                        {"POST", "/detokenize"},
                                                        {"GET", "/v1/nothing"}})
    for (const char* wrong : {"", "secret", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets",
                              "Bearer secretsecret", "Bearer Secret", "Basic c2VjcmV0"})
      CHECK_MESSAGE(status(method, path, wrong) == 401, method << " " << path << " " << wrong);
  CHECK(status("POST", "/v1/completions", "Bearer secret") == 200);
  CHECK(status("POST", "/v1/completions", "bearer secret") == 200);
  CHECK(status("GET", "/", "Basic " + base64("anyone:secret")) == 200);
  const HttpResponse refused = place.get("/v1/models");
  CHECK(Json::parse(refused.body)["error"]["type"] == "authentication_error");
  CHECK(header(refused, "WWW-Authenticate") == "Bearer");
  CHECK(header(place.get("/"), "WWW-Authenticate").starts_with("Basic"));
}

TEST_CASE("api: pages of other servers may ask only if they are allowed") {
  const auto status = [](Place& place, const std::string& origin) {
    return place
        .ask({.method = "GET", .path = "/v1/models", .origin = origin, .host = "127.0.0.1:8080"})
        .status;
  };
  Place closed, all({.cors_origin = "*"}), one({.cors_origin = "https://a.example"});
  CHECK(status(closed, "http://127.0.0.1:8080") == 200);
  CHECK(status(closed, "https://a.example") == 403);
  CHECK(status(closed, "null") == 403);
  CHECK(status(all, "https://b.example") == 200);
  CHECK(status(one, "https://a.example") == 200);
  CHECK(status(one, "https://b.example") == 403);
  CHECK(header(closed.get("/v1/models"), "Access-Control-Allow-Origin") == "");
  CHECK(header(one.get("/v1/models"), "Access-Control-Allow-Origin") == "https://a.example");
}

TEST_CASE("api: a page that gave its name this machine's address is another server's page") {
  const auto status = [](Place& place, const std::string& host, const std::string& key) {
    return place
        .ask({.method = "GET",
              .path = "/v1/models",
              .authorization = key,
              .origin = "http://" + host,
              .host = host})
        .status;
  };
  Place local({.local = true}), locked({.key = "k", .local = true}), reached;
  for (const char* own : {"127.0.0.1:8080", "localhost:8080", "localhost", "[::1]:8080"})
    CHECK(status(local, own, "") == 200);
  for (const char* other : {"evil.test:8080", "localhost.evil.test", "[::2]:8080", "[", ""})
    CHECK_MESSAGE(status(local, other, "") == 403, other);
  CHECK(status(locked, "evil.test", "Bearer k") == 200);  // who has the key may ask
  CHECK(status(reached, "my.server", "") == 200);
}

TEST_CASE("api: a preflight lets in the headers that are asked for") {
  Place one({.cors_origin = "https://a.example"}), closed;
  const auto allowed = [](Place& place, const std::string& asked) {
    return header(place.ask({.method = "OPTIONS",
                             .path = "/v1/chat/completions",
                             .origin = "https://a.example",
                             .asked_headers = asked}),
                  "Access-Control-Allow-Headers");
  };
  CHECK(allowed(one, "") == "Authorization, Content-Type");
  CHECK(allowed(one, "authorization,x-stainless-lang") == "authorization,x-stainless-lang");
  CHECK(allowed(closed, "authorization") == "");
}

TEST_CASE("api: a model's name in a path may be escaped") {
  Place place;
  CHECK(place.get("/v1/models/ec%68o").status == 200);
  CHECK(place.get("/v1/models/ec%6").status == 404);
  CHECK(place.get("/v1/models/echo%zz").status == 404);
}

TEST_CASE("api: until the model is there /health says that it loads") {
  Api api({});
  const auto ask = [&](const std::string& path) {
    const auto exchange =
        std::make_shared<test::FakeExchange>(HttpRequest{.method = "GET", .path = path});
    api.handle(exchange);
    return exchange->response;
  };
  CHECK(ask("/health").status == 503);
  CHECK(
      ask("/health").body ==
      R"({"error":{"message":"Loading model","type":"unavailable_error","param":null,"code":503}})");
  CHECK(ask("/v1/models").status == 503);
  CHECK(ask("/metrics").status == 200);
  CHECK(ask("/").status == 200);
}

TEST_CASE("api: what was done is counted, as Prometheus reads it") {
  Place place({.log_requests = false});
  place.chat("four");
  place.api.ended({.method = "POST", .path = "/v1/chat/completions"},
                  {.status = 200, .seconds = 0.02});
  place.api.ended({.method = "GET", .path = "/some/\"where\n"}, {.status = 404});
  const std::string text = place.get("/metrics").body;
  for (const char* line :
       {"argosy_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1\n",
        "argosy_requests_total{route=\"other\",status=\"404\"} 1\n",
        "argosy_request_seconds_bucket{le=\"0.025\"} 2\n",
        "argosy_request_seconds_bucket{le=\"0.01\"} 1\n",
        "argosy_request_seconds_bucket{le=\"+Inf\"} 2\n", "argosy_request_seconds_count 2\n",
        "argosy_time_to_first_token_seconds_count 1\n", "argosy_inter_token_seconds_count 3\n",
        "argosy_generated_tokens_total 4\n", "# TYPE argosy_request_seconds histogram\n",
        "argosy_cache_pages 64\n"})
    CHECK_MESSAGE(text.find(line) != std::string::npos, line);
}

TEST_CASE("api: the chat page is one file that asks nobody else") {
  Place place;
  const HttpResponse response = place.get("/");
  CHECK(response.type == "text/html; charset=utf-8");
  CHECK(response.body.starts_with("<!doctype html>"));
  for (const char* outside : {"src=", "href=\"http", "@import", "url("})
    CHECK_MESSAGE(response.body.find(outside) == std::string::npos, outside);
}
