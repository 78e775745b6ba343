#include "base/machine.h"

#include <doctest/doctest.h>

using namespace argosy;

TEST_CASE("machine: what is said of this machine is possible") {
  const Machine machine = this_machine();
  CHECK_FALSE(machine.cpu.empty());
  CHECK(machine.usable_cores >= 1);
  CHECK(machine.usable_cores <= machine.cores);
  CHECK(machine.available_bytes > 0);
  CHECK(machine.available_bytes <= machine.memory_bytes);
  for (const CpuFeature& feature : machine.features) {
    if (feature.name == "AVX2")
      CHECK(feature.present == static_cast<bool>(__builtin_cpu_supports("avx2")));
    if (feature.name == "AVX-512")
      CHECK(feature.present == static_cast<bool>(__builtin_cpu_supports("avx512f")));
  }
}
