#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <signal.h>

#include <cstdio>

int main(int argc, char** argv) {
  signal(SIGXFSZ, SIG_IGN);  // as the program does
  doctest::Context context(argc, argv);
  return context.run();
}
