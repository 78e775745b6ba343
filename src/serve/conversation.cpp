#include "serve/conversation.h"

#include <algorithm>
#include <chrono>
#include <future>

#include "base/error.h"
#include "serve/answer_text.h"

namespace argosy::serve {
namespace {

/// How often a request that gives no tokens yet (a long prompt) is asked whether it is to stop.
constexpr auto kPatience = std::chrono::milliseconds(20);

/// Asks and waits. Callbacks come on the generator's thread, while this one waits for their end.
Answer generate(const model_files::LanguageModel& model, Generator& generator,
                std::vector<Token> prompt, std::vector<std::string> stops,
                const ConversationOptions& options, const Listener& listener) {
  const int64_t room = generator.context() - std::ssize(prompt);
  Answer answer;
  std::string error;
  const auto promise = std::make_shared<std::promise<void>>();
  const std::future<void> ended = promise->get_future();
  AnswerText text(std::move(stops));
  const auto say = [&](const std::string& more) {
    answer.text += more;
    if (!more.empty() && listener.on_text) listener.on_text(more);
  };
  const auto stopped = [&] { return listener.stopped && listener.stopped(); };
  const uint64_t number = generator.submit(
      {.prompt = std::move(prompt),
       .max_tokens = options.max_tokens > 0 ? std::min(options.max_tokens, room) : room,
       .ends = model.tokenizer->ends(),
       .sampling = options.sampling,
       .on_token =
           [&](const Generated& generated) {
             say(text.push(model.tokenizer->bytes(generated.token)));
             return !text.stopped() && !stopped();
           },
       .on_end =
           [&, promise](Finish finish, const Usage& usage, const std::string& message) {
             say(text.finish());
             answer.finish = text.stopped() ? Finish::stop : finish;
             answer.usage = usage, error = message;
             promise->set_value();
           }});
  while (ended.wait_for(kPatience) == std::future_status::timeout)
    if (stopped()) generator.cancel(number);
  if (answer.finish == Finish::failed)
    throw Error({.what = error,
                 .where = model.name,
                 .fix = "report it: the model could not be run",
                 .kind = ErrorKind::device});
  return answer;
}

[[noreturn]] void fail_too_long(const model_files::LanguageModel& model, size_t tokens,
                                int64_t context) {
  throw Error({.what = fmt::format("the text has {} tokens, the context {}", tokens, context),
               .where = model.name,
               .fix = "give a shorter text, or more --context if the model has it"});
}

text::ChatTemplate template_of(const model_files::LanguageModel& model, const std::string& format) {
  if (auto found = chat_template_of(model, format)) return *std::move(found);
  throw Error({.what = "the model has no chat template",
               .where = model.name,
               .fix = fmt::format("name its format with --chat-format ({}), or let it continue a "
                                  "text with --complete TEXT",
                                  fmt::join(text::chat_formats(), ", "))});
}

}  // namespace

std::optional<text::ChatTemplate> chat_template_of(const model_files::LanguageModel& model,
                                                   const std::string& format) {
  if (!format.empty()) return text::ChatTemplate::named(format);
  if (model.chat_template.empty()) return {};
  return text::ChatTemplate::of_text(model.chat_template, model.path.string());
}

Conversation::Conversation(const model_files::LanguageModel& model, Generator& generator,
                           ConversationOptions options)
    : model_(model),
      generator_(generator),
      options_(std::move(options)),
      template_(template_of(model, options_.chat_format)) {}

void Conversation::forget() { messages_.clear(); }

void Conversation::set_system(std::string system) {
  options_.system = std::move(system);
  forget();
}

std::vector<Token> Conversation::prompt(std::span<const text::Message> turns) const {
  std::vector<text::Message> messages;
  if (!options_.system.empty()) messages.push_back({.role = "system", .content = options_.system});
  messages.insert(messages.end(), turns.begin(), turns.end());
  return text::encode_parts(template_.render(messages, true), *model_.tokenizer).tokens;
}

Answer Conversation::ask(const std::string& text, const Listener& listener) {
  std::vector<text::Message> said = messages_;  // they stay as they are if anything fails
  said.push_back({.role = "user", .content = text});
  std::span<const text::Message> kept = said;
  // an answer has a quarter of the context at least, or what was asked for if that is less
  const int64_t context = generator_.context(), quarter = std::max<int64_t>(1, context / 4);
  const int64_t room = options_.max_tokens > 0 ? std::min(options_.max_tokens, quarter) : quarter;
  std::vector<Token> tokens = prompt(kept);
  while (std::ssize(tokens) + room > context && kept.size() > 1) {
    kept = kept.subspan(2);  // what was asked, and its answer
    tokens = prompt(kept);
  }
  if (std::ssize(tokens) >= context) fail_too_long(model_, tokens.size(), context);
  ConversationOptions options = options_;
  options.sampling.seed += answers_;
  Answer answer =
      generate(model_, generator_, std::move(tokens), template_.stops(), options, listener);
  ++answers_;
  answer.forgotten = std::ssize(said) - std::ssize(kept);
  messages_.assign(kept.begin(), kept.end());
  messages_.push_back({.role = "assistant", .content = answer.text});
  return answer;
}

Answer complete(const model_files::LanguageModel& model, Generator& generator,
                const std::string& text, const ConversationOptions& options,
                const Listener& listener) {
  std::vector<Token> tokens = model.tokenizer->opened(model.tokenizer->encode(text));
  if (tokens.empty())
    throw Error({.what = "there is no text to go on from",
                 .where = "--complete",
                 .fix = "give at least one character"});
  if (std::ssize(tokens) >= generator.context())
    fail_too_long(model, tokens.size(), generator.context());
  return generate(model, generator, std::move(tokens), {}, options, listener);
}

}  // namespace argosy::serve
