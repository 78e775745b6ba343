#include "base/threads.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

using namespace argosy;

// OpenMP's calls as a compiler makes them (base/openmp.cpp).
extern "C" {
int omp_get_max_threads();
int omp_get_num_threads();
int omp_get_thread_num();
int omp_in_parallel();
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
bool GOMP_loop_static_start(long begin, long end, long step, long chunk, long* first, long* last);
bool GOMP_loop_static_next(long* first, long* last);
}

namespace {
/// Sets the number of threads for a while.
struct Threads {
  int before = thread_count();
  explicit Threads(int count) { set_thread_count(count); }
  ~Threads() { set_thread_count(before); }
};
}  // namespace

TEST_CASE("threads: every task runs once, and computes alone") {
  for (const int count : {1, 3, 8}) {
    const Threads threads(count);
    std::vector<int> runs(20), parts(20);
    parallel_tasks(20, [&](int64_t task) {
      const auto i = static_cast<size_t>(task);
      ++runs[i];
      parallel_for(100, 1, [&](int64_t, int64_t) { ++parts[i]; });
    });
    CHECK(runs == std::vector<int>(20, 1));
    CHECK(parts == std::vector<int>(20, 1));
    CHECK(thread_count() == count);
  }
}

TEST_CASE("threads: the exception of the first failed task comes out, and no further task begins") {
  const Threads threads(1);
  int runs = 0;
  CHECK_THROWS_WITH(parallel_tasks(9,
                                   [&](int64_t i) {
                                     ++runs;
                                     if (i >= 2) throw std::runtime_error(std::to_string(i));
                                   }),
                    "2");
  CHECK(runs == 3);
  CHECK_NOTHROW(parallel_tasks(0, [](int64_t) { throw std::runtime_error("none"); }));
}

TEST_CASE("threads: the caller is called while tasks run") {
  const Threads threads(2);
  std::atomic<bool> called = false;
  parallel_tasks(
      2, [&](int64_t) { called.wait(false); },
      [&] {
        called = true;
        called.notify_all();
      });
  CHECK(called);
}

TEST_CASE("threads: every part of a loop runs once, whoever else computes") {
  const Threads threads(4);
  const auto loops = [] {
    for (int round = 0; round < 200; ++round) {
      std::vector<int> runs(37);
      parallel_for(37, 1 + round % 12, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++runs[static_cast<size_t>(i)];
      });
      if (runs != std::vector<int>(37, 1)) return false;
    }
    return true;
  };
  std::atomic<int> right = 0;
  std::vector<std::jthread> callers;
  for (int i = 0; i < 3; ++i) callers.emplace_back([&] { right += loops(); });
  callers.clear();
  CHECK(right == 3);
}

TEST_CASE("threads: a loop within a loop runs on the thread that comes to it, cut as ever") {
  const Threads threads(3);
  std::vector<std::vector<int64_t>> cuts(3);
  parallel_for(3, 1, [&](int64_t begin, int64_t) {
    parallel_for(
        10, 1, [&](int64_t inner, int64_t) { cuts[static_cast<size_t>(begin)].push_back(inner); });
  });
  CHECK(cuts == std::vector<std::vector<int64_t>>(3, {0, 3, 6}));
}

TEST_CASE("threads: ARGOSY_THREADS is a number from 1 to 1024, or an error that says so") {
  const char* before = std::getenv("ARGOSY_THREADS");
  const std::string kept = before ? before : "";
  for (const char* text : {"two", "0", "-1", "100000", "", "3 ", "2.5", "99999999999"}) {
    setenv("ARGOSY_THREADS", text, 1);
    CHECK_THROWS_WITH(
        default_thread_count(),
        fmt::format("ARGOSY_THREADS: \"{}\" is no number of threads; give a number from 1 to 1024, "
                    "or unset it",
                    text)
            .c_str());
  }
  setenv("ARGOSY_THREADS", "1024", 1);
  CHECK(default_thread_count() == 1024);
  unsetenv("ARGOSY_THREADS");
  CHECK(default_thread_count() >= 1);
  if (before) setenv("ARGOSY_THREADS", kept.c_str(), 1);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need address space
TEST_CASE("threads: where the system starts no more, an error says so and the rest go on") {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit;
  REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
  const rlim_t most = limit.rlim_cur;
  limit.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + (rlim_t{40} << 20);
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);  // stacks of few threads
  const auto message = [](const std::function<void()>& run) -> std::string {
    try {
      run();
    } catch (const Error& error) {
      return fmt::format("{} {}", error.exit_code(), error.what());
    }
    return "";
  };
  std::string loop, tasks;
  {
    const Threads threads(200);
    loop = message([] { parallel_for(200, 1, [](int64_t, int64_t) {}); });
    tasks = message([] { parallel_tasks(200, [](int64_t) {}); });
  }
  limit.rlim_cur = most;
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
  for (const std::string& text : {loop, tasks})
    CHECK(text.starts_with("4 --threads: the system does not start 200 threads ("));
  const Threads threads(3);
  std::atomic<int> parts = 0;
  parallel_for(3, 1, [&](int64_t, int64_t) { ++parts; });
  CHECK(parts == 3);
}
#endif

