#include <algorithm>
#include <map>
#include <set>

#include "compile/pipeline.h"
#include "compile/readers.h"
#include "ops/ops.h"

namespace argosy {
namespace {

/// Whether the sweep can compute `node`: real numbers, flags and bytes, not wide integers.
bool fusible(const Graph& graph, const Node& node) {
  if (node.op->pointwise.arity == 0 && node.op != &ops::cast) return false;
  const auto narrow = [](DType type) { return !is_integer(type); };
  // a cast to u8 truncates and saturates, which the sweep does not do
  if (!narrow(node.outputs[0].dtype) || node.outputs[0].dtype == DType::u8) return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](Value v) { return narrow(graph.type(v).dtype); });
}

/// Groups of nodes by number; a node outside every group is a group of its own. Knows which group
/// depends on which, so that joining never makes a cycle.
class Groups {
 public:
  explicit Groups(const Graph& graph)
      : graph_(graph), of_(graph.nodes().size()), members_(graph.nodes().size()) {
    for (size_t i = 0; i < of_.size(); ++i) {
      of_[i] = static_cast<int32_t>(i);
      members_[i] = {static_cast<int32_t>(i)};
    }
  }
  int32_t of(int32_t node) const { return of_[static_cast<size_t>(node)]; }
  const std::vector<int32_t>& members(int32_t group) const {
    return members_[static_cast<size_t>(group)];
  }

  /// Puts `node` (not yet in a group) into `group` unless another operand of it depends on the
  /// group.
  bool join(int32_t node, int32_t group) {
    std::set<int32_t> seen;
    for (const Value& input : graph_.node(node).inputs)
      if (of(input.node) != group && reaches(of(input.node), group, seen)) return false;
    of_[static_cast<size_t>(node)] = group;
    members_[static_cast<size_t>(group)].push_back(node);
    members_[static_cast<size_t>(node)].clear();
    return true;
  }

  /// Makes one group of two unless something outside both depends on one and feeds the other.
  bool merge(int32_t a, int32_t b) {
    if (a == b) return true;
    if (depends_around(a, b) || depends_around(b, a)) return false;
    const auto [into, from] = std::minmax(a, b);
    auto& all = members_[static_cast<size_t>(into)];
    auto& moved = members_[static_cast<size_t>(from)];
    for (const int32_t member : moved) of_[static_cast<size_t>(member)] = into;
    all.insert(all.end(), moved.begin(), moved.end());
    std::sort(all.begin(), all.end());  // operands stand before their readers
    moved.clear();
    return true;
  }

 private:
  /// Whether `group` reads something outside both groups that depends on `other`.
  bool depends_around(int32_t group, int32_t other) const {
    std::set<int32_t> seen;
    for (const int32_t member : members(group))
      for (const Value& input : graph_.node(member).inputs)
        if (const int32_t source = of(input.node);
            source != group && source != other && reaches(source, other, seen))
          return true;
    return false;
  }

  /// Does `from` depend on `target`? Operands stand before their readers and a group's first member
  /// gives its number, but members may stand late, so all of them are followed.
  bool reaches(int32_t from, int32_t target, std::set<int32_t>& seen) const {
    if (from == target) return true;
    if (!seen.insert(from).second) return false;
    for (const int32_t member : members(from)) {
      if (member < target) continue;  // nothing before the target's first member depends on it
      for (const Value& input : graph_.node(member).inputs)
        if (of(input.node) != from && reaches(of(input.node), target, seen)) return true;
    }
    return false;
  }

  const Graph& graph_;
  std::vector<int32_t> of_;
  std::vector<std::vector<int32_t>> members_;
};

/// Whether `node` had better not be computed with `members` although it reads them: they stand far
/// before it, so that its result would have to be kept (a ReLU's mask from the forward sweep to the
/// backward one), and what it reads is kept until near its own place anyway.
bool belongs_later(const Graph& graph, const std::vector<std::vector<int32_t>>& readers,
                   int32_t node, const std::vector<int32_t>& members) {
  constexpr double kFar = 16;  // nodes; keeping a result for fewer is worth not reading again
  const auto kept = [&](Value value, int32_t from) {
    return static_cast<double>(graph.type(value).bytes()) * std::max(0, node - from);
  };
  double waiting = 0;
  for (const Value& input : graph.node(node).inputs) {
    int32_t last = input.node;  // of the other readers that stand before
    for (const int32_t reader : readers[static_cast<size_t>(input.node)])
      if (reader < node) last = std::max(last, reader);
    if (!graph.node(input.node).inputs.empty()) waiting += kept(input, last);
  }
  return kept({node, 0}, members.back()) - waiting >
         kFar * static_cast<double>(graph.type({node, 0}).bytes());
}

