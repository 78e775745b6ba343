#include "base/threads.h"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

using namespace argosy;

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
