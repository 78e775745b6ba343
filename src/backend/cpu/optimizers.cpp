#include <algorithm>
#include <cstring>

#include "backend/cpu/conversions.h"
#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/optimizer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/optimizers.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/optimizer_states-inl.h"

// The optimizers' sweeps. All parameters together are cut into chunks of a fixed size, which the
// threads share; a chunk goes through the first cache once, whatever the format of its states.

#ifndef ARGOSY_CPU_OPTIMIZERS_CHUNK
#define ARGOSY_CPU_OPTIMIZERS_CHUNK
namespace argosy::cpu {

/// A whole number of 8-bit blocks and of vectors; its tensors fit into the first cache.
constexpr int64_t kChunk = 1024;
static_assert(kChunk % ops::kStateBlock == 0);

/// n elements of one parameter and all that moves them; what comes out may lie where it came from.
struct OptimizerChunk {
  struct State {
    const std::byte* from;
    std::byte* to;
    ops::StateRange range;  ///< in 8 bits, as the scales of its blocks
    const float* scales;
    float* scales_out;
  };
  size_t n;
  const float *gradient, *parameter;
  DType format;
  State states[ops::OptimizerRule::kMaxStates];
  const float* average;  ///< null: there is none
  float* parameter_out;
  float* average_out;
  float scale, average_keep;
  uint32_t key, first;  ///< of the rounding bits
  ops::OptimizerRule::Settings settings;
};

}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

using Settings = ops::OptimizerRule::Settings;

/// Calls move(tag, settings, gradient, parameter, states...) for every vector, and for each of the
/// last elements as a vector of one; states are f32 or bf16. By value, so that the compiler sees
/// that no store changes it.
template <size_t kStates, DType format, typename Move>
HWY_INLINE void MoveChunk(const OptimizerChunk c, Move move) {
  size_t i = 0;
  const auto step = [&](auto d) {
    using Vector = hn::Vec<decltype(d)>;
    const Vector g = hn::Mul(hn::LoadU(d, c.gradient + i), hn::Set(d, c.scale));
    Vector p = hn::LoadU(d, c.parameter + i), states[kStates];
    unrolled<kStates>([&](size_t s) HWY_ATTR {
      if constexpr (format == DType::bf16)
        states[s] = LoadBf16(d, reinterpret_cast<const uint16_t*>(c.states[s].from) + i);
      else
        states[s] = hn::LoadU(d, reinterpret_cast<const float*>(c.states[s].from) + i);
    });
    if constexpr (kStates == 1)
      move(d, c.settings, g, p, states[0]);
    else
      move(d, c.settings, g, p, states[0], states[1]);
    if constexpr (format == DType::bf16) {
      const auto bits = RoundingBits(d, c.key, c.first + static_cast<uint32_t>(i));
      unrolled<kStates>([&](size_t s) HWY_ATTR {
        StoreBf16(d, states[s], StateBits(d, bits, s),
                  reinterpret_cast<uint16_t*>(c.states[s].to) + i);
      });
    } else {
      unrolled<kStates>([&](size_t s) HWY_ATTR {
        hn::StoreU(states[s], d, reinterpret_cast<float*>(c.states[s].to) + i);
      });
    }
    hn::StoreU(p, d, c.parameter_out + i);
    if (c.average)
      hn::StoreU(hn::MulAdd(hn::LoadU(d, c.average + i), hn::Set(d, c.average_keep),
                            hn::Mul(p, hn::Set(d, 1.0f - c.average_keep))),
                 d, c.average_out + i);
    i += hn::Lanes(d);
  };
  const D d;
  const hn::CappedTag<float, 1> one;
  while (i + hn::Lanes(d) <= c.n) step(d);
  while (i < c.n) step(one);
}

