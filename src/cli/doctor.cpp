#include "cli/commands.h"

namespace argosy::cli {

std::function<int()> doctor(Arguments&) {
  return [] { return 0; };
}

}  // namespace argosy::cli
