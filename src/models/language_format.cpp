#include "models/language_format.h"

namespace argosy::models {

std::span<const LanguageFormat* const> language_formats() {
  static constexpr const LanguageFormat* kFormats[] = {&kLlamaFormat, &kQwen2Format, &kGrokFormat};
  return kFormats;
}

}  // namespace argosy::models
