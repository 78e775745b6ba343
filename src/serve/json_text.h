#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

/// JSON as texts; for the .cpp files of this folder alone, since the library's header is heavy.
namespace argosy::serve {

/// Objects keep the order of the text: that of a schema is the order of an answer.
using Json = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 100;
inline constexpr size_t kMaxJsonKeys = 2000;  ///< of one object, which is searched from its front

/// throws Error: no JSON, invalid UTF-8, a number out of range, too deep, too many keys in an
/// object
Json parse_json(std::string_view text, const std::string& where);

/// As a text; what is no UTF-8 is replaced.
std::string to_text(const Json& json);

/// A value as it is shown in a message: short.
std::string shown(const Json& json);

}  // namespace argosy::serve
