#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace argosy {

class Error;

/// Waits for another thread: awake as long as waits are short, since to be woken takes longer than
/// most of them; asleep as soon as several were long, since then something else runs on this
/// machine and needs the core, perhaps the very thread that is waited for.
class Patience {
 public:
  /// Until `number` is not `old`. Who changes it must notify.
  void wait(const std::atomic<uint32_t>& number, uint32_t old);

 private:
  int doubt_ = 0;  ///< grows with each long wait, falls with each short one
};

/// The threads of parallel_for and, by way of OpenMP's calls (openmp.cpp), of oneDNN. They are made
/// when they are first needed and wait for work until the process ends.
class ThreadPool {
 public:
  using Body = void (*)(void* data);

  static ThreadPool& instance();

  /// Runs body(data) on `threads` threads at once, this one among them, each of which knows which
  /// it is (Team). One team works at a time: another caller waits for its turn, and the threads of
  /// a team may not call this. Throws Error where the system starts no more threads.
  void run(int threads, Body body, void* data);

  /// The two halves of run(): begin() calls the others to work, and the caller, who is thread 0 of
  /// the team from then on, runs the body itself before end(). There it also runs the body in place
  /// of each thread that has not come yet: on a busy machine that can take milliseconds. A thread
  /// that came waits for no one but such as came or are still called, so they may meet().
  void begin(int threads, Body body, void* data);
  void end();

  /// For the threads of a team: none goes on before all have come here.
  void meet();

 private:
  struct Worker;
  void work(Worker& worker);

  std::mutex turn_;  ///< of the callers
  std::vector<std::unique_ptr<Worker>> workers_;
  Body body_ = nullptr;
  void* data_ = nullptr;
  std::atomic<uint32_t> working_ = 0;                ///< workers that are not done
  std::atomic<uint32_t> arrived_ = 0, meeting_ = 0;  ///< threads that wait in meet(); its number
};

/// ARGOSY_THREADS, else the cores that this process may use. Throws Error for what is no number of
/// threads.
int default_thread_count();

/// What is thrown where the system starts no more threads: `failed` says why.
Error no_thread(int wanted, const std::system_error& failed);

/// Where the calling thread stands.
struct Team {
  int threads = 1, index = 0;
  bool inside = false;  ///< a team works, this thread among them
  Patience patience;

  static Team& own();
};

}  // namespace argosy
