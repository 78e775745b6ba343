#include <algorithm>
#include <map>

#include "compile/pipeline.h"
#include "ops/ops.h"

namespace argosy {
namespace {

/// How a value is read: in f32, in bf16, or in either.
struct Readers {
  bool wide = false, narrow = false, either = false;
};

/// Whether a number takes part in deciding the dtype of what it is computed into. A bias or a
/// scale, which varies along one axis, does not: it is a part of the layer that it belongs to.
bool decides(const Type& type) {
  return std::count_if(type.shape.begin(), type.shape.end(), [](int64_t n) { return n > 1; }) > 1;
}

/// Lone pointwise nodes take operands of one dtype only; groups of them take any. A node may be
/// marked to stay as it is (ops::kept_wide).
Precision precision_of(const Node& node) {
  if (node.attributes.get_or("wide", false)) return Precision::wide;
  return node.op->pointwise.arity > 0 ? Precision::wide : node.op->precision;
}

bool reads_wide(const OpDef& op, size_t operand) {
  return std::find(op.wide_operands.begin(), op.wide_operands.end(), static_cast<int>(operand)) !=
         op.wide_operands.end();
}

/// Builds the graph again, node by node, and keeps for each old value what stands for it in either
/// dtype.
class Rebuilding {
 public:
  explicit Rebuilding(Graph& graph) : graph_(graph), readers_(find_readers()) {}

  void run() {
    for (int32_t i = 0; i < static_cast<int32_t>(graph_.nodes().size()); ++i) {
      const Node& node = graph_.node(i);
      switch (node.op == &kInput || node.op == &kVariable ? Precision::wide : precision_of(node)) {
        case Precision::wide:
          keep(i, read_all(node, DType::f32));
          break;
        case Precision::sums: {
          Node copy = read_any(node);
          copy.attributes.set("dtype", DType::f32);
          keep(i, std::move(copy));
          break;
        }
        case Precision::mixed:
          if (node.op == &ops::fused_pointwise)
            keep_group(i);
          else
            keep_mixed(i, read_any(node));
          break;
        case Precision::moves:
          keep(i, read_all(node, moved_dtype(i)));
          break;
        case Precision::narrow:
          keep_mixed(i, read_all(node, DType::bf16));
          break;
      }
    }
    graph_.visit_roots([&](Value& value) { value = in_dtype(value, graph_.type(value).dtype); });
    graph_.visit_ports([&](Value& value) { value = main_.at(value); });
    graph_.nodes() = std::move(built_);
  }

 private:
  /// By value; what moves numbers reads them as its own readers do.
  std::map<Value, Readers> find_readers() {
    std::map<Value, Readers> readers;
    graph_.visit_roots([&](Value& value) { readers[value].wide = true; });
    for (auto i = static_cast<int32_t>(graph_.nodes().size()); i-- > 0;) {
      const Node& node = graph_.node(i);
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        Readers& of = readers[node.inputs[k]];
        switch (precision_of(node)) {
          case Precision::wide:
            of.wide = true;
            break;
          case Precision::sums:
          case Precision::mixed:
            of.either = true;
            break;
          case Precision::moves: {
            const Readers result = readers[{i, 0}];
            of.wide |= result.wide, of.narrow |= result.narrow, of.either |= result.either;
            break;
          }
          case Precision::narrow:
            (reads_wide(*node.op, k) ? of.wide : of.narrow) = true;
            break;
        }
      }
    }
    return readers;
  }

  const Type& type(Value built) const {
    return built_[static_cast<size_t>(built.node)].outputs[static_cast<size_t>(built.output)];
  }

  int32_t add(Node node) {
    std::vector<Type> in;
    for (const Value& input : node.inputs) in.push_back(type(input));
    node.outputs = node.op->infer({*node.op, in, node.attributes, node.label});
    built_.push_back(std::move(node));
    return static_cast<int32_t>(built_.size()) - 1;
  }

  /// The old value in a dtype; a cast is made once, where it is read first.
  Value in_dtype(Value old, DType dtype) {
    const Value main = main_.at(old);
    if (!is_floating(type(main).dtype) || type(main).dtype == dtype) return main;
    const auto [copy, added] = copies_.try_emplace(old);
    if (added)
      copy->second = {add({.op = &ops::cast,
                           .inputs = {main},
                           .attributes = {{"dtype", dtype}},
                           .label = graph_.node(old.node).label}),
                      0};
    return copy->second;
  }

  /// The node with its real operands in one dtype, or those that the op wants wide in f32.
  Node read_all(const Node& node, DType dtype) {
    Node copy = node;
    for (size_t k = 0; k < copy.inputs.size(); ++k)
      copy.inputs[k] = in_dtype(copy.inputs[k], reads_wide(*node.op, k) ? DType::f32 : dtype);
    return copy;
  }
  /// The node with each operand as it is.
  Node read_any(const Node& node) const {
    Node copy = node;
    for (Value& input : copy.inputs) input = main_.at(input);
    return copy;
  }

