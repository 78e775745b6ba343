#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/attributes.h"
#include "ir/shape.h"

namespace argosy {

struct OpDef;
class Graph;

/// One output of one node.
struct Value {
  int32_t node = -1;
  int32_t output = 0;
  bool operator==(const Value&) const = default;
  auto operator<=>(const Value&) const = default;
};

struct Node {
  const OpDef* op = nullptr;
  std::vector<Value> inputs;
  Attributes attributes;
  std::vector<Type> outputs;
  std::string label;        ///< the scope it was built in, e.g. "encoder/conv1"; for readers only
  bool recomputed = false;  ///< an earlier node computes the same; for readers only
};

/// A light handle to one output of a node; its shape and dtype are known at once.
class Tensor {
 public:
  Tensor() = default;
  Tensor(Graph* graph, Value value) : graph_(graph), value_(value) {}

  explicit operator bool() const { return graph_ != nullptr; }
  Graph& graph() const { return *graph_; }
  Value value() const { return value_; }
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  int64_t rank() const { return static_cast<int64_t>(shape().size()); }
  /// Size of a dimension; negative axes count from the end.
  int64_t size(int64_t axis) const;
  int64_t elements() const { return count(shape()); }

 private:
  Graph* graph_ = nullptr;
  Value value_;
};

/// Fills a variable's memory before the first run: (seed, elements) -> values.
using Initializer = std::function<void(uint64_t seed, std::span<float> values)>;

/// State that a program keeps between runs.
struct Variable {
  std::string name;  ///< unique, e.g. "encoder/conv1/weight"
  Value value;
  Initializer initialize = {};  ///< empty: zeros
  bool trainable = false;
  bool decayed = false;  ///< weight decay applies
  bool kept = true;      ///< false: means nothing between steps, so checkpoints leave it out
  /// Large and written bit by bit, perhaps never whole: memory is taken as that is.
  bool gradual = false;
  std::string seeded_as =
      {};  ///< draws the initial values of the variable of that name; empty: its own
};

/// A named value that is fed before, or read after, each run.
struct Port {
  std::string name;
  Value value;
};

/// At the end of a run, `variable` takes `value`.
struct Update {
  Value variable, value;
};

/// Tensors and the ops between them. Nodes stand in an order in which inputs come first.
class Graph {
 public:
  /// Adds a node; its output types come from the op's shape rule, which throws Error naming the op
  /// and the shapes when they do not fit.
  std::vector<Tensor> add(const OpDef& op, std::span<const Tensor> inputs,
                          Attributes attributes = {});
  Tensor add_one(const OpDef& op, std::span<const Tensor> inputs, Attributes attributes = {});

  Tensor input(const std::string& name, const Type& type);
  Tensor variable(Variable description, const Type& type);
  Tensor constant(float value, DType dtype = DType::f32);
  Tensor constant(const Type& type, std::vector<std::byte> bytes);
  void output(const std::string& name, const Tensor& tensor);
  void update(const Tensor& variable, const Tensor& value);

  Tensor tensor(Value value) { return {this, value}; }
  const Node& node(int32_t index) const { return nodes_[static_cast<size_t>(index)]; }
  const Type& type(Value value) const {
    return node(value.node).outputs[static_cast<size_t>(value.output)];
  }
  const Variable* variable_of(Value value) const;

  std::vector<Node>& nodes() { return nodes_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  std::vector<Port>& inputs() { return inputs_; }
  const std::vector<Port>& inputs() const { return inputs_; }
  std::vector<Port>& outputs() { return outputs_; }
  const std::vector<Port>& outputs() const { return outputs_; }
  std::vector<Variable>& variables() { return variables_; }
  const std::vector<Variable>& variables() const { return variables_; }
  std::vector<Update>& updates() { return updates_; }
  const std::vector<Update>& updates() const { return updates_; }

  /// Calls visit with every value that is read from outside: by outputs and updates.
  void visit_roots(const std::function<void(Value&)>& visit);
  void visit_ports(const std::function<void(Value&)>& visit);  ///< inputs and variables

  /// Prefixes labels and variable names while in scope; see nn::Scope.
  std::string label;

 private:
  std::vector<Node> nodes_;
  std::vector<Port> inputs_, outputs_;
  std::vector<Variable> variables_;
  std::vector<Update> updates_;
};

/// Text for people and tests: one node a line.
std::string to_text(const Graph& graph);

/// Throws Bug if the graph is not legal: inputs come first, types are what the ops infer, roots
/// exist.
void verify(const Graph& graph);

/// Drops nodes for which keep is false and renumbers; kept nodes must not read dropped ones.
void remove_nodes(Graph& graph, const std::vector<bool>& keep);

/// Puts nodes into an order in which inputs come first, otherwise as near to `priority` (smaller
/// first) as that allows. Throws Bug on a cycle.
void sort_nodes(Graph& graph, const std::vector<int64_t>& priority);

}  // namespace argosy
