#pragma once
#include <cstdint>
#include <functional>
#include <type_traits>

namespace argosy {

/// How many threads compute: --threads, else ARGOSY_THREADS, else the cores this process may use.
int thread_count();
void set_thread_count(int count);

/// Runs body(begin, end) over [0, n) cut into one contiguous part per thread, `grain` items at
/// least each. The cut depends on n, grain and thread_count() alone, so results do not depend on
/// timing. What a part has stored past the caches is seen by all when this returns. The same
/// threads serve oneDNN (thread_pool.h). Inside a body it runs on the body's thread; an exception
/// in body is a Bug.
void parallel_for(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

/// The same for any callable, by reference, so that no memory is allocated for what it captures.
template <typename Body>
  requires(!std::is_same_v<Body, std::function<void(int64_t, int64_t)>>)
void parallel_for(int64_t n, int64_t grain, const Body& body) {
  parallel_for(n, grain, std::function<void(int64_t, int64_t)>(std::cref(body)));
}

/// Runs body(i) for every i in [0, n) on thread_count() threads, each of which takes the next task
/// when it is done and computes alone: what runs in parallel elsewhere runs on its one thread here,
/// so a task's result does not depend on how many there are. `meanwhile` is called on the calling
/// thread a few times a second, e.g. to draw progress. After an exception no task begins; that of
/// the first task that had one is thrown.
void parallel_tasks(int64_t n, const std::function<void(int64_t)>& body,
                    const std::function<void()>& meanwhile = {});

}  // namespace argosy
