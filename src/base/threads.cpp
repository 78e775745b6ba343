#include "base/threads.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

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

thread_local bool alone = false;  // this thread runs one of several tasks

}  // namespace

int thread_count() { return alone ? 1 : count_ref(); }

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
  // ThreadSanitizer cannot see libgomp's barriers, so its build uses plain threads
  std::vector<std::jthread> threads;
  for (int64_t part = 1; part < parts; ++part) threads.emplace_back([&run, part] { run(part); });
  run(0);
#else
#pragma omp parallel for schedule(static, 1) num_threads(static_cast<int>(parts))
  for (int64_t part = 0; part < parts; ++part) run(part);
#endif
}

void parallel_tasks(int64_t n, const std::function<void(int64_t)>& body,
                    const std::function<void()>& meanwhile) {
  std::mutex mutex;
  std::condition_variable ended;
  std::atomic<int64_t> next = 0;
  int64_t failed = std::numeric_limits<int64_t>::max();
  std::exception_ptr failure;
  const auto threads = static_cast<int>(std::min<int64_t>(n, thread_count()));
  int working = threads;
  const auto work = [&] {
    alone = true;
    omp_set_num_threads(1);  // of this thread, for the libraries that ask OpenMP
    for (int64_t i = next++; i < n; i = next++) {
      try {
        body(i);
      } catch (...) {
        next = n;
        const std::scoped_lock lock(mutex);
        if (i < failed) {
          failed = i;
          failure = std::current_exception();
        }
      }
    }
    const std::scoped_lock lock(mutex);
    --working;
    ended.notify_all();
  };
  std::vector<std::jthread> workers;
  for (int t = 0; t < threads; ++t) workers.emplace_back(work);
  for (std::unique_lock lock(mutex); working > 0;) {
    ended.wait_for(lock, std::chrono::milliseconds(200));
    if (!meanwhile) continue;
    lock.unlock();
    meanwhile();
    lock.lock();
  }
  workers.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace argosy
