#include "compile/liveness.h"

#include <algorithm>
#include <map>

#include "base/aligned_bytes.h"
#include "compile/program.h"

namespace argosy {
namespace {

// A CPU does about so many operations in the time in which a byte comes from memory.
constexpr double kOperationsPerByte = 10;

bool is_call(const Node& node) {
  return node.op != &kInput && node.op != &kVariable && node.op != &kConstant && !node.op->view;
}

}  // namespace

size_t Liveness::Lives::peak() const {
  return static_cast<size_t>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
}

Liveness::Liveness(const Graph& graph, const WorkspaceOf& workspace)
    : graph_(graph), facts_(graph.nodes().size()) {
  std::map<Value, int32_t> updated;
  for (const Update& update : graph.updates()) updated[update.value] = update.variable.node;
  const auto add_root = [&](Value value) {
    value = source(graph, value);
    if (is_call(graph.node(value.node))) roots_.push_back(value);
  };
  for (const Port& port : graph.outputs()) add_root(port.value);
  for (const Update& update : graph.updates()) add_root(update.value);

  for (int32_t i = 0; i < static_cast<int32_t>(graph.nodes().size()); ++i) {
    const Node& node = graph.node(i);
    if (!is_call(node)) continue;
    order_.push_back(i);
    Facts& facts = facts_[index(i)];
    std::vector<Type> in;
    for (const Value& input : node.inputs) {
      in.push_back(graph.type(input));
      const Value from = source(graph, input);
      const Node& made_by = graph.node(from.node);
      std::vector<Value>& list = made_by.op == &kVariable ? facts.variables : facts.reads;
      if (!is_call(made_by) && made_by.op != &kVariable) continue;
      if (std::find(list.begin(), list.end(), from) == list.end()) list.push_back(from);
    }
    double moved = 0;
    for (const Type& type : in) moved += static_cast<double>(type.bytes());
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      facts.bytes.push_back(aligned_bytes(node.outputs[o].bytes()));
      moved += static_cast<double>(node.outputs[o].bytes());
      facts.shares.emplace_back();
      facts.overwrites.push_back(-1);
      const auto update = updated.find({i, static_cast<int32_t>(o)});
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        if (!may_share(graph, node, o, k)) continue;
        const Value from = source(graph, node.inputs[k]);
        if (is_call(graph.node(from.node)))
          facts.shares[o].push_back(from);
        else if (update != updated.end() && update->second == from.node)
          facts.overwrites[o] = from.node;
      }
    }
    if (workspace) facts.workspace = workspace(node, in);
    facts.cost = kOperationsPerByte * moved;
    if (node.op->flops) facts.cost += node.op->flops(in, node.outputs, node.attributes);
  }
}

bool Liveness::overwrites_operand(int32_t writer, int32_t reader) const {
  const std::vector<int32_t>& written = facts(writer).overwrites;
  return std::any_of(
      facts(reader).variables.begin(), facts(reader).variables.end(), [&](const Value& variable) {
        return std::find(written.begin(), written.end(), variable.node) != written.end();
      });
}

Liveness::Lives Liveness::of(const Order& order) const {
  const auto end = static_cast<int32_t>(order.size());
  Lives lives;
  lives.readers.resize(order.size());
  lives.last.resize(order.size());
  std::vector<int32_t> latest(facts_.size(), -1), variable_read(facts_.size(), -1);
  const auto read = [&](Value value, int32_t step) {
    const size_t made = index(latest[index(value.node)]);
    lives.last[made][index(value.output)] = step;
    std::vector<int32_t>& readers = lives.readers[made];
    if (readers.empty() || readers.back() != step) readers.push_back(step);
  };
  for (int32_t step = 0; step < end; ++step) {
    const int32_t node = order[index(step)];
    for (const Value& value : facts(node).reads) read(value, step);
    for (const Value& value : facts(node).variables) variable_read[index(value.node)] = step;
    lives.last[index(step)].assign(outputs(node), step);
    latest[index(node)] = step;
  }
  for (const Value& root : roots_) read(root, end);

  // the change of what is alive from step to step; unsigned, so a fall wraps around and back
  std::vector<size_t> change(order.size() + 2, 0);
  std::fill(latest.begin(), latest.end(), -1);
  std::vector<Value> taken;
  for (int32_t step = 0; step < end; ++step) {
    const int32_t node = order[index(step)];
    taken.clear();
    for (size_t o = 0; o < outputs(node); ++o) {
      const int32_t variable = facts(node).overwrites[o];
      if (variable >= 0 && variable_read[index(variable)] <= step) continue;
      int32_t first = step;
      for (const Value& from : facts(node).shares[o]) {
        if (lives.last[index(latest[index(from.node)])][index(from.output)] != step ||
            std::find(taken.begin(), taken.end(), from) != taken.end())
          continue;
        taken.push_back(from);
        ++first;  // during the step itself the operand is counted
        break;
      }
      change[index(first)] += facts(node).bytes[o];
      change[index(lives.last[index(step)][o]) + 1] -= facts(node).bytes[o];
    }
    latest[index(node)] = step;
  }
  size_t alive = 0;
  for (size_t step = 0; step < order.size(); ++step) {
    alive += change[step];
    lives.bytes.push_back(alive + facts(order[step]).workspace);
  }
  return lives;
}

Graph Liveness::ordered(const Order& order) const {
  Graph result = graph_;
  std::vector<Node>& nodes = result.nodes();
  nodes.clear();
  std::vector<int32_t> latest(facts_.size(), -1);
  const auto emit = [&](Node node) {
    nodes.push_back(std::move(node));
    return static_cast<int32_t>(nodes.size()) - 1;
  };
  for (size_t i = 0; i < facts_.size(); ++i)
    if (const Node& node = graph_.nodes()[i]; !is_call(node) && !node.op->view)
      latest[i] = emit(node);
  std::map<std::pair<int32_t, Value>, int32_t> views;  // by the view and what it shows
  const std::function<void(Value&)> follow = [&](Value& value) {
    const Node& node = graph_.node(value.node);
    if (!node.op->view) {
      value.node = latest[index(value.node)];
      return;
    }
    Value shown = node.inputs[0];
    follow(shown);
    const auto [view, added] = views.try_emplace({value.node, shown}, -1);
    if (added) {
      Node copy = node;
      copy.inputs = {shown};
      view->second = emit(std::move(copy));
    }
    value.node = view->second;
  };
  for (const int32_t i : order) {
    Node node = graph_.node(i);
    for (Value& input : node.inputs) follow(input);
    node.recomputed = latest[index(i)] >= 0;
    latest[index(i)] = emit(std::move(node));
  }
  result.visit_roots(follow);
  result.visit_ports(follow);
  return result;
}

}  // namespace argosy
