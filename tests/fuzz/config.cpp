// The JSON files of a model folder: config.json, the index of weights, tokenizer_config.json.
#include "base/error.h"
#include "run/hugging_face_config.h"

using namespace argosy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto attempt = [&](const auto& read) {
    try {
      read(text, "fuzz");
    } catch (const Error&) {
    }
  };
  attempt(run::read_config);
  attempt(run::read_weight_index);
  attempt(run::read_chat_template);
  return 0;
}
