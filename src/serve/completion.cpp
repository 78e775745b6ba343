#include "serve/completion.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <random>

#include "serve/answer_text.h"
#include "serve/api_error.h"
#include "serve/completion_json.h"
#include "serve/json_grammar.h"
#include "text/tool_calls.h"

namespace argosy::serve {
namespace {

using Clock = std::chrono::steady_clock;
using ToolChoice = CompletionRequest::ToolChoice;

constexpr int64_t kMostWaiting = 1000;       // answers
constexpr int64_t kMostDescribed = 500'000;  // logprobs of prompts, of one request

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

std::string random_id() {
  static std::atomic<uint64_t> count{std::random_device()() * 0x100000001ull};
  return fmt::format("{:016x}{:08x}", ++count * 0x9E3779B97F4A7C15, std::random_device()());
}

/// One of the answers that a request asks for.
struct Choice {
  Choice(size_t index, size_t prompt, std::vector<std::string> stops, std::string begins)
      : index(index), prompt(prompt), text(std::move(stops)), content(std::move(begins)) {}

  size_t index, prompt;  // which
  AnswerText text;
  text::AnswerReader reader;
  std::string content;                // in a stream: what is not sent yet
  std::vector<text::ToolCall> calls;  // all of them
  size_t calls_sent = 0;              // in a stream
  bool begun = false;                 // in a stream
  int64_t offset = 0;                 // characters before those of logprobs
  std::vector<Json> logprobs;         // in a stream: those not sent yet
  int64_t tokens = 0;
  std::string finish;  // its reason; "": it goes on
  Usage usage;
  uint64_t request = 0;
  Clock::time_point last;           // token, on the generator's thread
  std::atomic<bool> enough{false};  // no more tokens, please
};

/// A request and its answers. All but what is said to be otherwise runs on the exchange's thread.
class Completion : public std::enable_shared_from_this<Completion> {
 public:
  Completion(CompletionRequest request, const ServedModel& model, Metrics& metrics,
             std::shared_ptr<Exchange> exchange)
      : request_(std::move(request)),
        model_(model),
        metrics_(metrics),
        exchange_(std::move(exchange)),
        id_(random_id()),
        created_(std::chrono::duration_cast<std::chrono::seconds>(
                     std::chrono::system_clock::now().time_since_epoch())
                     .count()) {}

  void start();

 private:
  std::vector<std::vector<Token>> prompts() const;
  SharedGrammar grammar() const;
  void submit(Choice& choice, std::vector<Token> prompt, int64_t number,
              const SharedGrammar& grammar);
  bool describes_prompts() const { return request_.echo && request_.sampling.logprobs >= 0; }
  bool on_token(Choice& choice, const Generated& generated);
  void add(Choice& choice, const Generated& generated);
  void add_text(Choice& choice, const std::string& text, bool last);
  void end(Choice& choice, Finish finish, const Usage& usage, const std::string& error);
  void fail(int status, const std::string& message);
  void give_up();

  Json chunk() const;
  void send(const Json& choice_json);
  void send_delta(Choice& choice, Json delta, const std::string& finish);
  void send_new(Choice& choice);
  Json answer_of(const Choice& choice) const;
  Json logprobs_of(const Choice& choice) const;
  void finish();