/// The same for states in any format: 8 bits as f32 in the first cache, since a block's scale is
/// known when all of it has moved.
template <size_t kStates, typename Move>
HWY_INLINE void MoveStates(const OptimizerChunk& c, Move move) {
  if (c.format == DType::f32) return MoveChunk<kStates, DType::f32>(c, move);
  if (c.format == DType::bf16) return MoveChunk<kStates, DType::bf16>(c, move);
  HWY_ALIGN float numbers[kStates][kChunk];
  OptimizerChunk wide = c;
  for (size_t s = 0; s < kStates; ++s) {
    const OptimizerChunk::State& state = c.states[s];
    Decode(state.range, reinterpret_cast<const uint8_t*>(state.from), state.scales, numbers[s],
           c.n);
    wide.states[s].to = reinterpret_cast<std::byte*>(numbers[s]);
    wide.states[s].from = wide.states[s].to;
  }
  MoveChunk<kStates, DType::f32>(wide, move);
  HWY_ALIGN uint32_t draws[kChunk];
  for_vectors(
      c.n,
      [&](size_t i) {
        hn::StoreU(RoundingBits(D(), c.key, c.first + static_cast<uint32_t>(i)), Bits(), draws + i);
      },
      [&](size_t i) { draws[i] = ops::rounding_bits(c.key, c.first + static_cast<uint32_t>(i)); });
  const auto encode = [&]<size_t s>(std::integral_constant<size_t, s>) {
    const OptimizerChunk::State& state = c.states[s];
    Encode<s>(state.range, numbers[s], reinterpret_cast<uint8_t*>(state.to), state.scales_out, c.n,
              draws);
  };
  encode(std::integral_constant<size_t, 0>());
  if constexpr (kStates > 1) encode(std::integral_constant<size_t, 1>());
}

void AdamwChunk(const OptimizerChunk& chunk) {
  MoveStates<2>(chunk, [](auto d, const Settings& s, auto g, auto& p, auto& m, auto& v) {
    const auto [fresh1, keep2, fresh2, epsilon, rate, correct2, keep, unused] = s;
    m = hn::MulAdd(hn::Set(d, fresh1), hn::Sub(g, m), m);
    v = hn::MulAdd(hn::Set(d, keep2), v, hn::Mul(hn::Set(d, fresh2), hn::Mul(g, g)));
    const auto below = hn::MulAdd(hn::Sqrt(v), hn::Set(d, correct2), hn::Set(d, epsilon));
    p = hn::NegMulAdd(hn::Set(d, rate), hn::Div(m, below), hn::Mul(p, hn::Set(d, keep)));
  });
}

