#include "ir/graph.h"

#include <algorithm>
#include <cstring>
#include <queue>

#include "base/error.h"
#include "ir/op.h"

namespace argosy {
namespace {

std::vector<Type> given_type(const InferArgs& args) {
  return {
      {args.attributes.get<DType>("dtype"), args.attributes.get<std::vector<int64_t>>("shape")}};
}

/// Whether a process can hold the tensor (its half of the addresses of x86_64), an empty one taken
/// as if its zeros were ones: then no product of some of the sizes overflows, and no sum of the
/// bytes of all tensors of a program does.
bool addressable(const Type& type) {
  constexpr int64_t kMostBytes = int64_t{1} << 47;
  auto bytes = static_cast<int64_t>(size_of(type.dtype));
  for (const int64_t size : type.shape)
    if (size < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes) ||
        bytes > kMostBytes)
      return false;
  return true;
}

}  // namespace

const OpDef kInput = {.name = "input", .formula = "fed before each run", .infer = given_type};
const OpDef kVariable = {.name = "variable", .formula = "kept between runs", .infer = given_type};
const OpDef kConstant = {.name = "constant", .formula = "known when compiled", .infer = given_type};

const Type& Tensor::type() const { return graph_->type(value_); }

int64_t Tensor::size(int64_t axis) const {
  return shape()[static_cast<size_t>(normal_axis(axis, rank()))];
}

void InferArgs::fail(const std::string& what) const {
  std::string shapes;
  for (const Type& type : in) shapes += fmt::format("{}{}", shapes.empty() ? "" : " and ", type);
  throw Error(
      {.what = fmt::format("{}: {}, given {}", op.name, what, shapes.empty() ? "nothing" : shapes),
       .where = label.empty() ? "model" : fmt::format("model, {}", label),
       .fix = "change the sizes of the model or of its inputs so that they fit"});
}

Sample sample(std::vector<Shape> shapes, Attributes attributes) {
  Sample result;
  for (Shape& shape : shapes) result.inputs.push_back({DType::f32, std::move(shape)});
  result.attributes = std::move(attributes);
  return result;
}

std::vector<Tensor> Graph::add(const OpDef& op, std::span<const Tensor> inputs,
                               Attributes attributes) {
  Node node{.op = &op, .attributes = std::move(attributes), .label = label};
  std::vector<Type> types;
  for (const Tensor& input : inputs) {
    check(input && &input.graph() == this, "{}: an input is empty or of another graph", op.name);
    node.inputs.push_back(input.value());
    types.push_back(input.type());
  }
  const InferArgs args = {op, types, node.attributes, node.label};
  node.outputs = op.infer(args);
  for (const Type& type : node.outputs)
    args.require(addressable(type),
                 fmt::format("{} would have more bytes than a process can address", type));
  const auto index = static_cast<int32_t>(nodes_.size());
  nodes_.push_back(std::move(node));
  std::vector<Tensor> result;
  for (int32_t i = 0; i < static_cast<int32_t>(nodes_.back().outputs.size()); ++i)
    result.push_back(tensor({index, i}));
  return result;
}

Tensor Graph::add_one(const OpDef& op, std::span<const Tensor> inputs, Attributes attributes) {
  return add(op, inputs, std::move(attributes)).front();
}

Tensor Graph::input(const std::string& name, const Type& type) {
  const Tensor t = add_one(kInput, {}, {{"dtype", type.dtype}, {"shape", type.shape}});
  inputs_.push_back({name, t.value()});
  return t;
}

Tensor Graph::variable(Variable description, const Type& type) {
  for (const Variable& other : variables_)
    check(other.name != description.name, "two variables are named {}", description.name);
  const Tensor t = add_one(kVariable, {}, {{"dtype", type.dtype}, {"shape", type.shape}});
  description.value = t.value();
  variables_.push_back(std::move(description));
  return t;
}

Tensor Graph::constant(float value, DType dtype) {
  std::vector<std::byte> bytes(size_of(dtype));
  visit_dtype(dtype, [&](auto zero) {
    const auto stored = static_cast<decltype(zero)>(value);
    std::memcpy(bytes.data(), &stored, sizeof stored);
  });
  return constant({dtype, {}}, std::move(bytes));
}

Tensor Graph::constant(const Type& type, std::vector<std::byte> bytes) {
  check(bytes.size() == type.bytes(), "a constant {} of {} bytes", type, bytes.size());
  return add_one(kConstant, {},
                 {{"dtype", type.dtype},
                  {"shape", type.shape},
                  {"value", std::make_shared<const std::vector<std::byte>>(std::move(bytes))}});
}

void Graph::output(const std::string& name, const Tensor& tensor) {
  outputs_.push_back({name, tensor.value()});
}

void Graph::update(const Tensor& variable, const Tensor& value) {
  check(variable_of(variable.value()) != nullptr, "only a variable can be updated");
  check(variable.type() == value.type(), "a variable {} cannot take {}", variable.type(),
        value.type());
  for (const Update& other : updates_)
    check(other.variable != variable.value(), "variable {} is updated twice",
          variable_of(variable.value())->name);
  updates_.push_back({variable.value(), value.value()});
}

const Variable* Graph::variable_of(Value value) const {
  for (const Variable& variable : variables_)
    if (variable.value == value) return &variable;
  return nullptr;
}

void Graph::visit_roots(const std::function<void(Value&)>& visit) {
  for (Port& port : outputs_) visit(port.value);
  for (Update& update : updates_) visit(update.value);
}

void Graph::visit_ports(const std::function<void(Value&)>& visit) {
  for (Port& port : inputs_) visit(port.value);
  for (Variable& variable : variables_) visit(variable.value);
  for (Update& update : updates_) visit(update.variable);
}

