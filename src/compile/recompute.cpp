#include <algorithm>
#include <limits>
#include <optional>

#include "compile/liveness.h"
#include "compile/pipeline.h"
#include "compile/program.h"

namespace argosy {
namespace {

// An operand this many times smaller than what it gives back is kept rather than computed again.
constexpr size_t kSmallOperand = 16;
// A search that comes to compute the step so often does not end well.
constexpr double kMostWork = 4;
constexpr double kAnyPrice = std::numeric_limits<double>::max();
constexpr int kAttempts = 8;

/// Nodes to compute again before a step, so that what they give need not be kept until then.
struct Repeat {
  Order nodes;
  size_t before = 0;
  double price = 0;  ///< cost for what it gives
};

/// Adds repeats to an order, the cheapest for what it gives first, until no step keeps more than
/// `budget` bytes.
class Search {
 public:
  Search(const Liveness& liveness, size_t budget)
      : liveness_(liveness), budget_(budget), order_(liveness.order()), best_(order_) {}

  /// The order found; where the budget cannot be met, the one with the lowest peak seen.
  Order run() {
    double work = 0;
    for (const int32_t node : order_) work += liveness_.cost(node);
    double left = kMostWork * work;
    size_t best_peak = SIZE_MAX;
    for (;;) {
      look();
      const size_t peak = lives_.peak();
      if (lives_.bytes[peak] < best_peak) best_peak = lives_.bytes[peak], best_ = order_;
      if (lives_.bytes[peak] <= budget_) break;
      const std::optional<Repeat> repeat = cheapest(peak);
      if (!repeat) return best_;
      for (const int32_t node : repeat->nodes) left -= liveness_.cost(node);
      if (left < 0) return best_;
      add(*repeat);
    }
    drop_needless();
    met_ = true;
    return order_;
  }
  bool met() const { return met_; }

 private:
  void look() {
    lives_ = liveness_.of(order_);
    at_.assign(at_.size(), {});
    for (size_t step = 0; step < order_.size(); ++step) {
      const auto node = static_cast<size_t>(order_[step]);
      if (node >= at_.size()) at_.resize(node + 1);
      at_[node].push_back(step);
    }
  }

  /// Whether `bytes` more would be within the budget from one step to before another.
  bool fits(size_t begin, size_t end, size_t bytes) const {
    return std::all_of(lives_.bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                       lives_.bytes.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](size_t alive) { return alive + bytes <= budget_; });
  }

  std::optional<Repeat> cheapest(size_t peak) const {
    std::optional<Repeat> best;
    for (size_t step = 0; step < peak; ++step) {
      if (auto found = repeat_of(step, peak, best ? best->price : kAnyPrice))
        best = std::move(found);
    }
    return best;
  }

  /// What it takes so that the results of `step` need not live through `peak`, where they are not
  /// read; nothing if there is no way below `price`.
  std::optional<Repeat> repeat_of(size_t step, size_t peak, double price) const {
    const std::vector<int32_t>& readers = lives_.readers[step];
    const auto late = std::lower_bound(readers.begin(), readers.end(), static_cast<int32_t>(peak));
    if (late == readers.end() || *late == static_cast<int32_t>(peak) ||
        *late == static_cast<int32_t>(order_.size()))
      return {};
    const auto before = static_cast<size_t>(*late);
    const size_t from = late == readers.begin() ? step : static_cast<size_t>(*(late - 1));
    const int32_t node = order_[step];
    size_t saved = 0;
    for (size_t o = 0; o < liveness_.outputs(node); ++o)
      if (lives_.last[step][o] > static_cast<int32_t>(peak))
        saved += liveness_.bytes({node, static_cast<int32_t>(o)});
    // what is over the budget counts at each step that it is taken from
    const auto gain = [&] {
      double sum = 0;
      for (size_t i = from + 1; i < before; ++i)
        if (lives_.bytes[i] > budget_)
          sum += static_cast<double>(std::min(saved, lives_.bytes[i] - budget_));
      return sum;
    };
    Repeat repeat{.before = before};
    double left = price * gain();
    if (!collect(node, peak, repeat, saved, left)) return {};
    repeat.price = 0;
    for (const int32_t again : repeat.nodes) repeat.price += liveness_.cost(again);
    repeat.price /= gain();
    if (repeat.price >= price) return {};
    return repeat;
  }

