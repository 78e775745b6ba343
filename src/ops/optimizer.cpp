#include "ops/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "ops/ops.h"

namespace argosy::ops {
namespace {

/// A state as numbers, and back into its format.
class State {
 public:
  State(const KernelArgs& k, const OptimizerCall& call, StateRange range, size_t i, size_t s)
      : call_(call), range_(range), i_(i), s_(s), values(k.in_types[call.parameter(i)].elements()) {
    const size_t at = call.state_of(i, s);
    for (size_t e = 0; e < values.size(); ++e) {
      if (call.state == DType::f32)
        values[e] = k.in(at)[e];
      else if (call.state == DType::bf16)
        values[e] = static_cast<float>(k.in<BFloat16>(at)[e]);
      else
        values[e] = value_of(range, k.in<uint8_t>(at)[e], k.in(at + 1)[e / kStateBlock]);
    }
  }

  void write(KernelArgs& k, float step) const {
    const size_t at = call_.state_of(i_, s_);
    const uint32_t key = rounding_key(step, i_);
    float largest = 0;
    for (size_t e = 0; e < values.size(); ++e) {
      const uint32_t bits = state_bits(rounding_bits(key, static_cast<uint32_t>(e)), s_);
      if (call_.state == DType::f32) {
        k.out(at)[e] = values[e];
      } else if (call_.state == DType::bf16) {
        k.out<BFloat16>(at)[e] = round_at_random(values[e], bits);
      } else {
        if (e % kStateBlock == 0) {
          largest = 0;
          for (size_t j = e; j < std::min(values.size(), e + kStateBlock); ++j)
            largest = std::max(largest, std::abs(values[j]));
          k.out(at + 1)[e / kStateBlock] = largest;
        }
        k.out<uint8_t>(at)[e] = code_of(range_, values[e], largest, bits);
      }
    }
  }

 private:
  const OptimizerCall& call_;
  StateRange range_;
  size_t i_, s_;

