#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model_files/language_model.h"
#include "serve/generator.h"
#include "text/chat_template.h"

namespace argosy::serve {

struct ConversationOptions {
  std::string system;       ///< "": the template's own
  std::string chat_format;  ///< a name of text::chat_formats(); "": what the model says
  int64_t max_tokens = 0;   ///< of an answer; 0: as many as fit
  Sampling sampling;
};

/// How an answer leaves while it is made: on the generator's thread, where nothing may be thrown.
struct Listener {
  std::function<void(std::string_view)> on_text;  ///< the text as it comes, whole characters
  std::function<bool()> stopped;  ///< asked often, on two threads: true ends the answer
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
std::optional<text::ChatTemplate> chat_template_of(const model_files::LanguageModel& model,
                                                   const std::string& format);

/// One person and one model, in turns; waits for each answer.
/// threads  one at a time
class Conversation {
 public:
  /// throws  Error: the model has no chat template that is known, and none is named
  Conversation(const model_files::LanguageModel& model, Generator& generator,
               ConversationOptions options);

  /// The model's answer to what was said before and `text`. If the context is full, the oldest
  /// messages are left out. One that is stopped counts as said.
  /// throws  Error: the text alone does not fit; the generator failed. Nothing was said then.
  Answer ask(const std::string& text, const Listener& listener);
  void forget();                        ///< from now on nothing was said
  void set_system(std::string system);  ///< and nothing was said

 private:
  std::vector<Token> prompt(std::span<const text::Message> messages) const;

  const model_files::LanguageModel& model_;
  Generator& generator_;
  ConversationOptions options_;
  text::ChatTemplate template_;
  std::vector<text::Message> messages_;
  uint64_t answers_ = 0;
};

/// How `text` goes on, without any template.
/// throws  Error: the text does not fit; the generator failed
Answer complete(const model_files::LanguageModel& model, Generator& generator,
                const std::string& text, const ConversationOptions& options,
                const Listener& listener);

}  // namespace argosy::serve