void SgdChunk(const OptimizerChunk& chunk) {
  MoveStates<1>(chunk, [](auto d, const Settings& s, auto g, auto& p, auto& b) {
    b = hn::MulAdd(hn::Set(d, s[0]), b, hn::MulAdd(hn::Set(d, s[1]), p, g));
    p = hn::NegMulAdd(hn::Set(d, s[2]), b, p);
  });
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(AdamwChunk);
HWY_EXPORT(SgdChunk);

namespace {

constexpr int64_t kGrain = 16;  // chunks that pay for a thread

class Sweep {
 public:
  Sweep(const KernelRequest& request, const ops::OptimizerRule& rule,
        void (*move)(const OptimizerChunk&))
      : rule_(rule), move_(move), call_(rule, request.in.size(), request.attributes) {
    first_chunk_.push_back(0);
    for (size_t i = 0; i < call_.parameters; ++i)
      first_chunk_.push_back(first_chunk_.back() +
                             (request.in[call_.parameter(i)].elements() + kChunk - 1) / kChunk);
  }

  void run(KernelArgs& k) const {
    using Call = ops::OptimizerCall;
    if (k.in(call_.scalar(Call::apply))[0] == 0) {  // nothing moves
      for (size_t o = 0; o < k.out_types.size(); ++o)
        if (k.in_bytes[o] != k.out_bytes[o])
          std::memcpy(k.out_bytes[o], k.in_bytes[o], k.out_types[o].bytes());
      return;
    }
    const float rate = k.in(call_.scalar(Call::rate))[0], step = k.in(call_.scalar(Call::step))[0];
    const auto decay = static_cast<float>(k.attributes.get<double>("weight_decay"));
    const Step now = {
        .step = step,
        .scale = k.in(call_.scalar(Call::scale))[0],
        .average_keep = ops::average_keep(k.attributes.get<double>("average_decay"), step),
        .decayed = &k.attributes.get<std::vector<int64_t>>("decayed"),
        .settings = {rule_.settings(k.attributes, rate, step, 0),
                     rule_.settings(k.attributes, rate, step, decay)}};
    parallel_for(first_chunk_.back(), kGrain, [&](int64_t begin, int64_t end) {
      auto i =
          static_cast<size_t>(std::upper_bound(first_chunk_.begin(), first_chunk_.end(), begin) -
                              first_chunk_.begin() - 1);
      for (int64_t chunk = begin; chunk < end; ++chunk) {
        while (chunk >= first_chunk_[i + 1]) ++i;
        run_chunk(k, now, i, (chunk - first_chunk_[i]) * kChunk);
      }
    });
  }

 private:
  struct Step {
    float step, scale, average_keep;
    const std::vector<int64_t>* decayed;
    ops::OptimizerRule::Settings settings[2];  ///< without and with weight decay
  };

  void run_chunk(KernelArgs& k, const Step& now, size_t i, int64_t first) const {
    const size_t at = call_.parameter(i), gradient = call_.gradient(i);
    const auto n = static_cast<size_t>(std::min(kChunk, k.in_types[at].elements() - first));
    OptimizerChunk c{.n = n,
                     .gradient = k.in(gradient).data() + first,
                     .parameter = k.in(at).data() + first,
                     .format = call_.state,
                     .parameter_out = k.out(at).data() + first,
                     .scale = now.scale,
                     .average_keep = now.average_keep,
                     .key = ops::rounding_key(now.step, i),
                     .first = static_cast<uint32_t>(first),
                     .settings = now.settings[(*now.decayed)[i] != 0]};
    alignas(64) float slopes[kChunk];
    if (k.in_types[gradient].dtype == DType::bf16) {
      widen_(k.in_bytes[gradient] + static_cast<size_t>(first) * sizeof(BFloat16), slopes, n);
      c.gradient = slopes;
    }
    if (call_.averaged) {
      c.average = k.in(call_.average(i)).data() + first;
      c.average_out = k.out(call_.average(i)).data() + first;
    }
    for (size_t s = 0; s < call_.states; ++s) {
      const size_t state = call_.state_of(i, s);
      const size_t offset = static_cast<size_t>(first) * size_of(call_.state);
      c.states[s] = {.from = k.in_bytes[state] + offset,
                     .to = k.out_bytes[state] + offset,
                     .range = rule_.states[s]};
      if (call_.state != DType::u8) continue;
      c.states[s].scales = k.in(call_.scales_of(i, s)).data() + first / ops::kStateBlock;
      c.states[s].scales_out = k.out(call_.scales_of(i, s)).data() + first / ops::kStateBlock;
    }
    move_(c);
  }

  const ops::OptimizerRule& rule_;
  void (*move_)(const OptimizerChunk&);
  ops::OptimizerCall call_;
  ConvertFunction widen_ = find_widen(DType::bf16);
  std::vector<int64_t> first_chunk_;  ///< of each parameter, and the number of all
};

Kernel make_sweep(const KernelRequest& request, const ops::OptimizerRule& rule,
                  void (*move)(const OptimizerChunk&)) {
  return {.run = [sweep = Sweep(request, rule, move)](KernelArgs& k) { sweep.run(k); }};
}

}  // namespace

std::optional<Kernel> make_adamw(const KernelRequest& request) {
  return make_sweep(request, ops::adamw_rule,
                    [](const OptimizerChunk& c) { HWY_DYNAMIC_DISPATCH(AdamwChunk)(c); });
}

std::optional<Kernel> make_sgd(const KernelRequest& request) {
  return make_sweep(request, ops::sgd_rule,
                    [](const OptimizerChunk& c) { HWY_DYNAMIC_DISPATCH(SgdChunk)(c); });
}

}  // namespace argosy::cpu
#endif
