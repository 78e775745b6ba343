#include "base/machine.h"

#include <cpuid.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace argosy {
namespace {

/// What stands behind "NAME:" in a file of /proc, without the blanks around it; "" if absent.
std::string value_of(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(name)) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.find_first_not_of(" \t", name.size()) != colon) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

int64_t number(const std::string& text, int64_t otherwise) {
  int64_t value = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// The number behind `name` in the file's line that begins so; -1 if there is none.
int64_t number_in(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name)) return number(line.substr(name.size()), -1);
  return -1;
}

/// The container's limit of memory, or `otherwise` where there is none.
int64_t container_limit(int64_t otherwise) {
  for (const char* file :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
    if (const int64_t limit = number_in(file, ""); limit >= 0) return std::min(otherwise, limit);
  return otherwise;
}

/// What of the container's limit is not in use. Pages of files and what the kernel can give back
/// count as free, as in MemAvailable. At least 1, since 0 is "unknown".
int64_t container_rest(int64_t otherwise) {
  struct Files {
    const char *limit, *used, *details;
    std::array<const char*, 3> freed;
  };
  for (const Files& files : {Files{"/sys/fs/cgroup/memory.max",
                                   "/sys/fs/cgroup/memory.current",
                                   "/sys/fs/cgroup/memory.stat",
                                   {"inactive_file ", "active_file ", "slab_reclaimable "}},
                             Files{"/sys/fs/cgroup/memory/memory.limit_in_bytes",
                                   "/sys/fs/cgroup/memory/memory.usage_in_bytes",
                                   "/sys/fs/cgroup/memory/memory.stat",
                                   {"total_inactive_file ", "total_active_file ", nullptr}}}) {
    const int64_t limit = number_in(files.limit, ""), used = number_in(files.used, "");
    if (limit < 0 || used < 0) continue;
    int64_t held = used;
    for (const char* name : files.freed)
      if (name) held -= std::max<int64_t>(0, number_in(files.details, name));
    // the counts are not of one moment, and a limit that is none may be the largest number
    const int64_t rest = std::max<int64_t>(1, limit - std::max<int64_t>(0, held));
    return otherwise > 0 ? std::min(rest, otherwise) : rest;
  }
  return otherwise;
}

bool cpuid_bit(unsigned leaf, unsigned subleaf, int which, int bit) {
  unsigned registers[4] = {};
  if (!__get_cpuid_count(leaf, subleaf, &registers[0], &registers[1], &registers[2], &registers[3]))
    return false;
  return registers[which] >> bit & 1;
}

/// The bits of processor state that the operating system saves (XCR0): without them the
/// instructions exist but may not be used.
bool system_saves(uint64_t mask) {
  if (!cpuid_bit(1, 0, 2, 27)) return false;  // OSXSAVE
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t{high} << 32 | low) & mask) == mask;
}

std::vector<CpuFeature> cpu_features() {
  constexpr int kEbx = 1, kEcx = 2, kEdx = 3, kEax = 0;
  const bool wide = system_saves(0x6), wider = system_saves(0xE6), tiles = system_saves(0x60000);
  return {
      {"AVX2", wide && cpuid_bit(7, 0, kEbx, 5),
       "kernels run on 16-byte vectors, several times slower; language models in blocks are "
       "multiplied by the plain reference, on one thread"},
      {"FMA", wide && cpuid_bit(1, 0, kEcx, 12), "matrix products take twice the instructions"},
      {"F16C", wide && cpuid_bit(1, 0, kEcx, 29), "float16 is converted in software"},
      {"AVX-512", wider && cpuid_bit(7, 0, kEbx, 16), "kernels run on 32-byte vectors (AVX2)"},
      {"VNNI", (wider && cpuid_bit(7, 0, kEcx, 11)) || (wide && cpuid_bit(7, 1, kEax, 4)),
       "int8 products are computed on wider integers"},
      {"AVX-512 BF16", wider && cpuid_bit(7, 1, kEax, 5),
       "bf16 is emulated: stored in 16 bits, computed in float32"},
      {"AMX BF16", tiles && cpuid_bit(7, 0, kEdx, 22),
       "bf16 matrix products run on vectors, not tiles"},
      {"AMX INT8", tiles && cpuid_bit(7, 0, kEdx, 25),
       "int8 matrix products run on vectors, not tiles"},
  };
}

}  // namespace

int64_t available_memory_bytes() {
  return container_rest(number(value_of("/proc/meminfo", "MemAvailable"), 0) * 1024);
}

int64_t cache_bytes() {
  static const int64_t bytes = [] {
    int64_t largest = 0;  // not by sysconf, which may add up the caches of all cores
    for (int level = 0; level < 8; ++level) {
      const std::string file =
          fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/size", level);  // "32768K"
      largest = std::max(largest, number_in(file.c_str(), "") * 1024);
    }
    return largest;
  }();
  return bytes;
}

Machine this_machine() {
  Machine machine;
  machine.cpu = value_of("/proc/cpuinfo", "model name");
  if (machine.cpu.empty()) machine.cpu = "unknown CPU";
  utsname system{};
  if (uname(&system) == 0)
    machine.system = fmt::format("{} {} {}", system.sysname, system.release, system.machine);
  machine.cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t cores;
  CPU_ZERO(&cores);
  machine.usable_cores =
      sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : machine.cores;
  const int64_t total = number(value_of("/proc/meminfo", "MemTotal"), 0) * 1024;
  machine.memory_bytes = container_limit(total);
  machine.available_bytes = available_memory_bytes();
  machine.features = cpu_features();
  return machine;
}

}  // namespace argosy