  CompletionRequest request_;
  const ServedModel& model_;
  Metrics& metrics_;
  std::shared_ptr<Exchange> exchange_;
  std::string id_;
  int64_t created_;
  Clock::time_point began_ = Clock::now();
  std::vector<std::unique_ptr<Choice>> choices_;
  std::vector<int64_t> prompt_tokens_;
  size_t running_ = 0;
  bool streaming_ = false, over_ = false;
};

std::vector<std::vector<Token>> Completion::prompts() const {
  const text::Tokenizer& tokenizer = model_.tokenizer;
  std::vector<std::vector<Token>> prompts;
  if (request_.chat) {
    if (!model_.chat)
      throw ApiError{
          .message = fmt::format("The model {} has no chat template; ask /v1/completions, "
                                 "or start the server with --chat-format",
                                 model_.name),
          .param = "model",
          .code = "unsupported_model"};
    const bool with_tools = request_.tool_choice != ToolChoice::none;
    const auto parts = model_.chat->render(
        request_.messages, true, with_tools ? request_.tool_texts : std::span<const std::string>());
    prompts.push_back(text::encode_parts(parts, tokenizer).tokens);
  }
  for (const auto& prompt : request_.prompts)
    prompts.push_back(std::holds_alternative<std::string>(prompt)
                          ? tokenizer.opened(tokenizer.encode(std::get<std::string>(prompt)))
                          : std::get<std::vector<Token>>(prompt));
  const char* param = request_.chat ? "messages" : "prompt";
  const int64_t context = model_.generator.context();
  for (const auto& tokens : prompts) {
    if (tokens.empty())
      throw ApiError{.message = "the prompt is empty; give it at least one token", .param = param};
    if (static_cast<int64_t>(tokens.size()) >= context)
      throw ApiError{.message = fmt::format("This model's maximum context length is {} tokens, and "
                                            "the prompt has {}; make it shorter",
                                            context, tokens.size()),
                     .param = param,
                     .code = "context_length_exceeded"};
  }
  int64_t described = 0;
  for (const auto& tokens : prompts)
    described += std::ssize(tokens) * (request_.sampling.logprobs + 1) * request_.choices;
  if (describes_prompts() && described > kMostDescribed)
    throw ApiError{.message = fmt::format("echo asks for {} logprobs of prompts, the most at once "
                                          "is {}; ask for fewer, or for the prompts in turn",
                                          described, kMostDescribed),
                   .param = "echo",
                   .code = "invalid_value"};
  if (request_.max_tokens && *request_.max_tokens > context)
    throw ApiError{.message = fmt::format("max_tokens is {}, and this model's maximum context "
                                          "length is {} tokens; ask for fewer",
                                          *request_.max_tokens, context),
                   .param = "max_tokens",
                   .code = "invalid_value"};
  return prompts;
}

/// What the answers must be of, if anything.
SharedGrammar Completion::grammar() const {
  const bool call = request_.tool_choice == ToolChoice::required;
  if (!call && !request_.schema) return {};
  const char* param = call ? "tool_choice" : "response_format";
  if (!model_.tree->spells_json() || model_.tokenizer.ends().empty())
    throw ApiError{.message =
                       "this model's vocabulary cannot spell JSON or has no token that ends "
                       "an answer; leave it out",
                   .param = param};
  if (!call) return json_grammar(*request_.schema, "response_format.json_schema.schema");
  std::vector<CallSchema> calls;
  for (const Tool& tool : request_.tools)
    if (request_.tool.empty() || tool.name == request_.tool)
      calls.push_back({tool.name, tool.parameters});
  return call_grammar(calls, fmt::format("{}\n", text::kToolCallBegins),
                      fmt::format("\n{}", text::kToolCallEnds), "tools");
}

void Completion::start() {
  if (model_.generator.state().waiting >= kMostWaiting)
    throw ApiError{.status = 429,
                   .type = "rate_limit_error",
                   .message = "too many requests wait for an answer; try again later",
                   .code = "rate_limit_exceeded"};
  const auto prompts = this->prompts();
  const auto grammar = this->grammar();
  std::vector<std::string> stops = request_.stops;
  if (request_.chat)
    for (const std::string& stop : model_.chat->stops()) stops.push_back(stop);
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompt_tokens_.push_back(static_cast<int64_t>(prompts[i].size()));
    for (int64_t k = 0; k < request_.choices; ++k) {
      std::string begins;
      if (request_.echo) begins = readable(model_.tokenizer.decode(prompts[i]));
      choices_.push_back(std::make_unique<Choice>(choices_.size(), i, stops, std::move(begins)));
      if (describes_prompts())
        choices_.back()->logprobs.push_back(first_token_json(prompts[i][0], model_.tokenizer));
    }
  }
  running_ = choices_.size();
  exchange_->when_left([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->give_up();
  });
  for (size_t i = 0; i < choices_.size(); ++i)
    submit(*choices_[i], prompts[choices_[i]->prompt], static_cast<int64_t>(i) % request_.choices,
           grammar);
}

void Completion::submit(Choice& choice, std::vector<Token> prompt, int64_t number,
                        const SharedGrammar& grammar) {
  Request request;
  const int64_t room = model_.generator.context() - static_cast<int64_t>(prompt.size());
  request.max_tokens = std::min(request_.max_tokens.value_or(room), room);
  request.prompt = std::move(prompt);
  request.ends = model_.tokenizer.ends();
  request.sampling = request_.sampling;
  request.sampling.seed =
      request_.seed ? static_cast<uint64_t>(*request_.seed) + static_cast<uint64_t>(number)
                    : uint64_t{std::random_device()()} << 32 | std::random_device()();
  if (grammar)
    request.constraint =
        std::make_shared<JsonConstraint>(model_.tree, model_.tokenizer, request.ends, grammar);
  request.on_token = [self = shared_from_this(), &choice](const Generated& generated) {
    return self->on_token(choice, generated);
  };
  if (describes_prompts())
    request.on_prompt = [self = shared_from_this(), &choice](const Generated& told) {
      self->exchange_->run([self, &choice, told] {
        choice.logprobs.push_back(token_json(told, self->model_.tokenizer));
      });
    };
  request.on_end = [self = shared_from_this(), &choice](Finish finish, const Usage& usage,
                                                        const std::string& error) {
    self->exchange_->run(
        [self, &choice, finish, usage, error] { self->end(choice, finish, usage, error); });
  };
  choice.request = model_.generator.submit(std::move(request));
}

/// On the generator's thread.
bool Completion::on_token(Choice& choice, const Generated& generated) {
  const auto now = Clock::now();
  if (choice.last == Clock::time_point())
    metrics_.add_first_token(seconds(now - began_));
  else
    metrics_.add_next_token(seconds(now - choice.last));
  choice.last = now;
  exchange_->run([self = shared_from_this(), &choice, generated] { self->add(choice, generated); });
  return !choice.enough;
}

void Completion::add(Choice& choice, const Generated& generated) {
  if (choice.enough || over_) return;
  ++choice.tokens;
  if (request_.sampling.logprobs >= 0)
    choice.logprobs.push_back(token_json(generated, model_.tokenizer));
  add_text(choice, choice.text.push(model_.tokenizer.bytes(generated.token)), false);
  if (!choice.text.stopped()) return;
  choice.enough = true;
  model_.generator.cancel(choice.request);
}

/// More of what the model said: content and calls, where it may make some.
void Completion::add_text(Choice& choice, const std::string& text, bool last) {
  text::Answer more{.content = text};
  if (request_.tool_choice != ToolChoice::none) {
    more = choice.reader.push(text);
    if (last) more += choice.reader.finish();
  }
  choice.content += more.content;
  for (text::ToolCall& call : more.tool_calls)
    if (request_.parallel_calls || choice.calls.empty()) choice.calls.push_back(std::move(call));
  if (request_.stream) send_new(choice);
}

void Completion::end(Choice& choice, Finish finish, const Usage& usage, const std::string& error) {
  if (over_) return;
  if (finish == Finish::failed) return fail(500, error);
  if (finish == Finish::cancelled && !choice.text.stopped())
    return fail(503, "the server is stopping");
  choice.usage = usage;
  choice.enough = true;
  add_text(choice, choice.text.finish(), true);
  choice.finish = finish == Finish::length && !choice.text.stopped() ? "length"
                  : choice.calls.empty()                             ? "stop"
                                                                     : "tool_calls";
  if (request_.stream) send_delta(choice, request_.chat ? Json::object() : Json(""), choice.finish);
  if (--running_ == 0) this->finish();
}

void Completion::fail(int status, const std::string& message) {
  over_ = true;
  give_up();
  const std::string body =
      error_json({.status = status, .type = "server_error", .message = message});
  if (!streaming_) return exchange_->answer({.status = status, .body = body});
  exchange_->write(event_of(body));
  exchange_->end();
}

void Completion::give_up() {
  for (const auto& choice : choices_) {
    choice->enough = true;
    model_.generator.cancel(choice->request);
  }
}

// ---- as a stream

Json Completion::chunk() const {
  return {{"id", (request_.chat ? "chatcmpl-" : "cmpl-") + id_},
          {"object", request_.chat ? "chat.completion.chunk" : "text_completion"},
          {"created", created_},
          {"model", model_.name}};
}

void Completion::send(const Json& choice_json) {
  if (!streaming_) {
    streaming_ = true;
    exchange_->begin({.type = "text/event-stream; charset=utf-8",
                      .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
  }
  Json json = chunk();
  json["choices"] = Json::array({choice_json});
  if (request_.include_usage) json["usage"] = nullptr;
  exchange_->write(event_of(to_text(json)));
}

/// `delta` is the new text where it is no chat.
void Completion::send_delta(Choice& choice, Json delta, const std::string& finish) {
  Json json = {{"index", choice.index}};
  json[request_.chat ? "delta" : "text"] = std::move(delta);
  json["logprobs"] = logprobs_of(choice);
  json["finish_reason"] = finish.empty() ? Json() : Json(finish);
  for (const Json& token : choice.logprobs)
    choice.offset += characters(token["token"].get_ref<const std::string&>());
  choice.logprobs.clear();
  send(json);
}

/// What has come since the last time.
void Completion::send_new(Choice& choice) {
  if (request_.chat && !std::exchange(choice.begun, true))
    send_delta(choice, {{"role", "assistant"}, {"content", ""}}, "");
  if (!choice.content.empty()) {
    Json text = std::exchange(choice.content, "");
    send_delta(choice, request_.chat ? Json{{"content", std::move(text)}} : std::move(text), "");
  }
  if (choice.calls_sent == choice.calls.size()) return;
  Json calls = calls_json(choice.calls, id_, true);
  const size_t sent = std::exchange(choice.calls_sent, choice.calls.size());
  calls.erase(calls.begin(), calls.begin() + static_cast<std::ptrdiff_t>(sent));
  send_delta(choice, {{"tool_calls", std::move(calls)}}, "");
}

// ---- as a whole

Json Completion::logprobs_of(const Choice& choice) const {
  if (request_.sampling.logprobs < 0) return nullptr;
  return request_.chat ? chat_logprobs(choice.logprobs)
                       : text_logprobs(choice.logprobs, choice.offset);
}

Json Completion::answer_of(const Choice& choice) const {
  if (!request_.chat) return choice.content;
  Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
  if (choice.calls.empty()) return message;
  if (choice.content.empty()) message["content"] = nullptr;
  message["tool_calls"] = calls_json(choice.calls, id_, false);
  return message;
}

void Completion::finish() {
  over_ = true;
  int64_t prompt = 0, generated = 0, cached = 0;
  for (const int64_t tokens : prompt_tokens_) prompt += tokens;
  for (const auto& choice : choices_) {
    generated += choice->tokens;
    // a prompt counts once, however many answers it gets
    const bool first = static_cast<int64_t>(choice->index) % request_.choices == 0;
    cached += first ? choice->usage.cached : 0;
  }
  const Json usage = usage_json(prompt, generated, cached);
  exchange_->note(fmt::format("{}+{} tokens", prompt, generated));
  Json json = chunk();
  if (request_.stream) {
    if (request_.include_usage) {
      json["choices"] = Json::array();
      json["usage"] = usage;
      exchange_->write(event_of(to_text(json)));
    }
    exchange_->write(event_of("[DONE]"));
    return exchange_->end();
  }
  if (request_.chat) json["object"] = "chat.completion";
  json["choices"] = Json::array();
  for (size_t i = 0; i < choices_.size(); ++i) {
    Json answer = answer_of(*choices_[i]);
    json["choices"].push_back({{"index", i},
                               {request_.chat ? "message" : "text", std::move(answer)},
                               {"logprobs", logprobs_of(*choices_[i])},
                               {"finish_reason", choices_[i]->finish}});
  }
  json["usage"] = usage;
  exchange_->answer({.body = to_text(json)});
}

}  // namespace

void start_completion(CompletionRequest request, const ServedModel& model, Metrics& metrics,
                      const std::shared_ptr<Exchange>& exchange) {
  std::make_shared<Completion>(std::move(request), model, metrics, exchange)->start();
}

}  // namespace argosy::serve