  /// Adds `node` to the repeat, after those of its operands that are neither alive then nor worth
  /// keeping until then. False if nothing is saved or it costs more than `left`.
  bool collect(int32_t node, size_t peak, Repeat& repeat, size_t& saved, double& left) const {
    left -= liveness_.cost(node);
    if (left < 0) return false;
    for (const Value& value : liveness_.reads(node)) {
      if (std::find(repeat.nodes.begin(), repeat.nodes.end(), value.node) != repeat.nodes.end())
        continue;
      const std::vector<size_t>& at = at_[static_cast<size_t>(value.node)];
      const size_t made = *(std::lower_bound(at.begin(), at.end(), repeat.before) - 1);
      const auto last = static_cast<size_t>(lives_.last[made][static_cast<size_t>(value.output)]);
      if (last >= repeat.before) continue;
      const size_t bytes = liveness_.bytes(value);
      if (fits(last + 1, repeat.before, bytes)) continue;
      if (bytes * kSmallOperand <= saved) {
        if (last < peak) saved -= std::min(saved, bytes);
        continue;
      }
      if (!collect(value.node, peak, repeat, saved, left)) return false;
    }
    repeat.nodes.push_back(node);
    return saved > 0;
  }

  /// Puts the repeat in its place. A later repeat of the same node goes where keeping the earlier
  /// one's results is within the budget.
  void add(const Repeat& repeat) {
    std::vector<size_t> gone;
    for (const int32_t node : repeat.nodes) {
      const std::vector<size_t>& at = at_[static_cast<size_t>(node)];
      const auto later = std::lower_bound(at.begin(), at.end(), repeat.before);
      if (later == at.end()) continue;
      size_t bytes = 0;
      for (size_t o = 0; o < liveness_.outputs(node); ++o)
        if (!lives_.readers[*later].empty())
          bytes += liveness_.bytes({node, static_cast<int32_t>(o)});
      if (fits(repeat.before, *later, bytes)) gone.push_back(*later);
    }
    std::sort(gone.rbegin(), gone.rend());
    for (const size_t step : gone) order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(step));
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(repeat.before), repeat.nodes.begin(),
                  repeat.nodes.end());
  }

  /// Takes out repeats that later ones made needless, the dearest first.
  void drop_needless() {
    Order repeats;
    for (size_t node = 0; node < at_.size(); ++node)
      for (size_t i = 1; i < at_[node].size(); ++i) repeats.push_back(static_cast<int32_t>(node));
    std::stable_sort(repeats.begin(), repeats.end(),
                     [&](int32_t a, int32_t b) { return liveness_.cost(a) > liveness_.cost(b); });
    for (const int32_t node : repeats) {
      const std::vector<size_t> at = at_[static_cast<size_t>(node)];
      for (size_t i = at.size(); i-- > 1;) {
        const Order before = order_;
        order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(at[i]));
        look();
        if (lives_.bytes[lives_.peak()] <= budget_) break;
        order_ = before;
      }
      look();
    }
  }

  const Liveness& liveness_;
  const size_t budget_;
  bool met_ = false;
  Order order_, best_;
  Liveness::Lives lives_;
  std::vector<std::vector<size_t>> at_;  ///< by node: the steps at which it stands
};

/// The graph's program as it will be, with its places in memory.
Program planned(const Graph& graph, const WorkspaceOf& workspace) {
  Program program = lower(graph);
  if (workspace)
    for (Call& call : program.calls) {
      const Node node{
          .op = call.op, .attributes = call.attributes, .outputs = program.types(call.outputs)};
      call.workspace_bytes = workspace(node, program.types(call.inputs));
    }
  plan_memory(program);
  return program;
}

}  // namespace

// Before: any legal graph, its nodes in the order in which they will run. After: the program keeps
// within the memory limit where there is one and it can be met; otherwise it is as small as was
// found. Nodes are computed again, right before they are read, instead of kept where that costs
// least. The same kernels on the same operands give the same bits.
bool recompute(Graph& graph, const PassOptions& options) {
  const MemoryLimit& memory = options.memory;
  if (memory.bytes == 0) return false;
  Program smallest = planned(graph, memory.workspace);
  if (smallest.total_bytes() <= memory.bytes) return false;
  const Liveness liveness(graph, memory.workspace);
  const size_t fixed = smallest.total_bytes() - smallest.arena_bytes;
  size_t budget = memory.bytes > fixed ? memory.bytes - fixed : 0;
  std::optional<Graph> best;
  // what falls between the blocks is known only when they are placed
  for (int attempt = 0; attempt < kAttempts && smallest.total_bytes() > memory.bytes; ++attempt) {
    Search search(liveness, budget);
    Graph found = liveness.ordered(search.run());
    Program program = planned(found, memory.workspace);
    if (program.total_bytes() > memory.bytes) {
      budget = std::min(budget, program.largest_live_bytes);
      budget -= std::min(budget, program.total_bytes() - memory.bytes);
    }
    if (program.total_bytes() < smallest.total_bytes()) {
      smallest = std::move(program);
      best = std::move(found);
    }
    if (!search.met()) break;
  }
  if (!best) return false;
  graph = std::move(*best);
  return true;
}

}  // namespace argosy
