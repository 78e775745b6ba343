#include "engine/session.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>

#include "backend/cpu/backend.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/random.h"
#include "base/threads.h"
#include "compile/memory_report.h"
#include "ir/op.h"

namespace argosy {
namespace {

/// Zeroed memory for tensors, aligned to cache lines (and so to vectors). Large memory is the
/// kernel's zero pages, each taken when it is first written, 2 MB at a time where the system can:
/// by the threads that compute there, and not at all if a program never gets there. The last
/// `gradual` bytes are taken in small pages, since little of them may be needed.
class Memory {
 public:
  explicit Memory(size_t bytes, size_t gradual = 0) {
    constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;
    const size_t alignment = bytes < kHugePage ? kLine : kHugePage;
    size_t room = bytes + alignment + kLine;
    allocated_.reset(std::calloc(room, 1));
    if (!allocated_) throw std::bad_alloc();
    void* place = allocated_.get();
    data_ = static_cast<std::byte*>(std::align(alignment, bytes + 1, place, room));
    if (alignment != kHugePage) return;
    const size_t whole = (bytes - gradual) / kHugePage * kHugePage;
    madvise(data_, gradual > 0 ? whole : bytes, MADV_HUGEPAGE);  // works without, slower
    if (gradual > 0) madvise(data_ + whole, bytes - whole, MADV_NOHUGEPAGE);
  }
  std::byte* data() const { return data_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> allocated_;
  std::byte* data_;
};

/// A call with everything found: pointers, types, the kernel.
struct ReadyCall {
  std::vector<const std::byte*> in;
  std::vector<std::byte*> out;
  std::vector<Type> in_types, out_types;
  cpu::Kernel kernel;
  std::byte* workspace = nullptr;
  const Call* call = nullptr;

  void run() {
    KernelArgs arguments{.op = *call->op,
                         .attributes = call->attributes,
                         .in_types = in_types,
                         .out_types = out_types,
                         .in_bytes = in,
                         .out_bytes = out,
                         .workspace = workspace};
    kernel.run(arguments);
  }
};

/// That an op's plain reference runs, where that is work enough to be felt: once for each op.
void say_once(const ReadyCall& ready) {
  constexpr double kFelt = 1e6;  // operations and bytes
  if (ready.call->flops + ready.call->bytes < kFelt) return;
  static std::mutex mutex;
  static std::set<const OpDef*> said;
  const std::scoped_lock lock(mutex);
  if (said.insert(ready.call->op).second)
    log::info("{}({}) -> {} has no kernel here: its plain reference runs, slowly, on one thread",
              ready.call->op->name, fmt::join(ready.in_types, ", "),
              fmt::join(ready.out_types, ", "));
}

struct Compiled {
  Program program;
  std::vector<PassTime> pass_times;
  std::vector<ReadyCall> calls;  ///< without pointers
};

Compiled compiled(Graph graph, PassOptions passes) {
  Compiled c;
  passes.memory.workspace = [](const Node& node, Types in) {
    return cpu::make_kernel({*node.op, node.attributes, in, node.outputs}).workspace_bytes;
  };
  c.pass_times = run_passes(graph, passes);
  c.program = lower(graph);
  for (Call& call : c.program.calls) {
    ReadyCall ready;
    ready.in_types = c.program.types(call.inputs);
    ready.out_types = c.program.types(call.outputs);
    ready.kernel = cpu::make_kernel({*call.op, call.attributes, ready.in_types, ready.out_types});
    call.workspace_bytes = ready.kernel.workspace_bytes;
    c.calls.push_back(std::move(ready));
  }
  plan_memory(c.program);
  return c;
}

}  // namespace

Program compile(Graph graph, const PassOptions& passes) {
  return compiled(std::move(graph), passes).program;
}

struct Session::State : Compiled {
  size_t memory_limit_bytes = 0;
  std::unique_ptr<Memory> input, constant, arena;
  std::shared_ptr<Memory> state;
  bool profiling = false;
  std::vector<CallTime> times;

  std::byte* address(int32_t buffer) const {
    const Buffer& b = program.buffers[static_cast<size_t>(buffer)];
    switch (b.region) {
      case Region::input:
        return input->data() + b.offset;
      case Region::state:
        return state->data() + b.offset;
      case Region::constant:
        return constant->data() + b.offset;
      case Region::arena:
        break;
    }
    return arena->data() + b.offset;
  }

  TensorView view(const std::string& name, int32_t buffer) const {
    const Type& type = program.buffers[static_cast<size_t>(buffer)].type;
    return {name, type, {address(buffer), type.bytes()}};
  }

