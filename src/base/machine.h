#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace argosy {

/// A group of CPU instructions, and what it is good for here.
struct CpuFeature {
  std::string name;  ///< "AVX2"
  bool present = false;
  std::string without;  ///< what happens on a machine that lacks it
};

/// The machine this process runs on.
struct Machine {
  std::string cpu;              ///< "AMD EPYC 7B13", or "unknown CPU"
  std::string system;           ///< "Linux 6.1.0 x86_64"
  int cores = 0;                ///< that the machine has (hardware threads)
  int usable_cores = 0;         ///< that this process may use
  int64_t memory_bytes = 0;     ///< of the machine, or of the container if that is less
  int64_t available_bytes = 0;  ///< free or easily freed now
  std::vector<CpuFeature> features;
};

Machine this_machine();
/// Machine::available_bytes alone; 0 where the system does not say.
int64_t available_memory_bytes();
/// Size of the largest cache that a core reaches; 0 where the system does not say.
int64_t cache_bytes();

}  // namespace argosy
