#include "base/threads.h"

#include <sched.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "base/thread_pool.h"

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
  static int count = default_count();
  return count;
}

thread_local bool alone = false;  // this thread runs one of several tasks

/// Stores that go past the caches are seen in order by other threads only behind this.
void finish_streaming_stores() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace

int thread_count() { return alone ? 1 : count_ref(); }

void set_thread_count(int count) { count_ref() = std::max(1, count); }

void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t parts = std::clamp<int64_t>(n / std::max<int64_t>(1, grain), 1, thread_count());
  const auto run = [&](int64_t part) {
    body(n * part / parts, n * (part + 1) / parts);
    finish_streaming_stores();
  };
  if (parts == 1 || Team::own().inside) {
    for (int64_t part = 0; part < parts; ++part) run(part);
    return;
  }
  ThreadPool::instance().run(
      static_cast<int>(parts),
      [](void* data) noexcept { (*static_cast<decltype(run)*>(data))(Team::own().index); },
      const_cast<void*>(static_cast<const void*>(&run)));
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
