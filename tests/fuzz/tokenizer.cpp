// tokenizer.json, and what it then makes of its own bytes.
#include "base/error.h"
#include "text/tokenizer_json.h"

using namespace argosy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    text::BpeDefinition definition = text::read_tokenizer_json(text, "fuzz");
    text::add_ends(definition, text, "fuzz");
    const text::BpeTokenizer tokenizer(std::move(definition), "fuzz");
    for (const bool special : {false, true}) tokenizer.decode(tokenizer.encode(text, special));
  } catch (const Error&) {
  }
  return 0;
}
