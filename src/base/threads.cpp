#include "base/threads.h"

#include <sched.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

namespace argosy {
namespace {

constexpr int kMost = 1024;  // as --threads

int read_count(std::string_view text) {
  int count = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || stop != end || count < 1 || count > kMost)
    throw Error({.what = fmt::format("\"{}\" is no number of threads", text.substr(0, 50)),
                 .where = "ARGOSY_THREADS",
                 .fix = fmt::format("give a number from 1 to {}, or unset it", kMost)});
  return count;
}

}  // namespace

int default_thread_count() {
  if (const char* text = std::getenv("ARGOSY_THREADS")) return read_count(text);
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

namespace {

std::atomic<int> set_count = 0;  // 0: not set

thread_local bool alone = false;  // this thread runs one of several tasks

/// Stores that go past the caches are seen in order by other threads only behind this.
void finish_streaming_stores() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace

int thread_count() {
  if (alone) return 1;
  if (const int count = set_count.load(std::memory_order_relaxed); count > 0) return count;
  static const int count = default_thread_count();
  return count;
}

void set_thread_count(int count) { set_count = std::max(1, count); }

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
  try {
    for (int t = 0; t < threads; ++t) workers.emplace_back(work);
  } catch (const std::system_error& failed) {
    next = n;  // no further task begins
    workers.clear();
    throw no_thread(threads, failed);
  }
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
