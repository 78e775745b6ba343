#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "backend/cpu/backend.h"
#include "base/random.h"
#include "base/threads.h"
#include "ops/ops.h"

/// Running ops by hand: memory with values in it, one kernel at a time, or a whole graph node by
/// node through the references.
namespace argosy::test {

/// A tensor that owns its bytes (aligned as the engine's are).
struct Array {
  Type type;
  std::vector<std::byte> bytes;

  explicit Array(Type of = {}) : type(std::move(of)), bytes(type.bytes()) {}
  template <typename T = float>
  std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.data()), static_cast<size_t>(type.elements())};
  }
  template <typename T = float>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), static_cast<size_t>(type.elements())};
  }
  /// Element i as a number, whatever the dtype.
  double at(size_t i) const {
    return visit_dtype(type.dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<T, BFloat16>)
        return static_cast<double>(static_cast<float>(as<T>()[i]));
      else
        return static_cast<double>(as<T>()[i]);
    });
  }
  void set(size_t i, double number) {
    visit_dtype(type.dtype, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<T, BFloat16>)
        as<T>()[i] = BFloat16(static_cast<float>(number));
      else
        as<T>()[i] = static_cast<T>(number);
    });
  }
};
using Arrays = std::vector<Array>;

inline std::vector<Type> types_of(const Arrays& values) {
  std::vector<Type> types;
  for (const Array& value : values) types.push_back(value.type);
  return types;
}

/// Real operands uniform in [low, high), whole ones in [0, index_limit), flags either way.
inline Arrays random_operands(const Sample& sample, uint64_t seed) {
  Random random(seed, 17);
  Arrays values;
  for (const Type& type : sample.inputs) {
    Array& value = values.emplace_back(type);
    for (size_t i = 0; i < static_cast<size_t>(type.elements()); ++i) {
      if (is_floating(type.dtype))
        value.set(i, random.uniform(sample.low, sample.high));
      else if (type.dtype == DType::boolean)
        value.set(i, random.below(2) == 1 ? 1 : 0);
      else
        value.set(i, static_cast<double>(random.below(
                         static_cast<uint64_t>(std::max<int64_t>(1, sample.index_limit)))));
    }
  }
  return values;
}

inline std::vector<Type> infer(const OpDef& op, const Attributes& attributes,
                               const std::vector<Type>& in) {
  return op.infer({op, in, attributes, "test"});
}

/// Runs a kernel on copies of `in`. With `in_place`, outputs lie where the op lets them.
inline Arrays run(const cpu::Kernel& kernel, const OpDef& op, const Attributes& attributes,
                  const Arrays& in, bool in_place = false) {
  const std::vector<Type> in_types = types_of(in), out_types = infer(op, attributes, in_types);
  Arrays operands = in, results;
  std::vector<std::byte> workspace(kernel.workspace_bytes + 64);
  std::vector<const std::byte*> from;
  std::vector<std::byte*> to;
  for (const Array& operand : operands) from.push_back(operand.bytes.data());
  for (size_t o = 0; o < out_types.size(); ++o) {
    results.emplace_back(out_types[o]);
    // garbage, so that a kernel that adds to what it finds is seen
    std::fill(results.back().bytes.begin(), results.back().bytes.end(), std::byte{0x5A});
  }
  for (size_t o = 0; o < out_types.size(); ++o) {
    std::byte* place = results[o].bytes.data();
    const int operand = in_place_operand(op, o);
    if (in_place && operand >= 0 && in_types[static_cast<size_t>(operand)] == out_types[o])
      place = operands[static_cast<size_t>(operand)].bytes.data();
    to.push_back(place);
  }
  const auto misaligned = reinterpret_cast<uintptr_t>(workspace.data()) % 64;
  KernelArgs arguments{.op = op,
                       .attributes = attributes,
                       .in_types = in_types,
                       .out_types = out_types,
                       .in_bytes = from,
                       .out_bytes = to,
                       .workspace = workspace.data() + (misaligned ? 64 - misaligned : 0)};
  kernel.run(arguments);
  for (size_t o = 0; o < out_types.size(); ++o)
    if (to[o] != results[o].bytes.data() && !results[o].bytes.empty())
      std::memcpy(results[o].bytes.data(), to[o], results[o].bytes.size());
  return results;
}

