#include "cli/commands.h"

namespace argosy::cli {

std::function<int()> eval(Arguments&) {
  return [] { return 0; };
}

}  // namespace argosy::cli
