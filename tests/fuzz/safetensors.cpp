// A safetensors file: its tensors lie inside it.
#include "engine/safetensors.h"

#include "base/check.h"
#include "base/error.h"

using namespace argosy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const SafetensorsFile file({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
    for (const NamedTensor& tensor : file.tensors())
      check(tensor.bytes.size() == tensor.type.bytes(), "{}", tensor.name);
  } catch (const Error&) {
  }
  return 0;
}
