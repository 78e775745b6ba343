// A GGUF file: metadata read as every kind, and the first block of each tensor.
#include "engine/gguf.h"

#include "base/error.h"

using namespace argosy;

namespace {

void read_all(const GgufMetadata& metadata, const std::string& key) {
  const auto attempt = [](const auto& read) {
    try {
      read();
    } catch (const Error&) {
    }
  };
  attempt([&] { metadata.integer(key); });
  attempt([&] { metadata.number(key); });
  attempt([&] { metadata.flag(key); });
  attempt([&] { metadata.text(key); });
  attempt([&] { metadata.texts(key); });
  attempt([&] { metadata.integers(key); });
  attempt([&] { metadata.numbers(key); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const GgufFile file({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
    size_t keys = 0;
    for (const auto& [key, value] : file.metadata().entries())
      if (keys++ < 100) read_all(file.metadata(), key);
    for (const StoredTensor& tensor : file.tensors()) {
      const BlockLayout& layout = layout_of(tensor.format);
      std::vector<float> numbers(static_cast<size_t>(layout.values));
      dequantize(tensor.format, tensor.bytes.first(static_cast<size_t>(layout.bytes)), numbers);
    }
  } catch (const Error&) {
  }
  return 0;
}
