#include "cli/commands.h"

namespace argosy::cli {

std::function<int()> data(Arguments&) {
  return [] { return 0; };
}

}  // namespace argosy::cli
