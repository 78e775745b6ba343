#include "base/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace argosy {
namespace {

using Clock = std::chrono::steady_clock;

/// A wait that is longer is better slept through. To fall asleep and be woken costs about as much.
constexpr auto kLong = std::chrono::microseconds(100), kAtOnce = std::chrono::microseconds(2);
/// One long wait in so many is an accident.
constexpr int kRare = 16, kMostDoubt = 4 * kRare;

void breathe() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

void Patience::wait(const std::atomic<uint32_t>& number, uint32_t old) {
  if (number.load(std::memory_order_acquire) != old) return;
  const Clock::time_point begin = Clock::now();
  const auto limit = doubt_ > kRare ? kAtOnce : kLong;
  do {
    for (int i = 0; i < 16 && number.load(std::memory_order_relaxed) == old; ++i) breathe();
    if (Clock::now() - begin > limit) number.wait(old, std::memory_order_acquire);
  } while (number.load(std::memory_order_acquire) == old);
  const bool was_long = Clock::now() - begin > kLong;
  doubt_ = was_long ? std::min(doubt_ + kRare, kMostDoubt) : std::max(doubt_ - 1, 0);
}

Team& Team::own() {
  static thread_local Team team;
  return team;
}

Error no_thread(int wanted, const std::system_error& failed) {
  return Error({.what = fmt::format("the system does not start {} threads ({})", wanted,
                                    failed.code().message()),
                .where = "--threads",
                .fix = "give a smaller number, or raise the limit of processes (ulimit -u, or "
                       "pids.max of the container)",
                .kind = ErrorKind::device});
}

struct alignas(64) ThreadPool::Worker {
  std::atomic<uint32_t> calls = 0;  ///< odd: called, and nobody has taken this call
  int threads = 0, index = 0;

  /// Whether the calling thread is the one to run the body for the call, if there is any.
  bool take_call() {
    uint32_t number = calls.load(std::memory_order_relaxed);
    return number % 2 == 1 &&
           calls.compare_exchange_strong(number, number + 1, std::memory_order_acq_rel);
  }
};

ThreadPool& ThreadPool::instance() {
  static ThreadPool& pool = *new ThreadPool;  // its threads wait until the process ends
  return pool;
}

void ThreadPool::work(Worker& worker) {
  Team& team = Team::own();
  for (;;) {
    if (!worker.take_call()) {
      const uint32_t number = worker.calls.load(std::memory_order_acquire);
      if (number % 2 == 0) team.patience.wait(worker.calls, number);
      continue;
    }
    team.threads = worker.threads, team.index = worker.index, team.inside = true;
    body_(data_);
    team.inside = false;
    if (working_.fetch_sub(1, std::memory_order_acq_rel) == 1) working_.notify_one();
  }
}

void ThreadPool::begin(int threads, Body body, void* data) {
  Team& team = Team::own();
  std::unique_lock turn(turn_);
  workers_.reserve(static_cast<size_t>(threads));
  while (static_cast<int>(workers_.size()) < threads - 1) {
    auto worker = std::make_unique<Worker>();
    try {
      std::thread([this, &w = *worker] { work(w); }).detach();
    } catch (const std::system_error& failed) {
      throw no_thread(threads, failed);
    }
    workers_.push_back(std::move(worker));
  }
  turn.release();  // until end()
  team.threads = threads, team.index = 0, team.inside = true;
  body_ = body, data_ = data;
  working_.store(static_cast<uint32_t>(threads - 1), std::memory_order_relaxed);
  for (int i = 1; i < threads; ++i) {
    Worker& worker = *workers_[static_cast<size_t>(i - 1)];
    worker.threads = threads, worker.index = i;
    worker.calls.fetch_add(1, std::memory_order_release);
    worker.calls.notify_one();
  }
}

void ThreadPool::end() {
  Team& team = Team::own();
  for (int i = team.threads - 1; i > 0; --i) {  // who was called last
    if (!workers_[static_cast<size_t>(i - 1)]->take_call()) continue;
    team.index = i;
    body_(data_);
    working_.fetch_sub(1, std::memory_order_relaxed);
  }
  team.index = 0;
  for (uint32_t left; (left = working_.load(std::memory_order_acquire)) > 0;)
    team.patience.wait(working_, left);
  team.threads = 1, team.inside = false;
  turn_.unlock();
}

void ThreadPool::run(int threads, Body body, void* data) {
  begin(threads, body, data);
  body(data);
  end();
}

void ThreadPool::meet() {
  Team& team = Team::own();
  const uint32_t number = meeting_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(team.threads)) {
    arrived_.store(0, std::memory_order_relaxed);
    meeting_.store(number + 1, std::memory_order_release);
    meeting_.notify_all();
    return;
  }
  team.patience.wait(meeting_, number);
}

}  // namespace argosy