/// Replaces a group by one node that computes what others read of it.
Node fuse(const Graph& graph, const std::vector<int32_t>& members,
          const std::vector<bool>& read_outside) {
  auto body = std::make_shared<Graph>();
  std::map<Value, Tensor> inside;
  Node fused{.op = &ops::fused_pointwise, .label = graph.node(members.back()).label};
  bool wide = false;  // as ops::kept_wide asks for a member
  for (const int32_t member : members) {
    const Node& node = graph.node(member);
    wide |= node.attributes.get_or("wide", false);
    std::vector<Tensor> operands;
    for (const Value& input : node.inputs) {
      Tensor& operand = inside[input];
      if (!operand) {
        const Node& source = graph.node(input.node);
        double number = 0;
        if (source.outputs[0] == Type{DType::f32, {}} && splat_value(source, number)) {
          operand = body->constant(static_cast<float>(number));
        } else {
          operand = body->input(fmt::format("{}", fused.inputs.size()), graph.type(input));
          fused.inputs.push_back(input);
        }
      }
      operands.push_back(operand);
    }
    inside[{member, 0}] = body->add_one(*node.op, operands, node.attributes);
    if (read_outside[static_cast<size_t>(member)]) {
      body->output(fmt::format("{}", fused.outputs.size()), inside[{member, 0}]);
      fused.outputs.push_back(node.outputs[0]);
    }
  }
  fused.attributes = {{"body", Body(std::move(body))}};
  if (wide) fused.attributes.set("wide", true);
  return fused;
}

}  // namespace

// Before: any legal graph. After: pointwise nodes of one shape that feed each other, or read the
// same tensor, stand in one fused_pointwise node each, so that memory is swept once.
bool fuse_pointwise(Graph& graph) {
  const size_t count = graph.nodes().size();
  Groups groups(graph);
  std::vector<bool> can(count);
  for (size_t i = 0; i < count; ++i)
    can[i] = fusible(graph, graph.nodes()[i]) && graph.nodes()[i].outputs[0].elements() > 0;
  const std::vector<std::vector<int32_t>> readers = readers_of(graph);
  for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) {
    if (!can[static_cast<size_t>(i)]) continue;
    const Node& node = graph.node(i);
    const auto alike = [&](const Value& input) {
      const auto source = static_cast<size_t>(input.node);
      return can[source] && graph.nodes()[source].outputs[0].shape == node.outputs[0].shape;
    };
    for (const Value& input : node.inputs)
      if (alike(input)) {
        if (groups.of(i) == i) {
          if (!belongs_later(graph, readers, i, groups.members(groups.of(input.node))))
            groups.join(i, groups.of(input.node));
        } else {
          groups.merge(groups.of(i), groups.of(input.node));
        }
      }
  }

  // who is read from outside its group
  std::vector<bool> read_outside(count, false);
  for (int32_t i = 0; i < static_cast<int32_t>(count); ++i)
    for (const Value& input : graph.node(i).inputs)
      if (groups.of(i) != groups.of(input.node))
        read_outside[static_cast<size_t>(input.node)] = true;
  graph.visit_roots([&](Value& value) { read_outside[static_cast<size_t>(value.node)] = true; });

  std::vector<Value> moved(count, Value{});
  std::vector<int64_t> priority(count);
  std::vector<bool> keep(count, true);
  for (size_t i = 0; i < count; ++i) priority[i] = static_cast<int64_t>(i);
  bool changed = false;
  for (int32_t group = 0; group < static_cast<int32_t>(count); ++group) {
    const std::vector<int32_t>& members = groups.members(group);
    if (members.empty() || !can[static_cast<size_t>(members[0])]) continue;
    Node fused = fuse(graph, members, read_outside);
    int32_t output = 0;
    for (const int32_t member : members) {
      if (read_outside[static_cast<size_t>(member)])
        moved[static_cast<size_t>(member)] = {members[0], output++};
      keep[static_cast<size_t>(member)] = member == members[0];
    }
    priority[static_cast<size_t>(members[0])] = members.back();  // as late as its last member stood
    graph.nodes()[static_cast<size_t>(members[0])] = std::move(fused);
    changed = true;
  }
  if (!changed) return false;
  const auto follow = [&](Value& value) {
    if (moved[static_cast<size_t>(value.node)].node >= 0)
      value = moved[static_cast<size_t>(value.node)];
  };
  for (Node& node : graph.nodes())
    for (Value& input : node.inputs) follow(input);
  graph.visit_roots(follow);
  // dropped members may stand where readers now point backwards: sort before removing
  for (size_t i = 0; i < count; ++i)
    if (!keep[i]) graph.nodes()[i] = Node{.op = &kConstant};
  sort_nodes(graph, priority);
  std::vector<bool> live(count, true);
  for (size_t i = 0; i < count; ++i)
    live[i] = !(graph.nodes()[i].op == &kConstant && graph.nodes()[i].outputs.empty());
  remove_nodes(graph, live);
  remove_dead(graph);  // constants that moved into bodies
  return true;
}

}  // namespace argosy
