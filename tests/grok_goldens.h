#pragma once
#include <cstdlib>

#include "shared.h"

namespace argosy::test {

/// Files of values that Grok-1's release gives: the folder in ARGOSY_GROK_GOLDENS, or the one
/// beside the checkout; empty where there is none.
inline std::filesystem::path grok_goldens() {
  if (const char* given = std::getenv("ARGOSY_GROK_GOLDENS")) return given;
  const std::filesystem::path shared = shared_data();
  return shared.empty() || !std::filesystem::exists(shared / "grok-parity")
             ? std::filesystem::path()
             : shared / "grok-parity";
}

}  // namespace argosy::test
