#pragma once
#include <fmt/format.h>

#include "base/error.h"

namespace argosy::cli {

/// throws Error: the value of a flag breaks its limits, which `limits` says ("0 to 100")
inline void require(bool holds, const char* command, const char* flag, double value,
                    const char* limits) {
  if (!holds)
    throw Error({.what = fmt::format("{} is {}, it may be {}", flag, value, limits),
                 .where = command,
                 .fix = "give another value"});
}

}  // namespace argosy::cli
