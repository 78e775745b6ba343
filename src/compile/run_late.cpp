#include <algorithm>
#include <list>
#include <map>

#include "compile/liveness.h"
#include "compile/pipeline.h"

namespace argosy {
namespace {

/// The nodes of a graph, each moved down to before its first reader where less is alive until then
/// without its results than with the operands that would have to wait for it.
class LateOrder {
 public:
  explicit LateOrder(const Liveness& liveness) : liveness_(liveness) {
    // the last first: all readers of a node are placed when its turn comes
    for (auto node = liveness.order().rbegin(); node != liveness.order().rend(); ++node) {
      order_.insert(place_of(*node), *node);
      for (const Value& value : liveness.reads(*node)) ++readers_[value];
    }
  }
  Order order() const { return {order_.begin(), order_.end()}; }

 private:
  std::list<int32_t>::iterator place_of(int32_t node) {
    std::map<Value, int32_t> beyond;  // by operand: its readers after the place
    for (const Value& value : liveness_.reads(node)) beyond[value] = readers_[value];
    auto place = order_.begin();
    for (; place != order_.end() && !reads(*place, node); ++place) {
      if (liveness_.overwrites_operand(*place, node)) return order_.begin();
      for (const Value& value : liveness_.reads(*place))
        if (const auto operand = beyond.find(value); operand != beyond.end()) --operand->second;
    }
    if (place == order_.end()) return order_.begin();
    size_t results = 0, operands = 0;
    for (size_t o = 0; o < liveness_.outputs(node); ++o)
      results += liveness_.bytes({node, static_cast<int32_t>(o)});
    for (const auto& [value, readers] : beyond)
      if (readers == 0) operands += liveness_.bytes(value);
    return results > operands ? place : order_.begin();
  }

  bool reads(int32_t reader, int32_t node) const {
    const std::span<const Value> values = liveness_.reads(reader);
    return std::any_of(values.begin(), values.end(),
                       [&](const Value& value) { return value.node == node; });
  }

  const Liveness& liveness_;
  std::list<int32_t> order_;
  std::map<Value, int32_t> readers_;  ///< how many of those placed read a value
};

}  // namespace

// Before: any legal graph. After: its nodes stand in an order that keeps no more alive than before,
// less where a node was computed long before its reader (the gradient of a layer's input before
// that of its weight, which alone holds the input).
bool run_late(Graph& graph) {
  const Liveness liveness(graph, {});
  const Order late = LateOrder(liveness).order();
  const Liveness::Lives now = liveness.of(liveness.order()), then = liveness.of(late);
  if (late.empty() || then.bytes[then.peak()] >= now.bytes[now.peak()]) return false;
  graph = liveness.ordered(late);
  return true;
}

}  // namespace argosy
