#include "base/threads.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer cannot see libgomp's barriers, so its build uses plain threads.
#include <thread>
#include <vector>
#endif

namespace argosy {
namespace {

int default_count() {
  if (const char* text = std::getenv("ARGOSY_THREADS"))
    if (const int count = std::atoi(text); count > 0) return count;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

int& count_ref() {
  static int count = [] {
    const int n = default_count();
    omp_set_num_threads(n);
    return n;
  }();
  return count;
}

}  // namespace

int thread_count() { return count_ref(); }

void set_thread_count(int count) {
  count_ref() = std::max(1, count);
  omp_set_num_threads(count_ref());
}

void restart_without_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  std::error_code failed;
  // by its own path, so that it keeps its name in lists of processes
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed || setenv("GOMP_SPINCOUNT", "1000", 1) != 0) return;
  execv(program.c_str(), argv);  // comes back only if it cannot: then threads spin
}

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t parts = std::clamp<int64_t>(n / std::max<int64_t>(1, grain), 1, thread_count());
  if (parts == 1) {
    body(0, n);
    return;
  }
  const auto run = [&](int64_t part) { body(n * part / parts, n * (part + 1) / parts); };
#if defined(__SANITIZE_THREAD__)
  std::vector<std::jthread> threads;
  for (int64_t part = 1; part < parts; ++part) threads.emplace_back([&run, part] { run(part); });
  run(0);
#else
#pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(parts))
  for (int64_t part = 0; part < parts; ++part) run(part);
#endif
}

}  // namespace argosy
