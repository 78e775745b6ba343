#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "run/language_model.h"
#include "serve/generator.h"
#include "text/chat_template.h"

namespace argosy::serve {

struct ConversationOptions {
  std::string system;       ///< "": the template's own
  std::string chat_format;  ///< a name of text::chat_formats(); "": what the model says
  int64_t max_tokens = 0;   ///< of an answer; 0: as many as fit
  Sampling sampling;
};

struct Answer {
  std::string text;
  Finish finish = Finish::failed;
  Usage usage;
  int64_t forgotten = 0;  ///< messages that were left out, since the context was full
};

/// The template of a name of text::chat_formats(), or where that is empty the model's own, if there
/// is one.
///
/// throws  Error: there is none of that name; the model's own is not known
std::optional<text::ChatTemplate> chat_template_of(const run::LanguageModel& model,
                                                   const std::string& format);

/// One person and one model, in turns; waits for each answer.
/// threads  one at a time
class Conversation {
 public:
  /// The text of the answer as it comes, whole characters; false stops it.
  using OnText = std::function<bool(std::string_view)>;

  /// throws  Error: the model has no chat template that is known, and none is named
  Conversation(const run::LanguageModel& model, Generator& generator, ConversationOptions options);

  /// The model's answer to what was said before and `text`. If the context is full, the oldest
  /// messages are left out.
  /// throws  Error: the text alone does not fit; the generator failed
  Answer ask(const std::string& text, const OnText& on_text);
  void forget();                        ///< from now on nothing was said
  void set_system(std::string system);  ///< and nothing was said

 private:
  std::vector<Token> prompt(int64_t first) const;

  const run::LanguageModel& model_;
  Generator& generator_;
  ConversationOptions options_;
  text::ChatTemplate template_;
  std::vector<text::Message> messages_;
  uint64_t answers_ = 0;
};

/// How `text` goes on, without any template.
/// throws  Error: the text does not fit; the generator failed
Answer complete(const run::LanguageModel& model, Generator& generator, const std::string& text,
                const ConversationOptions& options, const Conversation::OnText& on_text);

}  // namespace argosy::serve
