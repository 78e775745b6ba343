#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compile/pipeline.h"
#include "compile/program.h"
#include "ir/graph.h"

namespace argosy {

class Session;

struct CompileOptions {
  PassOptions passes;
  uint64_t seed = 0;  ///< for the initial values of the state
  /// The session works on that one's state, which it keeps alive: the same model for other sizes of
  /// inputs. Both must have the same variables in the same order.
  const Session* state_of = nullptr;
};

/// The graph as a program for this machine's CPU: calls, work, sizes and places of everything, with
/// no memory taken for it. It may need more than this machine has.
Program compile(Graph graph, const PassOptions& passes = {});

/// A named piece of a program's memory.
struct TensorView {
  std::string name;
  Type type;
  std::span<std::byte> bytes;
  template <typename T = float>
  std::span<T> as() const {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

/// What one call of the program took, summed over the profiled runs.
struct CallTime {
  double seconds = 0;
  int64_t runs = 0;
};

/// A graph compiled for this machine's CPU, with its memory. run() executes the whole program once;
/// after the first time it allocates nothing.
/// threads  one at a time
class Session {
 public:
  explicit Session(Graph graph, const CompileOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  void run();

  /// Fed before run(). throws Bug for an unknown name, as do output() and state().
  TensorView input(const std::string& name) const;
  /// Read after run(); holds until the next one.
  TensorView output(const std::string& name) const;
  /// Kept between runs: parameters, optimizer state, statistics. Sorted by name;
  /// without what means nothing between steps (Variable::kept).
  std::vector<TensorView> state() const;
  TensorView state(const std::string& name) const;
  bool has_state(const std::string& name) const;

  const Program& program() const;
  size_t memory_limit_bytes() const;  ///< as it was asked for; 0: none
  /// Calls that run an op's plain reference for want of a kernel.
  std::vector<std::string> reference_ops() const;
  std::span<const PassTime> pass_times() const;

  void set_profiling(bool on);
  std::span<const CallTime> call_times() const;  ///< by call, while profiling

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy
