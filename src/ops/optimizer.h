#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "ir/op.h"

/// What the optimizers' ops share. One call moves all parameters of a step, so that small tensors
/// cost no call of their own and threads share all elements together.
namespace argosy::ops {

/// How 8 bits spread over a state's numbers; M is the largest size in a block of kStateBlock.
enum class StateRange : uint8_t {
  either_sign,  ///< a sign and a code c in 0..127 for (c / 127)^2 M
  positive,     ///< a code c in 0..255 for (c / 255)^4 M
};
inline constexpr int64_t kStateBlock = 128;

/// What one optimizer is.
struct OptimizerRule {
  static constexpr size_t kMaxStates = 2;
  /// Numbers of one step that all elements with the same weight decay share.
  using Settings = std::array<float, 8>;

  std::span<const StateRange> states;  ///< what is kept for each element of a parameter
  Settings (*settings)(const Attributes&, float rate, float step, float decay);
  /// Moves one element and its states.
  void (*move)(const Settings&, float gradient, float& parameter, float* states);
  double flops;  ///< for one element
};
extern const OptimizerRule adamw_rule, sgd_rule;

/// Where the tensors of an optimizer's call stand.
///
/// operands    for each parameter what the call changes: the parameter (f32); each state, in 8 bits
///             followed by the scales of its blocks; the moving average, if any. Then a gradient
///             for each parameter; then learning rate, step (from 1), gradient scale, and `apply`:
///             0 for a step that changes nothing, whatever the gradients hold
/// outputs     what the call changes, in the same order
/// attributes  those of the rule; "weight_decay"; "decayed", a 1 or 0 for each parameter; "state",
///             f32, bf16 or (for 8 bits) u8; "average_decay", 0 for no moving average
struct OptimizerCall {
  OptimizerCall(const OptimizerRule& rule, size_t operands, const Attributes& attributes);

  DType state;
  bool averaged;
  size_t states, tensors;  ///< for each parameter
  size_t parameters;

  size_t parameter(size_t i) const { return i * tensors; }
  size_t state_of(size_t i, size_t s) const { return i * tensors + 1 + s * each_state(); }
  size_t scales_of(size_t i, size_t s) const { return state_of(i, s) + 1; }  ///< of 8-bit states
  size_t average(size_t i) const { return (i + 1) * tensors - 1; }
  size_t gradient(size_t i) const { return parameters * tensors + i; }
  enum Scalar : size_t { rate, step, scale, apply, kScalars };
  size_t scalar(Scalar which) const { return parameters * (tensors + 1) + which; }

 private:
  size_t each_state() const { return state == DType::u8 ? 2 : 1; }
};

/// How many scales the 8-bit state of so many elements has.
constexpr int64_t scales_for(int64_t elements) {
  return (elements + kStateBlock - 1) / kStateBlock;
}

/// How much of the old moving average remains after step `step`: the early average leans on what
/// there is, so it is at most (1 + step) / (10 + step).
float average_keep(double decay, float step);

// ---- reduced states
//
// A second moment changes by 1 part in 1000 a step, less than half a unit of bf16 or of a code, so
// rounding to nearest would hold it where it is. Therefore states are rounded up or down at random,
// with probabilities that keep the mean. The random bits are a function of (step, parameter,
// element): a resumed run draws the same. Of an element's 32 bits each state takes its own 16.

uint32_t rounding_key(float step, size_t parameter);
/// Each bit of both arguments reaches each bit of the result.
constexpr uint32_t rounding_bits(uint32_t key, uint32_t element) {
  uint32_t x = key + element * 0x9E3779B9U;
  x = (x ^ x >> 16) * 0x85EBCA6BU;
  x = (x ^ x >> 13) * 0xC2B2AE35U;
  return x ^ x >> 16;
}

constexpr uint32_t state_bits(uint32_t bits, size_t state) { return bits >> (16 * state) & 0xFFFF; }

/// `value` as bf16, rounded up with the probability that its lower bits stand for; `bits` are 16.
BFloat16 round_at_random(float value, uint32_t bits);
/// The code of `value` in a block whose largest size is `largest`. A positive number never gets the
/// code 0, since one divides by it. A block of denormal numbers is 0.
uint8_t code_of(StateRange range, float value, float largest, uint32_t bits);
float value_of(StateRange range, uint8_t code, float largest);

// ---- for the definitions of the ops

std::vector<Type> infer_optimizer(const InferArgs& args, const OptimizerRule& rule);
void optimizer_reference(KernelArgs& k, const OptimizerRule& rule);
/// Samples with every kind of state; `attributes` are the rule's own.
std::vector<Sample> optimizer_samples(const OptimizerRule& rule, const Attributes& attributes);

/// The OpDef's functions, which know their rule.
template <const OptimizerRule& rule>
std::vector<Type> infer_optimizer(const InferArgs& args) {
  return infer_optimizer(args, rule);
}
template <const OptimizerRule& rule>
void optimizer_reference(KernelArgs& k) {
  optimizer_reference(k, rule);
}
template <const OptimizerRule& rule>
double optimizer_flops(Types in, Types, const Attributes& attributes) {
  const OptimizerCall call(rule, in.size(), attributes);
  double elements = 0;
  for (size_t i = 0; i < call.parameters; ++i)
    elements += static_cast<double>(in[call.parameter(i)].elements());
  return elements * (rule.flops + (call.averaged ? 3 : 0));
}

}  // namespace argosy::ops
