#include "serve/conversation.h"

#include <algorithm>
#include <future>

#include "base/error.h"
#include "text/utf8.h"

namespace argosy::serve {
namespace {

/// Asks and waits. Callbacks come on the generator's thread, while this one waits for their end.
Answer generate(const run::LanguageModel& model, Generator& generator, std::vector<Token> prompt,
                const ConversationOptions& options, const Conversation::OnText& on_text) {
  const int64_t room = generator.context() - std::ssize(prompt);
  Answer answer;
  std::string error;
  const auto ended = std::make_shared<std::promise<void>>();
  text::CharacterStream characters;
  const auto say = [&](const std::string& text) {
    answer.text += text;
    return text.empty() || !on_text || on_text(text);
  };
  generator.submit(
      {.prompt = std::move(prompt),
       .max_tokens = options.max_tokens > 0 ? std::min(options.max_tokens, room) : room,
       .ends = model.tokenizer->ends(),
       .sampling = options.sampling,
       .on_token =
           [&](const Generated& generated) {
             return say(characters.push(model.tokenizer->bytes(generated.token)));
           },
       .on_end =
           [&, ended](Finish finish, const Usage& usage, const std::string& message) {
             say(characters.finish());
             answer.finish = finish, answer.usage = usage, error = message;
             ended->set_value();
           }});
  ended->get_future().wait();
  if (answer.finish == Finish::failed)
    throw Error({.what = error,
                 .where = model.name,
                 .fix = "report it: the model could not be run",
                 .kind = ErrorKind::device});
  return answer;
}

[[noreturn]] void fail_too_long(const run::LanguageModel& model, size_t tokens, int64_t context) {
  throw Error({.what = fmt::format("the text has {} tokens, the context {}", tokens, context),
               .where = model.name,
               .fix = "give a shorter text, or more --context if the model has it"});
}

text::ChatTemplate template_of(const run::LanguageModel& model, const std::string& format) {
  if (auto found = chat_template_of(model, format)) return *std::move(found);
  throw Error({.what = "the model has no chat template",
               .where = model.name,
               .fix = fmt::format("name its format with --chat-format ({}), or let it continue a "
                                  "text with --complete TEXT",
                                  fmt::join(text::chat_formats(), ", "))});
}

}  // namespace

std::optional<text::ChatTemplate> chat_template_of(const run::LanguageModel& model,
                                                   const std::string& format) {
  if (!format.empty()) return text::ChatTemplate::named(format);
  if (model.chat_template.empty()) return {};
  return text::ChatTemplate::of_text(model.chat_template, model.path.string());
}

Conversation::Conversation(const run::LanguageModel& model, Generator& generator,
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

std::vector<Token> Conversation::prompt(int64_t first) const {
  std::vector<text::Message> messages;
  if (!options_.system.empty()) messages.push_back({.role = "system", .content = options_.system});
  messages.insert(messages.end(), messages_.begin() + first, messages_.end());
  return text::encode_parts(template_.render(messages, true), *model_.tokenizer).tokens;
}

Answer Conversation::ask(const std::string& text, const OnText& on_text) {
  messages_.push_back({.role = "user", .content = text});
  // an answer has a quarter of the context at least, or what was asked for if that is less
  const int64_t context = generator_.context(), quarter = std::max<int64_t>(1, context / 4);
  const int64_t room = options_.max_tokens > 0 ? std::min(options_.max_tokens, quarter) : quarter;
  int64_t forgotten = 0;
  std::vector<Token> tokens = prompt(0);
  while (std::ssize(tokens) + room > context && forgotten + 1 < std::ssize(messages_))
    tokens = prompt(forgotten += 2);  // what was asked, and its answer
  if (std::ssize(tokens) >= context) {
    messages_.pop_back();
    fail_too_long(model_, tokens.size(), context);
  }
  messages_.erase(messages_.begin(), messages_.begin() + forgotten);
  ConversationOptions options = options_;
  options.sampling.seed += answers_++;
  Answer answer = generate(model_, generator_, std::move(tokens), options, on_text);
  messages_.push_back({.role = "assistant", .content = answer.text});
  answer.forgotten = forgotten;
  return answer;
}

Answer complete(const run::LanguageModel& model, Generator& generator, const std::string& text,
                const ConversationOptions& options, const Conversation::OnText& on_text) {
  std::vector<Token> tokens;
  if (const auto beginning = model.tokenizer->beginning()) tokens.push_back(*beginning);
  const std::vector<Token> encoded = model.tokenizer->encode(text);
  tokens.insert(tokens.end(), encoded.begin(), encoded.end());
  if (tokens.empty())
    throw Error({.what = "there is no text to go on from",
                 .where = "--complete",
                 .fix = "give at least one character"});
  if (std::ssize(tokens) >= generator.context())
    fail_too_long(model, tokens.size(), generator.context());
  return generate(model, generator, std::move(tokens), options, on_text);
}

}  // namespace argosy::serve