bool splat_value(const Node& node, double& value) {
  if (node.op != &kConstant) return false;
  const auto& bytes = *node.attributes.get<Bytes>("value");
  const size_t step = size_of(node.outputs[0].dtype);
  if (bytes.empty()) return false;
  for (size_t i = step; i < bytes.size(); ++i)
    if (bytes[i] != bytes[i - step]) return false;
  visit_dtype(node.outputs[0].dtype, [&](auto stored) {
    std::memcpy(&stored, bytes.data(), sizeof stored);
    if constexpr (std::is_same_v<decltype(stored), BFloat16>)
      value = static_cast<float>(stored);
    else
      value = static_cast<double>(stored);
  });
  return true;
}

std::string to_text(const Attributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes.values()) {
    const std::string shown = std::visit(
        [](const auto& v) -> std::string {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, Bytes>)
            return fmt::format("<{} bytes>", v->size());
          else if constexpr (std::is_same_v<T, Body>)
            return fmt::format("<{} nodes>", v->nodes().size());
          else
            return fmt::format("{}", v);
        },
        value);
    text += fmt::format("{}{}={}", text.empty() ? "{" : ", ", name, shown);
  }
  return text.empty() ? text : text + "}";
}

std::string to_text(const Graph& graph) {
  std::string text;
  const auto name = [](Value v) {
    return v.output == 0 ? fmt::format("%{}", v.node) : fmt::format("%{}.{}", v.node, v.output);
  };
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    std::vector<std::string> arguments;
    for (const Value& input : node.inputs) arguments.push_back(name(input));
    text +=
        fmt::format("%{} = {}({}) {}{}: {}{}\n", i, node.op->name, fmt::join(arguments, ", "),
                    to_text(node.attributes), node.attributes.values().empty() ? "" : " ",
                    fmt::join(node.outputs, ", "), node.label.empty() ? "" : "  # " + node.label);
  }
  for (const Port& port : graph.outputs())
    text += fmt::format("output {} = {}\n", port.name, name(port.value));
  for (const Update& update : graph.updates())
    text += fmt::format("update {} <- {}\n", graph.variable_of(update.variable)->name,
                        name(update.value));
  return text;
}

void verify(const Graph& graph) {
  const auto exists = [&](Value v, size_t before) {
    return v.node >= 0 && static_cast<size_t>(v.node) < before && v.output >= 0 &&
           static_cast<size_t>(v.output) < graph.node(v.node).outputs.size();
  };
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    std::vector<Type> types;
    for (const Value& input : node.inputs) {
      check(exists(input, i), "node {} ({}) reads a value that does not come before it", i,
            node.op->name);
      types.push_back(graph.type(input));
    }
    check(node.op->infer({*node.op, types, node.attributes, node.label}) == node.outputs,
          "node {} ({}) has other types than its op infers", i, node.op->name);
  }
  const size_t all = graph.nodes().size();
  for (const Port& port : graph.outputs())
    check(exists(port.value, all), "output {} is gone", port.name);
  for (const Port& port : graph.inputs())
    check(exists(port.value, all) && graph.node(port.value.node).op == &kInput, "input {} is gone",
          port.name);
  for (const Variable& variable : graph.variables())
    check(exists(variable.value, all) && graph.node(variable.value.node).op == &kVariable,
          "variable {} is gone", variable.name);
  for (const Update& update : graph.updates())
    check(exists(update.value, all) && graph.type(update.value) == graph.type(update.variable),
          "an update does not fit its variable");
}

namespace {

/// Moves nodes to the order given (old indices); indices left out are dropped.
void reorder(Graph& graph, const std::vector<int32_t>& order) {
  std::vector<int32_t> renamed(graph.nodes().size(), -1);
  for (size_t i = 0; i < order.size(); ++i)
    renamed[static_cast<size_t>(order[i])] = static_cast<int32_t>(i);
  const auto rename = [&](Value& value) {
    value.node = renamed[static_cast<size_t>(value.node)];
    check(value.node >= 0, "a dropped node is still read");
  };
  std::vector<Node> nodes;
  nodes.reserve(order.size());
  for (const int32_t old : order) {
    nodes.push_back(std::move(graph.nodes()[static_cast<size_t>(old)]));
    for (Value& input : nodes.back().inputs) rename(input);
  }
  graph.nodes() = std::move(nodes);
  graph.visit_roots(rename);
  graph.visit_ports(rename);
}

}  // namespace

void remove_nodes(Graph& graph, const std::vector<bool>& keep) {
  std::vector<int32_t> order;
  for (size_t i = 0; i < keep.size(); ++i)
    if (keep[i]) order.push_back(static_cast<int32_t>(i));
  reorder(graph, order);
}

void sort_nodes(Graph& graph, const std::vector<int64_t>& priority) {
  const size_t n = graph.nodes().size();
  std::vector<int32_t> waits(n, 0);
  std::vector<std::vector<int32_t>> readers(n);
  for (size_t i = 0; i < n; ++i)
    for (const Value& input : graph.nodes()[i].inputs) {
      readers[static_cast<size_t>(input.node)].push_back(static_cast<int32_t>(i));
      ++waits[i];
    }
  using Entry = std::pair<int64_t, int32_t>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i)
    if (waits[i] == 0) ready.emplace(priority[i], static_cast<int32_t>(i));
  std::vector<int32_t> order;
  while (!ready.empty()) {
    const int32_t next = ready.top().second;
    ready.pop();
    order.push_back(next);
    for (const int32_t reader : readers[static_cast<size_t>(next)])
      if (--waits[static_cast<size_t>(reader)] == 0)
        ready.emplace(priority[static_cast<size_t>(reader)], reader);
  }
  check(order.size() == n, "the graph has a cycle");
  reorder(graph, order);
}

}  // namespace argosy
