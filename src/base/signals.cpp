#include "base/signals.h"

#include <signal.h>

namespace argosy {

std::atomic<bool> stop_asked{false};

void stop_on_signals() {
  struct sigaction action{};
  action.sa_handler = [](int) { stop_asked = true; };
  action.sa_flags = SA_RESETHAND;
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &action, nullptr);
}

}  // namespace argosy
