// The JSON files of a model folder: config.json, the index of weights, tokenizer_config.json.
#include "base/error.h"
#include "model_files/hugging_face_config.h"
#include "text/chat_template.h"

using namespace argosy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto attempt = [&](const auto& read) {
    try {
      read(text, "fuzz");
    } catch (const Error&) {
    }
  };
  attempt(model_files::read_config);
  attempt(model_files::read_weight_index);
  attempt(text::read_chat_template);
  return 0;
}
