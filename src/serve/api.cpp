#include "serve/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "base/base64.h"
#include "base/error.h"
#include "base/log.h"
#include "serve/api_error.h"
#include "serve/chat_page.h"
#include "serve/completion.h"
#include "serve/completion_json.h"
#include "serve/fields.h"

namespace argosy::serve {

/// One function for each route. What goes wrong is thrown.
struct Routes {
  struct Context {
    Api& api;
    const std::shared_ptr<Exchange>& exchange;
    const ServedModel* model;  ///< null only where the route needs none
    std::string rest;          ///< of the path, where a route ends with '/'
    const HttpRequest& request() const { return exchange->request(); }
    void answer(const Json& json) const { exchange->answer({.body = to_text(json)}); }
    int64_t vocabulary() const { return model->generator.vocabulary(); }
    void expect_model(const std::string& name) const {
      if (!name.empty() && name != model->name)
        throw ApiError{.status = 404,
                       .message = fmt::format("The model {} does not exist; this server has {}",
                                              shown(name), shown(model->name)),
                       .param = "model",
                       .code = "model_not_found"};
    }
  };

  static void page(const Context& context) {
    context.exchange->answer(
        {.type = "text/html; charset=utf-8",
         .body = chat_page(),
         .headers = {{"Content-Security-Policy",
                      "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                      "img-src data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"},
                     {"Cache-Control", "no-cache"}}});
  }

  static void health(const Context& context) {
    if (context.api.model_.load()) return context.answer({{"status", "ok"}});
    throw ApiError{.status = 503, .type = "unavailable_error", .message = "Loading model"};
  }

  static void metrics(const Context& context) {
    const ServedModel* model = context.api.model_;
    const auto state = model ? model->generator.state() : GeneratorState();
    context.exchange->answer({.type = "text/plain; version=0.0.4; charset=utf-8",
                              .body = context.api.metrics_.text(model ? &state : nullptr,
                                                                context.exchange->connections())});
  }

  static Json model_json(const ServedModel& model) {
    return {{"id", model.name},
            {"object", "model"},
            {"created", 0},
            {"owned_by", "argosy"},
            {"max_model_len", model.generator.context()}};
  }

  static void models(const Context& context) {
    context.answer({{"object", "list"}, {"data", Json::array({model_json(*context.model)})}});
  }

  static void one_model(const Context& context) {
    context.expect_model(context.rest);
    context.answer(model_json(*context.model));
  }

  static void complete(const Context& context, CompletionRequest request) {
    context.expect_model(request.model);
    start_completion(std::move(request), *context.model, context.api.metrics_, context.exchange);
  }
  static void chat(const Context& context) {
    complete(context, read_chat_request(context.request().body, context.vocabulary()));
  }
  static void completions(const Context& context) {
    complete(context, read_completion_request(context.request().body, context.vocabulary()));
  }

  static void embeddings(const Context& context) {
    throw ApiError{.message = fmt::format("The model {} writes text and gives no embeddings; ask a "
                                          "server of an embedding model",
                                          shown(context.model->name)),
                   .param = "model",
                   .code = "unsupported_model"};
  }

  static void tokenize(const Context& context) {
    const Json json = parse_json(context.request().body, "the request's body");
    Fields fields(json);
    context.expect_model(fields.text("model"));
    const char* field = fields.find("prompt") ? "prompt" : "content";  // vLLM's name, llama.cpp's
    if (!fields.find(field)) fields.refuse(field, "it is missing; give a text");
    const auto& tokenizer = context.model->tokenizer;
    auto tokens = tokenizer.encode(fields.text(field), fields.flag("parse_special", false));
    if (fields.flag("add_special", false)) tokens = tokenizer.opened(std::move(tokens));
    fields.expect_no_more();
    context.answer({{"tokens", tokens},
                    {"count", tokens.size()},
                    {"max_model_len", context.model->generator.context()}});
  }

  static void detokenize(const Context& context) {
    const Json json = parse_json(context.request().body, "the request's body");
    Fields fields(json);
    context.expect_model(fields.text("model"));
    const Json* given = fields.list("tokens", SIZE_MAX);
    if (!given) fields.refuse("tokens", "it is missing; give a list of tokens");
    fields.expect_no_more();
    const auto& tokenizer = context.model->tokenizer;
    std::string bytes;
    for (const Json& token : *given) {
      if (!token.is_number_unsigned() ||
          token.get<uint64_t>() >= static_cast<uint64_t>(tokenizer.vocabulary()))
        fields.refuse("tokens", fmt::format("{} is no token; give whole numbers from 0 to {}",
                                            shown(token), tokenizer.vocabulary() - 1));
      bytes += tokenizer.bytes(token.get<Token>());
    }
    context.answer({{"content", readable(bytes)}});
  }
};

namespace {

constexpr std::string_view kGet = "GET", kPost = "POST";

struct Route {
  std::string_view method;
  std::string_view path;  ///< all that begins so, where it ends with '/' and is longer
  void (*run)(const Routes::Context&);
  bool needs_key = true, needs_model = true;

