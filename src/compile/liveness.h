#pragma once
#include <functional>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "ir/op.h"

namespace argosy {

/// Bytes of scratch that the kernel of a node asks for.
using WorkspaceOf = std::function<size_t(const Node& node, Types in)>;

/// Node numbers in the order in which they run. A node may stand more than once: it is computed
/// again, and a reader takes the result computed last before it. So a legal order stays legal
/// wherever a repeat is added or taken out.
using Order = std::vector<int32_t>;

/// What an order of a graph's nodes keeps in the arena, as lower() and plan_memory() will have it,
/// but for what falls between the blocks.
class Liveness {
 public:
  /// By step of an order.
  struct Lives {
    std::vector<size_t> bytes;                  ///< alive during the step
    std::vector<std::vector<int32_t>> readers;  ///< steps that read its results, ascending
    std::vector<std::vector<int32_t>> last;     ///< by output: the last of them, or itself
    size_t peak() const;                        ///< the step that keeps most
  };

  Liveness(const Graph& graph, const WorkspaceOf& workspace);

  /// The nodes that become calls, as they stand.
  const Order& order() const { return order_; }
  /// Roots are read by the step after the last.
  Lives of(const Order& order) const;

  /// What a node reads from the arena, views followed to what they show.
  std::span<const Value> reads(int32_t node) const { return facts(node).reads; }
  size_t bytes(Value value) const { return facts(value.node).bytes[index(value.output)]; }
  size_t outputs(int32_t node) const { return facts(node).bytes.size(); }
  /// Whether a node may write over a variable that another reads.
  bool overwrites_operand(int32_t writer, int32_t reader) const;
  /// What it takes to compute a node, in operations.
  double cost(int32_t node) const { return facts(node).cost; }

  /// The graph whose nodes stand in this order; repeats are marked.
  Graph ordered(const Order& order) const;

 private:
  struct Facts {
    std::vector<Value> reads, variables;
    std::vector<size_t> bytes;               ///< by output
    std::vector<std::vector<Value>> shares;  ///< by output: operands whose memory it may take
    std::vector<int32_t> overwrites;         ///< by output: the variable it may overwrite, or -1
    size_t workspace = 0;
    double cost = 0;
  };
  static size_t index(int32_t i) { return static_cast<size_t>(i); }
  const Facts& facts(int32_t node) const { return facts_[index(node)]; }

  const Graph& graph_;
  std::vector<Facts> facts_;  ///< by node
  std::vector<Value> roots_;
  Order order_;
};

}  // namespace argosy