  /// The node's outputs, one for one.
  void keep(int32_t old, Node node) {
    const int32_t now = add(std::move(node));
    for (int32_t o = 0; o < static_cast<int32_t>(graph_.node(old).outputs.size()); ++o)
      main_[{old, o}] = {now, o};
  }

  /// The same with output 0 in the dtype that its readers want, where the op can give it.
  void keep_mixed(int32_t old, Node node) {
    const int32_t now = add(node);
    const Readers& readers = readers_[{old, 0}];
    const DType natural = built_.back().outputs[0].dtype;
    DType wanted = natural;
    if (readers.wide && !readers.narrow) wanted = DType::f32;
    if (readers.narrow && !readers.wide && !readers.either) wanted = DType::bf16;
    if (wanted != natural) {
      node.attributes.set("dtype", wanted);
      built_.pop_back();
      add(std::move(node));
    }
    for (int32_t o = 0; o < static_cast<int32_t>(graph_.node(old).outputs.size()); ++o)
      main_[{old, o}] = {now, o};
  }

  /// bf16 where an operand has it and nobody needs the result in f32; also for what is read in bf16
  /// alone.
  DType moved_dtype(int32_t old) {
    const Readers& readers = readers_[{old, 0}];
    bool all_narrow = true, all_copied = true;
    for (const Value& input : graph_.node(old).inputs) {
      const DType dtype = type(main_.at(input)).dtype;
      if (!is_floating(dtype)) continue;
      all_narrow &= dtype == DType::bf16;
      all_copied &= dtype == DType::bf16 || copies_.contains(input);
    }
    const bool narrow_alone = readers.narrow && !readers.wide && !readers.either;
    return all_narrow || (all_copied && narrow_alone) ? DType::bf16 : DType::f32;
  }

  /// A group of pointwise nodes computes in f32 and reads and writes memory in the dtype that each
  /// operand has and each result should have; a result may leave it in both.
  void keep_group(int32_t old) {
    const Node& node = graph_.node(old);
    const Graph& body = *node.attributes.get<Body>("body");
    Node group = read_any(node);
    auto rebuilt = std::make_shared<Graph>();
    std::vector<Tensor> inside(body.nodes().size());
    // by node of the body: computed from numbers that decide, of them one in f32
    std::vector<bool> decided(inside.size(), false), wide(inside.size(), false);
    for (size_t k = 0; k < group.inputs.size(); ++k) {
      const auto at = static_cast<size_t>(body.inputs()[k].value.node);
      const Type& found = type(group.inputs[k]);
      const Tensor operand = rebuilt->input(body.inputs()[k].name, found);
      inside[at] = found.dtype == DType::bf16 ? ops::cast_to(operand, DType::f32) : operand;
      decided[at] = is_floating(found.dtype) && decides(found);
      wide[at] = decided[at] && found.dtype == DType::f32;
    }
    for (size_t i = 0; i < inside.size(); ++i) {
      const Node& step = body.nodes()[i];
      if (step.op == &kInput) continue;
      std::vector<Tensor> operands;
      for (const Value& input : step.inputs) {
        const auto at = static_cast<size_t>(input.node);
        operands.push_back(inside[at]);
        decided[i] = decided[i] || decided[at];
        wide[i] = wide[i] || wide[at];
      }
      inside[i] = rebuilt->add_one(*step.op, operands, step.attributes);
      if (!is_floating(inside[i].dtype())) decided[i] = wide[i] = false;
    }
    int32_t outputs = 0;
    const auto put_out = [&](const Tensor& tensor) {
      rebuilt->output(fmt::format("{}", outputs), tensor);
      return outputs++;
    };
    const auto now = static_cast<int32_t>(built_.size());
    for (int32_t o = 0; o < static_cast<int32_t>(node.outputs.size()); ++o) {
      const auto at = static_cast<size_t>(body.outputs()[static_cast<size_t>(o)].value.node);
      const Readers& readers = readers_[{old, o}];
      const bool natural = decided[at] && !wide[at];
      const bool real = is_floating(inside[at].dtype());
      const bool narrow = real && !readers.wide && (natural || (readers.narrow && !readers.either));
      main_[{old, o}] = {now, put_out(narrow ? ops::cast_to(inside[at], DType::bf16) : inside[at])};
      if (real && !narrow && readers.narrow)
        copies_[{old, o}] = {now, put_out(ops::cast_to(inside[at], DType::bf16))};
    }
    group.attributes.set("body", Body(std::move(rebuilt)));
    add(std::move(group));
  }

  Graph& graph_;
  std::map<Value, Readers> readers_;
  std::vector<Node> built_;
  std::map<Value, Value> main_, copies_;  ///< old value -> new one, and it in the other dtype
};

}  // namespace

// Before: a graph in f32, its pointwise nodes in groups. After: what the ops' trait `precision`
// allows is read and written in bf16. Inputs, variables and outputs keep their dtypes; a variable
// is cast once and shared by its readers; a group of pointwise nodes rounds at its edges alone.
bool mixed_precision(Graph& graph, const PassOptions& options) {
  if (!options.bf16) return false;
  Rebuilding(graph).run();
  return true;
}

}  // namespace argosy
