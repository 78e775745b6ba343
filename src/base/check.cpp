#include "base/check.h"

#include "base/error.h"

namespace argosy {

void check_failed(std::source_location place, std::string_view message) {
  throw Bug(fmt::format("{}:{}: {}", place.file_name(), place.line(), message));
}

}  // namespace argosy