namespace {
/// What the threads of a region saw.
struct Region {
  std::mutex mutex;
  std::vector<int> numbers, teams, covered = std::vector<int>(100);
  std::atomic<int> before = 0;
  bool all_met = true, alone_inside = true;
  long begin = 0, end = 100, step = 1, chunk = 0;

  static void body(void* data) {
    Region& r = *static_cast<Region*>(data);
    ++r.before;
    GOMP_barrier();
    const bool met = r.before == omp_get_num_threads();
    GOMP_barrier();
    bool alone = omp_in_parallel() == 1;
    GOMP_parallel(
        [](void* inner) {
          *static_cast<bool*>(inner) &= omp_get_num_threads() == 1 && omp_get_thread_num() == 0;
        },
        &alone, 4, 0);
    const std::scoped_lock lock(r.mutex);
    r.numbers.push_back(omp_get_thread_num());
    r.teams.push_back(omp_get_num_threads());
    r.all_met &= met;
    r.alone_inside &= alone;
    long first = 0, last = 0;
    if (GOMP_loop_static_start(r.begin, r.end, r.step, r.chunk, &first, &last)) do
        for (long i = first; r.step > 0 ? i < last : i > last; i += r.step)
          ++r.covered[static_cast<size_t>(i)];
      while (GOMP_loop_static_next(&first, &last));
  }
};
}  // namespace

TEST_CASE("threads: a region of OpenMP has the threads it asks for, which meet and share loops") {
  const Threads threads(2);
  CHECK(omp_get_max_threads() == 2);
  CHECK(omp_in_parallel() == 0);
  for (const unsigned wanted : {0u, 1u, 3u, 5u})
    for (const auto& [begin, end, step, chunk] :
         {std::tuple(0L, 100L, 1L, 0L), {3L, 98L, 4L, 3L}, {90L, 5L, -7L, 0L}, {7L, 7L, 1L, 2L}}) {
      Region region;
      region.begin = begin, region.end = end, region.step = step, region.chunk = chunk;
      GOMP_parallel(Region::body, &region, wanted, 0);
      const int team = wanted == 0 ? 2 : static_cast<int>(wanted);
      CHECK(region.teams == std::vector<int>(static_cast<size_t>(team), team));
      std::ranges::sort(region.numbers);
      for (int i = 0; i < team; ++i) CHECK(region.numbers[static_cast<size_t>(i)] == i);
      CHECK(region.all_met);
      CHECK(region.alone_inside == (team > 1));  // a region of one is none
      std::vector<int> expected(100);
      for (long i = begin; step > 0 ? i < end : i > end; i += step)
        expected[static_cast<size_t>(i)] = 1;
      CHECK(region.covered == expected);
    }
}

namespace {
std::atomic<bool> held = false, holding = false;
}  // namespace

TEST_CASE("threads: a loop does not wait for a thread that the system does not run") {
  const Threads threads(2);
  static std::atomic<pthread_t> worker;
  GOMP_parallel(
      [](void*) {
        if (omp_get_thread_num() == 1) worker = pthread_self();
        GOMP_barrier();
      },
      nullptr, 2, 0);
  const auto before = std::signal(SIGUSR1, [](int) {
    holding = true;
    while (held) usleep(100);
    holding = false;
  });
  held = true;
  REQUIRE(pthread_kill(worker, SIGUSR1) == 0);
  while (!holding) usleep(100);
  const std::jthread rescue([] {
    for (int i = 0; i < 10'000 && held; ++i) usleep(1'000);
    held = false;  // so that a failure ends, too
  });
  std::vector<std::pair<int64_t, int64_t>> cuts;
  for (int round = 0; round < 3; ++round)
    parallel_for(10, 1, [&](int64_t begin, int64_t end) { cuts.emplace_back(begin, end); });
  CHECK(held);
  held = false;
  while (holding) usleep(100);
  std::signal(SIGUSR1, before);
  CHECK(cuts == std::vector<std::pair<int64_t, int64_t>>{
                    {0, 5}, {5, 10}, {0, 5}, {5, 10}, {0, 5}, {5, 10}});
  std::atomic<int> parts = 0;
  parallel_for(2, 1, [&](int64_t, int64_t) { ++parts; });
  CHECK(parts == 2);
  CHECK(Team::own().index == 0);
}

TEST_CASE("threads: libraries that call OpenMP find ours") {
  for (const auto& [name, ours] :
       {std::pair("GOMP_parallel", reinterpret_cast<void*>(&GOMP_parallel)),
        {"GOMP_barrier", reinterpret_cast<void*>(&GOMP_barrier)},
        {"omp_get_thread_num", reinterpret_cast<void*>(&omp_get_thread_num)}})
    CHECK(dlsym(RTLD_DEFAULT, name) == ours);
}