 public:
  std::vector<float> values;
};

}  // namespace

OptimizerCall::OptimizerCall(const OptimizerRule& rule, size_t operands,
                             const Attributes& attributes)
    : state(attributes.get<DType>("state")),
      averaged(attributes.get<double>("average_decay") > 0),
      states(rule.states.size()),
      tensors(1 + states * each_state() + (averaged ? 1 : 0)),
      parameters((std::max<size_t>(operands, kScalars) - kScalars) / (tensors + 1)) {}

float average_keep(double decay, float step) {
  return std::min(static_cast<float>(decay), (1.0f + step) / (10.0f + step));
}

uint32_t rounding_key(float step, size_t parameter) {
  return static_cast<uint32_t>(mix(static_cast<uint64_t>(step), parameter));
}

BFloat16 round_at_random(float value, uint32_t bits) {
  BFloat16 result;
  result.bits = static_cast<uint16_t>((std::bit_cast<uint32_t>(value) + bits) >> 16);
  return result;
}

uint8_t code_of(StateRange range, float value, float largest, uint32_t bits) {
  const float share =
      largest >= std::numeric_limits<float>::min() ? std::abs(value) * (1.0f / largest) : 0.0f;
  const bool either = range == StateRange::either_sign;
  // the code below, and how far the share lies towards the code above
  const float root = std::sqrt(share),
              below = either ? std::min(126.0f, std::floor(root * 127))
                             : std::min(254.0f, std::floor(std::sqrt(root) * 255));
  const float low = value_of(range, static_cast<uint8_t>(below), 1),
              high = value_of(range, static_cast<uint8_t>(below + 1), 1);
  float code =
      below + (static_cast<float>(bits) * 0x1p-16f * (high - low) < share - low ? 1.0f : 0.0f);
  if (either) return static_cast<uint8_t>(code) | (value < 0 ? 0x80 : 0);
  if (share > 0) code = std::max(code, 1.0f);
  return static_cast<uint8_t>(code);
}

float value_of(StateRange range, uint8_t code, float largest) {
  if (range == StateRange::either_sign) {
    const auto c = static_cast<float>(code & 0x7F);
    const float size = c * c * (largest / (127.0f * 127.0f));
    return code & 0x80 ? -size : size;
  }
  const auto c = static_cast<float>(code) * static_cast<float>(code);
  return c * c * (largest / (255.0f * 255.0f * 255.0f * 255.0f));
}

std::vector<Type> infer_optimizer(const InferArgs& args, const OptimizerRule& rule) {
  const OptimizerCall call(rule, args.in.size(), args.attributes);
  const size_t n = call.parameters;
  args.require(args.in.size() == call.scalar(OptimizerCall::kScalars),
               "needs whole sets of tensors, a gradient for each, and 4 scalars");
  args.require(args.attributes.get<std::vector<int64_t>>("decayed").size() == n,
               "needs to know of each parameter whether it is decayed");
  args.require(call.state == DType::f32 || call.state == DType::bf16 || call.state == DType::u8,
               "states need to be f32, bf16 or u8");
  for (size_t i = 0; i < n; ++i) {
    const Type& parameter = args.in[call.parameter(i)];
    args.require(parameter.dtype == DType::f32, "parameters need to be f32");
    for (size_t s = 0; s < call.states; ++s) {
      args.require(args.in[call.state_of(i, s)] == Type{call.state, parameter.shape},
                   "a state differs from its parameter or from the format");
      if (call.state == DType::u8)
        args.require(
            args.in[call.scales_of(i, s)] == Type{DType::f32, {scales_for(parameter.elements())}},
            "scales need to be f32, one for each 128 elements");
    }
    if (call.averaged)
      args.require(args.in[call.average(i)] == parameter, "average and parameter differ");
    const Type& gradient = args.in[call.gradient(i)];
    args.require(is_floating(gradient.dtype) && gradient.shape == parameter.shape,
                 "gradient and parameter differ");
  }
  for (size_t i = call.scalar(OptimizerCall::rate); i < args.in.size(); ++i)
    args.require(args.in[i] == Type{DType::f32, {}}, "the settings need to be f32 scalars");
  return {args.in.begin(), args.in.begin() + static_cast<std::ptrdiff_t>(n * call.tensors)};
}

void optimizer_reference(KernelArgs& k, const OptimizerRule& rule) {
  const OptimizerCall call(rule, k.in_types.size(), k.attributes);
  const float rate = k.in(call.scalar(OptimizerCall::rate))[0],
              step = k.in(call.scalar(OptimizerCall::step))[0],
              scale = k.in(call.scalar(OptimizerCall::scale))[0];
  if (k.in(call.scalar(OptimizerCall::apply))[0] == 0) {
    for (size_t o = 0; o < k.out_types.size(); ++o)
      if (k.in_bytes[o] != k.out_bytes[o])
        std::copy_n(k.in_bytes[o], k.out_types[o].bytes(), k.out_bytes[o]);
    return;
  }
  const auto& decayed = k.attributes.get<std::vector<int64_t>>("decayed");
  const auto decay = static_cast<float>(k.attributes.get<double>("weight_decay"));
  const float keep = average_keep(k.attributes.get<double>("average_decay"), step);
  for (size_t i = 0; i < call.parameters; ++i) {
    const OptimizerRule::Settings settings =
        rule.settings(k.attributes, rate, step, decayed[i] ? decay : 0.0f);
    std::vector<State> states;
    for (size_t s = 0; s < call.states; ++s) states.emplace_back(k, call, rule.states[s], i, s);
    const size_t at = call.parameter(i), gradient = call.gradient(i);
    for (size_t e = 0; e < k.in(at).size(); ++e) {
      float numbers[OptimizerRule::kMaxStates] = {};
      for (size_t s = 0; s < call.states; ++s) numbers[s] = states[s].values[e];
      float parameter = k.in(at)[e];
      const float slope = k.in_types[gradient].dtype == DType::f32
                              ? k.in(gradient)[e]
                              : static_cast<float>(k.in<BFloat16>(gradient)[e]);
      rule.move(settings, slope * scale, parameter, numbers);
      k.out(at)[e] = parameter;
      for (size_t s = 0; s < call.states; ++s) states[s].values[e] = numbers[s];
      if (call.averaged)
        k.out(call.average(i))[e] = k.in(call.average(i))[e] * keep + parameter * (1.0f - keep);
    }
    for (const State& state : states) state.write(k, step);
  }
}

std::vector<Sample> optimizer_samples(const OptimizerRule& rule, const Attributes& attributes) {
  const auto make = [&](const std::vector<Shape>& shapes, DType state, double average,
                        DType gradient) {
    Sample s{.attributes = attributes, .low = 0.1f, .high = 1, .index_limit = 256};
    std::vector<int64_t> decayed;
    for (const Shape& shape : shapes) {
      s.inputs.push_back({DType::f32, shape});
      for (size_t i = 0; i < rule.states.size(); ++i) {
        s.inputs.push_back({state, shape});
        if (state == DType::u8) s.inputs.push_back({DType::f32, {scales_for(count(shape))}});
      }
      if (average > 0) s.inputs.push_back({DType::f32, shape});
      decayed.push_back(decayed.empty() ? 1 : 0);
    }
    for (const Shape& shape : shapes) s.inputs.push_back({gradient, shape});
    s.inputs.resize(s.inputs.size() + OptimizerCall::kScalars, {DType::f32, {}});
    s.attributes.set("weight_decay", 0.1);
    s.attributes.set("decayed", decayed);
    s.attributes.set("state", state);
    s.attributes.set("average_decay", average);
    return s;
  };
  using enum DType;
  return {make({{5}}, f32, 0, f32), make({{3, 67}, {0}, {2}}, f32, 0.99, f32),
          make({{3, 67}}, bf16, 0, bf16), make({{300}, {2, 64}, {3}}, u8, 0, f32),
          make({{0}, {257}}, u8, 0.9, bf16)};
}

}  // namespace argosy::ops
