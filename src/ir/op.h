#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

/// What an op is. The ops themselves stand in ops/, one file each.
namespace argosy {

using Types = std::span<const Type>;

/// What a shape rule sees.
struct InferArgs {
  const OpDef& op;
  Types in;
  const Attributes& attributes;
  std::string_view label;

  /// Throws Error: what is wrong, with the op's name and all shapes.
  [[noreturn]] void fail(const std::string& what) const;
  void require(bool holds, const std::string& what) const {
    if (!holds) fail(what);
  }
};

/// What a gradient rule sees: the node in the graph that is being extended.
class GradArgs {
 public:
  GradArgs(Graph& graph, int32_t node, std::vector<Tensor> output_grads)
      : graph_(graph), node_(node), output_grads_(std::move(output_grads)) {}
  Tensor input(size_t i) const { return graph_.tensor(graph_.node(node_).inputs[i]); }
  size_t inputs() const { return graph_.node(node_).inputs.size(); }
  Tensor output(int32_t i) const { return graph_.tensor({node_, i}); }
  /// The loss's gradient for output `i`; empty if nothing depends on it.
  Tensor output_grad(size_t i) const { return output_grads_[i]; }
  const Attributes& attributes() const { return graph_.node(node_).attributes; }

 private:
  Graph& graph_;
  int32_t node_;
  std::vector<Tensor> output_grads_;
};

/// What a kernel sees while it runs.
struct KernelArgs {
  const OpDef& op;
  const Attributes& attributes;
  Types in_types, out_types;
  std::span<const std::byte* const> in_bytes;
  std::span<std::byte* const> out_bytes;
  std::byte* workspace = nullptr;

  const Shape& shape(size_t i) const { return in_types[i].shape; }
  const Shape& out_shape(size_t i = 0) const { return out_types[i].shape; }
  template <typename T = float>
  std::span<const T> in(size_t i) const {
    return {reinterpret_cast<const T*>(in_bytes[i]), static_cast<size_t>(in_types[i].elements())};
  }
  template <typename T = float>
  std::span<T> out(size_t i = 0) const {
    return {reinterpret_cast<T*>(out_bytes[i]), static_cast<size_t>(out_types[i].elements())};
  }
};

/// The plain meaning of a pointwise op on one element; unused arguments are 0.
struct Pointwise {
  int arity = 0;
  float (*real)(float, float, float) = nullptr;
  /// For i32 and i64, where it has a meaning.
  int64_t (*integer)(int64_t, int64_t, int64_t) = nullptr;
};

/// Inputs on which an op is tested, shown in its documentation and costed.
struct Sample {
  std::vector<Type> inputs;
  Attributes attributes;
  float low = -2, high = 2;  ///< range of real inputs; integer inputs are in [0, index_limit)
  int64_t index_limit = 2;
  std::vector<bool> differentiate;  ///< inputs whose gradient is tested; empty: all real ones
};

/// Shorthand for a sample of f32 inputs.
Sample sample(std::vector<Shape> shapes, Attributes attributes = {});

/// What becomes of an op's real operands and results when a graph is computed in bf16. All ops
/// compute in f32 inside; this is about the numbers in memory between them.
enum class Precision : uint8_t {
  wide,    ///< reads and gives f32
  sums,    ///< reads either, gives f32: its operands' errors do not add up in its result
  mixed,   ///< reads either and gives either: as its operands, or bf16 where nobody needs more
  moves,   ///< gives what it reads
  narrow,  ///< reads bf16, adds up in f32, gives bf16, or f32 where it is needed
};

struct OpDef {
  std::string_view name;
  std::string_view formula;
  std::vector<Type> (*infer)(const InferArgs&) = nullptr;
  /// One tensor per input, empty where there is no gradient. Null: not differentiable.
  std::vector<Tensor> (*gradient)(const GradArgs&) = nullptr;
  double (*flops)(Types in, Types out, const Attributes&) = nullptr;  ///< null: none
  /// Clear and plain, on f32 (bf16 is converted around it) and integers: the truth for all
  /// backends.
  void (*reference)(KernelArgs&) = nullptr;
  /// The reference reads and writes every dtype itself; others see bf16 as f32.
  bool any_dtype = false;
  Pointwise pointwise = {};
  bool commutative = false;
  /// Every correct kernel gives the same bits: elements are moved or chosen, or each result is one
  /// rounding of one operation. Only such ops are computed at compile time.
  bool exact = false;
  /// Output 0 is input 0's bytes under another shape: costs nothing.
  bool view = false;
  /// The last so many outputs exist for the gradient rule; nothing may be differentiated through
  /// them.
  int kept_for_gradient = 0;
  /// Output i may take the memory of input in_place[i] (-1: none) when nobody reads that later.
  std::vector<int> in_place = {};
  /// Output i may take the memory of operand i; for ops with any number of both.
  bool in_place_each = false;
  /// Any output may take the memory of any operand of the same size.
  bool in_place_any = false;
  /// With `sums`, `mixed` and `narrow`, the attribute "dtype" is output 0's if the op takes it.
  Precision precision = Precision::wide;
  /// Operands that a `narrow` op reads in f32 all the same.
  std::vector<int> wide_operands = {};
  std::vector<Sample> samples = {};
};

/// The operand whose memory output `output` may take, -1: none, or (see in_place_any) not one
/// alone.
inline int in_place_operand(const OpDef& op, size_t output) {
  if (op.in_place_each) return static_cast<int>(output);
  return output < op.in_place.size() ? op.in_place[output] : -1;
}

/// The op behind Graph::input, Graph::variable and Graph::constant.
extern const OpDef kInput, kVariable, kConstant;

/// A constant that is the same number everywhere: true, and the number. Integers as numbers too.
bool splat_value(const Node& node, double& value);

}  // namespace argosy