  /// Each variable by one thread, the threads with about as many elements each.
  void initialize(uint64_t seed) const {
    constexpr int64_t kGrain = 1 << 14;  // elements that pay for a thread
    int64_t elements = 0;
    for (const StateBuffer& variable : program.state) {
      const Type& type = program.buffers[static_cast<size_t>(variable.buffer)].type;
      check(!variable.initialize || type.dtype == DType::f32,
            "{}: only f32 state has an initialiser", variable.name);
      if (variable.initialize) elements += std::max<int64_t>(1, type.elements());
    }
    parallel_for(elements, kGrain, [&](int64_t begin, int64_t end) {
      int64_t first = 0;
      for (const StateBuffer& variable : program.state) {
        if (!variable.initialize) continue;
        const TensorView values = view(variable.name, variable.buffer);
        if (first >= begin && first < end)
          variable.initialize(mix(seed, hash_of(variable.seeded_as)), values.as());
        first += std::max<int64_t>(1, values.type.elements());
      }
    });
  }

  /// Takes the other's state for its own.
  void share(const State& other) {
    const auto variables = [](const State& s) {
      std::vector<std::pair<std::string, Type>> list;
      for (const StateBuffer& variable : s.program.state)
        list.emplace_back(variable.name,
                          s.program.buffers[static_cast<size_t>(variable.buffer)].type);
      return list;
    };
    check(variables(*this) == variables(other), "the sessions have other variables");
    state = other.state;
  }

  template <typename List>
  TensorView find(const List& list, const std::string& name, const char* kind) const {
    for (const auto& entry : list)
      if (entry.name == name) return view(name, entry.buffer);
    check(false, "the program has no {} named {}", kind, name);
    return {};
  }
};

Session::Session(Graph graph, const CompileOptions& options) : state_(std::make_unique<State>()) {
  State& s = *state_;
  static_cast<Compiled&>(s) = compiled(std::move(graph), options.passes);
  s.memory_limit_bytes = options.passes.memory.bytes;
  const size_t shared_bytes = options.state_of ? s.program.state_bytes : 0;
  require_memory(s.program, options.passes.memory.bytes,
                 static_cast<size_t>(available_memory_bytes()) + shared_bytes);
  s.input = std::make_unique<Memory>(s.program.input_bytes);
  if (options.state_of)
    s.share(*options.state_of->state_);
  else
    s.state = std::make_shared<Memory>(s.program.state_bytes, s.program.gradual_bytes);
  s.constant = std::make_unique<Memory>(s.program.constants.size());
  s.arena = std::make_unique<Memory>(s.program.arena_bytes);
  std::copy(s.program.constants.begin(), s.program.constants.end(), s.constant->data());
  for (size_t i = 0; i < s.calls.size(); ++i) {
    ReadyCall& ready = s.calls[i];
    const Call& call = s.program.calls[i];
    ready.call = &call;
    for (const int32_t buffer : call.inputs) ready.in.push_back(s.address(buffer));
    for (const int32_t buffer : call.outputs) ready.out.push_back(s.address(buffer));
    ready.workspace = s.arena->data() + call.workspace_offset;
  }
  if (!options.state_of) s.initialize(options.seed);
  s.times.resize(s.calls.size());
  for (const ReadyCall& ready : s.calls)
    if (ready.kernel.reference) say_once(ready);
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

void Session::run() {
  if (!state_->profiling) {
    for (ReadyCall& call : state_->calls) call.run();
    return;
  }
  for (size_t i = 0; i < state_->calls.size(); ++i) {
    const auto start = std::chrono::steady_clock::now();
    state_->calls[i].run();
    state_->times[i].seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++state_->times[i].runs;
  }
}

TensorView Session::input(const std::string& name) const {
  return state_->find(state_->program.inputs, name, "input");
}
TensorView Session::output(const std::string& name) const {
  return state_->find(state_->program.outputs, name, "output");
}
TensorView Session::state(const std::string& name) const {
  return state_->find(state_->program.state, name, "state");
}

bool Session::has_state(const std::string& name) const {
  return std::any_of(state_->program.state.begin(), state_->program.state.end(),
                     [&](const StateBuffer& entry) { return entry.name == name; });
}

std::vector<TensorView> Session::state() const {
  std::vector<TensorView> views;
  for (const StateBuffer& entry : state_->program.state)
    if (entry.kept) views.push_back(state_->view(entry.name, entry.buffer));
  std::sort(views.begin(), views.end(),
            [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  return views;
}

const Program& Session::program() const { return state_->program; }

size_t Session::memory_limit_bytes() const { return state_->memory_limit_bytes; }

std::vector<std::string> Session::reference_ops() const {
  std::set<std::string> names;
  for (const ReadyCall& call : state_->calls)
    if (call.kernel.reference) names.insert(std::string(call.call->op->name));
  return {names.begin(), names.end()};
}

std::span<const PassTime> Session::pass_times() const { return state_->pass_times; }

void Session::set_profiling(bool on) {
  state_->profiling = on;
  std::fill(state_->times.begin(), state_->times.end(), CallTime{});
}

std::span<const CallTime> Session::call_times() const { return state_->times; }

}  // namespace argosy
