#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace argosy {

/// RFC 4648, with padding and without line breaks.
std::string base64(std::string_view bytes);
/// The bytes again; nothing where the text is not as base64() writes it.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace argosy
