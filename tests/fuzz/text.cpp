// Bytes from outside as text: tokens and back, characters, answers with calls, lines of messages.
#include <cstdlib>

#include "base/error.h"
#include "text/bpe_training.h"
#include "text/text_files.h"
#include "text/tool_calls.h"
#include "text/utf8.h"

using namespace argosy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static const text::BpeTokenizer tokenizer = [] {
    text::BpeTraining training;
    training.add("It's 2024, and the cat sat on the mat. \n\n the mat  caf\xC3\xA9 \xE4\xB8\x96");
    const std::string special[] = {"<|im_end|>"};
    return text::BpeTokenizer(training.finish(300, special, "fuzz"), "fuzz");
  }();
  if (tokenizer.decode(tokenizer.encode(bytes, false)) != bytes) std::abort();
  text::CharacterStream stream;
  std::string characters = stream.push(bytes);
  characters += stream.finish();
  if (!text::is_utf8(characters)) std::abort();
  text::read_answer(bytes);
  try {
    const auto messages = text::read_conversation(bytes, "fuzz");
    text::ChatTemplate::named("chatml").render(messages, true);
  } catch (const Error&) {
  }
  return 0;
}