  bool matches(std::string_view other) const {
    return path == other || (path.size() > 1 && path.ends_with('/') && other.starts_with(path));
  }
};

constexpr Route kRoutes[] = {
    {kGet, "/", Routes::page, true, false},
    {kGet, "/health", Routes::health, false, false},
    {kGet, "/metrics", Routes::metrics, true, false},
    {kGet, "/v1/models", Routes::models},
    {kGet, "/v1/models/", Routes::one_model},
    {kPost, "/v1/chat/completions", Routes::chat},
    {kPost, "/v1/completions", Routes::completions},
    {kPost, "/v1/embeddings", Routes::embeddings},
    {kPost, "/tokenize", Routes::tokenize},
    {kPost, "/detokenize", Routes::detokenize},
};

const Route* route_of(std::string_view path) {
  const auto* found = std::find_if(std::begin(kRoutes), std::end(kRoutes),
                                   [&](const Route& route) { return route.matches(path); });
  return found == std::end(kRoutes) ? nullptr : found;
}

/// Whether two keys are equal, in a time that says nothing of where they differ.
bool same_key(std::string_view given, std::string_view key) {
  unsigned differ = given.size() != key.size();
  for (size_t i = 0; i < given.size(); ++i)
    differ |= static_cast<unsigned char>(given[i]) ^
              static_cast<unsigned char>(key.empty() ? 0 : key[i % key.size()]);
  return differ == 0;
}

/// The key of "Bearer KEY", or the password of "Basic ...", which browsers ask for.
std::string key_of(std::string_view authorization) {
  const auto starts_with = [&](std::string_view scheme) {
    return authorization.size() > scheme.size() &&
           std::equal(scheme.begin(), scheme.end(), authorization.begin(),
                      [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
  };
  if (starts_with("bearer ")) return std::string(authorization.substr(7));
  if (starts_with("basic ")) {
    const auto pair = from_base64(authorization.substr(6));
    if (pair && pair->find(':') != pair->npos) return pair->substr(pair->find(':') + 1);
  }
  return "";
}

/// The name in "name", "name:port", "[::1]:port".
std::string_view name_of(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

/// "%20" as what it stands for.
std::string decoded(std::string_view path) {
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    unsigned byte = 0;
    const char* digits = path.data() + i + 1;
    if (path[i] == '%' && i + 2 < path.size() &&
        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      text += static_cast<char>(byte);
      i += 2;
    } else {
      text += path[i];
    }
  }
  return text;
}

/// A path as a line of a log can hold it.
std::string printable(std::string_view path) {
  std::string text;
  for (const char byte : path.substr(0, 100)) text += byte > ' ' && byte < 0x7F ? byte : '?';
  return path.size() > 100 ? text + "..." : text;
}

}  // namespace

bool is_local(std::string_view host) {
  return host == "localhost" || host == "127.0.0.1" || host == "::1";
}

void Api::open(const ServedModel& model) { model_ = &model; }

void Api::expect_key(const HttpRequest& request) const {
  if (options_.key.empty()) return;
  const std::string key = key_of(request.authorization);
  if (!same_key(key, options_.key))
    throw ApiError{.status = 401,
                   .type = "authentication_error",
                   .message = key.empty() ? "You didn't provide an API key; send it as "
                                            "\"Authorization: Bearer KEY\""
                                          : "Invalid API Key",
                   .code = "invalid_api_key"};
}

/// Without a key the page's name is all that tells it from another's, and a page may have given
/// its own name this machine's address.
bool Api::is_own_page(const HttpRequest& request) const {
  if (request.origin != "http://" + request.host && request.origin != "https://" + request.host)
    return false;
  return !options_.local || !options_.key.empty() || is_local(name_of(request.host));
}

HttpResponse Api::preflight(const HttpRequest& request, const std::string& methods) const {
  HttpResponse response{.status = 204, .type = "", .headers = {{"Allow", methods}}};
  if (!options_.cors_origin.empty())
    response.headers.insert(
        response.headers.end(),
        {{"Access-Control-Allow-Methods", methods},
         {"Access-Control-Allow-Headers",
          request.asked_headers.empty() ? "Authorization, Content-Type" : request.asked_headers},
         {"Access-Control-Max-Age", "600"}});
  return response;
}

void Api::answer(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  const Route* route = route_of(request.path);
  if (request.method == "OPTIONS")
    return exchange->answer(preflight(request, !route                  ? "GET, POST"
                                               : route->method == kGet ? "GET, HEAD"
                                                                       : "POST"));
  // a page of another server that a browser shows may send requests here, but get no answer of use
  if (!request.origin.empty() && !is_own_page(request) && options_.cors_origin != "*" &&
      options_.cors_origin != request.origin)
    throw ApiError{.status = 403,
                   .type = "permission_error",
                   .message = fmt::format("pages of {} may not ask this server; allow them with "
                                          "--cors",
                                          shown(request.origin)),
                   .code = "origin_not_allowed"};
  if (!route || route->needs_key) expect_key(request);
  if (!route)
    throw ApiError{
        .status = 404,
        .message = fmt::format("Unknown request URL: {} {}; see docs/serving.md for what "
                               "there is",
                               shown(request.method), shown(request.path)),
        .code = "unknown_url"};
  const bool matches =
      request.method == route->method || (request.method == "HEAD" && route->method == kGet);
  if (!matches)
    throw ApiError{.status = 405,
                   .message = fmt::format("Not allowed to {} on {}; use {}", shown(request.method),
                                          route->path, route->method),
                   .code = "method_not_allowed"};
  const ServedModel* model = model_;
  if (route->needs_model && !model)
    throw ApiError{.status = 503, .type = "unavailable_error", .message = "Loading model"};
  route->run({*this, exchange, model, decoded(request.path.substr(route->path.size()))});
}

void Api::handle(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  const auto refuse = [&](const ApiError& error) {
    HttpResponse response{.status = error.status, .body = error_json(error)};
    if (error.status == 405)
      response.headers.emplace_back("Allow", std::string(route_of(request.path)->method));
    if (error.status == 429 || error.status == 503)
      response.headers.emplace_back("Retry-After", "1");
    // a browser that asks for the page asks its user for the key
    if (error.status == 401)
      response.headers.emplace_back(
          "WWW-Authenticate",
          request.path == "/" ? "Basic realm=\"argosy: the password is the API key\"" : "Bearer");
    exchange->answer(std::move(response));
  };
  if (!options_.cors_origin.empty())
    exchange->add_header("Access-Control-Allow-Origin", options_.cors_origin);
  try {
    answer(exchange);
  } catch (const ApiError& error) {
    refuse(error);
  } catch (const Error& error) {
    refuse({.message = error.what()});
  }
}

void Api::ended(const HttpRequest& request, const Ended& ended) {
  const Route* route = route_of(request.path);
  metrics_.add_request(route ? std::string(route->path) : "other", ended.status, ended.seconds);
  if (options_.log_requests)
    log::info("{} {} {} {} {:.0f} ms{}{}", request.client, printable(request.method),
              printable(request.path), ended.status, 1e3 * ended.seconds,
              ended.note.empty() ? "" : ", ", ended.note);
}

}  // namespace argosy::serve
