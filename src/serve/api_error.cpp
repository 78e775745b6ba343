#include "serve/api_error.h"

#include "serve/json_text.h"

namespace argosy::serve {

std::string error_json(const ApiError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json code = or_null(error.code);
  if (error.status >= 500 && error.code.empty()) code = error.status;
  return to_text({{"error",
                   {{"message", error.message},
                    {"type", error.type},
                    {"param", or_null(error.param)},
                    {"code", code}}}});
}

}  // namespace argosy::serve