inline cpu::Kernel backend_kernel(const OpDef& op, const Attributes& attributes, const Arrays& in) {
  const std::vector<Type> types = types_of(in);
  return cpu::make_kernel({op, attributes, types, infer(op, attributes, types)});
}

inline Arrays run_backend(const OpDef& op, const Attributes& attributes, const Arrays& in,
                          bool in_place = false) {
  return run(backend_kernel(op, attributes, in), op, attributes, in, in_place);
}

inline Arrays run_reference(const OpDef& op, const Attributes& attributes, const Arrays& in) {
  const std::vector<Type> types = types_of(in);
  return run(cpu::make_reference_kernel({op, attributes, types, infer(op, attributes, types)}), op,
             attributes, in);
}

/// Every value of the graph, node by node through the references; inputs and variables by name.
inline std::map<Value, Array> interpret(const Graph& graph,
                                        const std::map<std::string, Array>& fed) {
  std::map<Value, Array> known;
  for (const Port& port : graph.inputs()) known.insert_or_assign(port.value, fed.at(port.name));
  for (const Variable& variable : graph.variables())
    known.insert_or_assign(variable.value, fed.at(variable.name));
  for (int32_t i = 0; i < static_cast<int32_t>(graph.nodes().size()); ++i) {
    const Node& node = graph.node(i);
    if (node.op == &kInput || node.op == &kVariable) continue;
    if (node.op == &kConstant) {
      Array value(node.outputs[0]);
      value.bytes = *node.attributes.get<Bytes>("value");
      known.insert_or_assign({i, 0}, value);
      continue;
    }
    Arrays operands;
    for (const Value& input : node.inputs) operands.push_back(known.at(input));
    Arrays results = run_reference(*node.op, node.attributes, operands);
    for (size_t o = 0; o < results.size(); ++o)
      known.insert_or_assign({i, static_cast<int32_t>(o)}, std::move(results[o]));
  }
  return known;
}

/// The root of the mean square of the finite elements.
inline double typical_size(const Array& values) {
  double total = 0;
  int64_t n = 0;
  for (size_t i = 0; i < static_cast<size_t>(values.type.elements()); ++i)
    if (const double x = values.at(i); std::isfinite(x) && std::fabs(x) < 1e15) total += x * x, ++n;
  return n == 0 ? 0 : std::sqrt(total / static_cast<double>(n));
}

/// "" if equal: bit for bit (NaN equals NaN) where `tolerance` is 0, else within tolerance times
/// the largest of 1, the reference's number and its typical size; NaN and infinities alike.
inline std::string difference(const Array& got, const Array& wanted, double tolerance) {
  if (got.type != wanted.type) return fmt::format("type {} for {}", got.type, wanted.type);
  const double size = std::max(1.0, tolerance == 0 ? 0 : typical_size(wanted));
  for (size_t i = 0; i < static_cast<size_t>(wanted.type.elements()); ++i) {
    const double a = got.at(i), b = wanted.at(i);
    if (std::isnan(a) && std::isnan(b)) continue;
    const bool equal = tolerance == 0 || std::isinf(b) || std::isinf(a)
                           ? a == b && std::signbit(a) == std::signbit(b)
                           : std::fabs(a - b) <= tolerance * std::max(size, std::fabs(b));
    if (!equal) return fmt::format("element {} is {}, not {}", i, a, b);
  }
  return "";
}

inline std::string difference(const Arrays& got, const Arrays& wanted, double tolerance) {
  if (got.size() != wanted.size()) return "another number of outputs";
  for (size_t o = 0; o < got.size(); ++o)
    if (const std::string text = difference(got[o], wanted[o], tolerance); !text.empty())
      return fmt::format("output {}: {}", o, text);
  return "";
}

/// Runs body once for each instruction set compiled in, then returns to the best.
template <typename Body>
void on_every_instruction_set(Body body) {
  const int threads = thread_count();
  for (const std::string& name : cpu::instruction_sets()) {
    INFO(name);
    cpu::use_instruction_set(name);
    body();
  }
  cpu::use_instruction_set("");
  set_thread_count(threads);
}

