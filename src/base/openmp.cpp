// What oneDNN asks of OpenMP (as GCC compiles `#pragma omp parallel`, see its libgomp manual,
// "Implementing ... construct"), answered by the one pool of threads. A program's own functions
// come before those of libgomp, which is loaded with oneDNN and has no threads here.
// cmake/dependencies.cmake fails if oneDNN calls others than these.
#include <algorithm>

#include "base/thread_pool.h"
#include "base/threads.h"

namespace {

using argosy::Team;
using argosy::ThreadPool;

/// The part of a loop that the calling thread has left.
struct Loop {
  long next = 0, end = 0, step = 1, chunk = 0, stride = 0;
};
thread_local Loop loop;

/// The next piece [*begin, *end) of the calling thread; false if there is none.
bool take(long* begin, long* end) {
  const bool up = loop.step > 0;
  if (up ? loop.next >= loop.end : loop.next <= loop.end) return false;
  *begin = loop.next;
  *end = loop.next + loop.chunk * loop.step;
  *end = up ? std::min(*end, loop.end) : std::max(*end, loop.end);
  loop.next += loop.stride * loop.step;
  return true;
}

/// Regions that the calling thread goes through alone: they ask for no more threads, or stand in
/// another region.
thread_local int alone = 0;

}  // namespace

extern "C" {

int omp_get_max_threads() { return Team::own().inside ? 1 : argosy::thread_count(); }
int omp_get_num_threads() { return alone > 0 ? 1 : Team::own().threads; }
int omp_get_thread_num() { return alone > 0 ? 0 : Team::own().index; }
int omp_in_parallel() { return Team::own().inside; }

void GOMP_parallel_start(void (*body)(void*), void* data, unsigned threads) {
  if (threads == 0) threads = static_cast<unsigned>(argosy::thread_count());
  if (Team::own().inside || alone > 0 || threads == 1)
    ++alone;
  else
    ThreadPool::instance().begin(static_cast<int>(threads), body, data);
}
void GOMP_parallel_end() {
  if (alone > 0)
    --alone;
  else
    ThreadPool::instance().end();
}
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned) {
  GOMP_parallel_start(body, data, threads);
  body(data);
  GOMP_parallel_end();
}
void GOMP_barrier() {
  if (alone == 0) ThreadPool::instance().meet();
}

bool GOMP_loop_static_start(long begin, long end, long step, long chunk, long* first, long* last) {
  const long threads = omp_get_num_threads(), index = omp_get_thread_num();
  const long count = std::max(0L, (end - begin + step - (step > 0 ? 1 : -1)) / step);
  if (chunk > 0) {  // pieces in turn
    loop = {begin + index * chunk * step, end, step, chunk, threads * chunk};
    return take(first, last);
  }
  // one piece each, the first threads take one more
  const long each = count / threads, more = count % threads;
  const long mine = index * each + std::min(index, more), size = each + (index < more ? 1 : 0);
  loop = {begin + mine * step, begin + (mine + size) * step, step, size, size};
  return take(first, last);
}
bool GOMP_loop_static_next(long* first, long* last) { return take(first, last); }
void GOMP_loop_end_nowait() {}
}