inline std::string describe(const OpDef& op, const Sample& sample) {
  return fmt::format("{}({}) {}", op.name, fmt::join(sample.inputs, ", "),
                     to_text(sample.attributes));
}

/// `sample` with other sizes: every size above 1 that occurs in it (in shapes, in the attributes
/// "shape" and "rows", as index limit) is replaced, the order among the sizes kept. Nothing where
/// the op does not take the result.
inline std::optional<Sample> resized(const OpDef& op, const Sample& sample, Random& random,
                                     int64_t largest = 40) {
  std::map<int64_t, int64_t> sizes;
  for (const Type& type : sample.inputs)
    for (const int64_t size : type.shape) sizes[size] = size;
  int64_t low = 1;
  size_t left = sizes.size();
  for (auto& [old, size] : sizes) {
    --left;
    if (old <= 1) continue;
    const int64_t room = std::max<int64_t>(1, (largest - low) / static_cast<int64_t>(left + 1));
    size = low = low + 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(room)));
  }
  const auto renamed = [&](int64_t size) { return sizes.contains(size) ? sizes[size] : size; };
  Sample result = sample;
  for (Type& type : result.inputs)
    for (int64_t& size : type.shape) size = renamed(size);
  for (const auto& [name, value] : sample.attributes.values()) {
    if (name == "shape") {
      Shape shape = std::get<std::vector<int64_t>>(value);
      for (int64_t& size : shape) size = renamed(size);
      result.attributes.set(name, shape);
    } else if (name == "rows") {
      const int64_t rows = std::get<int64_t>(value);
      result.attributes.set(name, std::max(renamed(rows), rows + low));
    }
  }
  result.index_limit = renamed(sample.index_limit);
  try {
    infer(op, result.attributes, result.inputs);
  } catch (const std::exception&) {
    return {};
  }
  return result;
}

/// Whether the same elements of both, in f32, are finite.
inline bool finite_alike(const Array& got, const Array& wanted) {
  for (size_t i = 0; i < wanted.as().size(); ++i)
    if (std::isfinite(got.as()[i]) != std::isfinite(wanted.as()[i])) return false;
  return true;
}

/// `sample` with operands of bf16 where it has f32.
inline Sample narrowed(Sample sample) {
  for (Type& type : sample.inputs)
    if (type.dtype == DType::f32) type.dtype = DType::bf16;
  return sample;
}

/// `sample` with nothing along one of its axes, or along all that are as long as it, wherever the
/// op takes that.
inline std::vector<Sample> emptied(const OpDef& op, const Sample& sample) {
  std::vector<Sample> found;
  const auto add = [&](Sample changed) {
    try {
      infer(op, changed.attributes, changed.inputs);
      run_reference(op, changed.attributes, random_operands(changed, 3));
      found.push_back(std::move(changed));
    } catch (const std::exception&) {  // an index into nothing among them
    }
  };
  std::set<int64_t> sizes;
  for (size_t i = 0; i < sample.inputs.size(); ++i)
    for (size_t axis = 0; axis < sample.inputs[i].shape.size(); ++axis) {
      sizes.insert(sample.inputs[i].shape[axis]);
      Sample one = sample;
      one.inputs[i].shape[axis] = 0;
      add(std::move(one));
    }
  for (const int64_t size : sizes) {
    Sample all = sample;
    for (Type& type : all.inputs) std::ranges::replace(type.shape, size, 0);
    for (const auto& [name, value] : sample.attributes.values())
      if (name == "shape") {
        Shape shape = std::get<std::vector<int64_t>>(value);
        std::ranges::replace(shape, size, 0);
        all.attributes.set(name, shape);
      }
    add(std::move(all));
  }
  return found;
}

/// Every sample and as many resized ones.
inline std::vector<Sample> all_samples(const OpDef& op, int extra, int64_t largest = 40) {
  std::vector<Sample> samples = op.samples;
  Random random(op.name.size() * 1000 + static_cast<size_t>(op.name[0]));
  for (const Sample& sample : op.samples)
    for (int i = 0; i < extra; ++i)
      if (auto other = resized(op, sample, random, largest)) samples.push_back(std::move(*other));
  return samples;
}

}  // namespace argosy::test
