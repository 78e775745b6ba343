#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/cpu/optimizer_states.h"
#include "base/threads.h"
#include "ops/optimizer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/optimizers.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// The optimizers' sweeps. All parameters together are cut into chunks of a fixed size, which the
// threads share; a chunk goes through the first cache once, whatever the format of its states.

#ifndef ARGOSY_CPU_OPTIMIZERS_CHUNK
#define ARGOSY_CPU_OPTIMIZERS_CHUNK
namespace argosy::cpu {

/// n elements of one parameter and all that moves them; what comes out may lie where it came from.
struct OptimizerChunk {
  size_t n;
  const float *gradient, *parameter;
  const float* states[ops::OptimizerRule::kMaxStates];
  const float* average;  ///< null: there is none
  float* parameter_out;
  float* states_out[ops::OptimizerRule::kMaxStates];
  float* average_out;
  float scale, average_keep;
  ops::OptimizerRule::Settings settings;
};

}  // namespace argosy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

using Settings = ops::OptimizerRule::Settings;

/// Calls move(tag, settings, gradient, parameter, states...) for every vector, and for each of the
/// last elements as a vector of one. By value, so that the compiler sees that no store changes it.
template <size_t states, typename Move>
HWY_INLINE void MoveChunk(const OptimizerChunk c, Move move) {
  size_t i = 0;
  const auto step = [&](auto d) {
    using Vector = hn::Vec<decltype(d)>;
    const Vector g = hn::Mul(hn::LoadU(d, c.gradient + i), hn::Set(d, c.scale));
    Vector p = hn::LoadU(d, c.parameter + i);
    if constexpr (states == 1) {
      Vector first = hn::LoadU(d, c.states[0] + i);
      move(d, c.settings, g, p, first);
      hn::StoreU(first, d, c.states_out[0] + i);
    } else {
      Vector first = hn::LoadU(d, c.states[0] + i), second = hn::LoadU(d, c.states[1] + i);
      move(d, c.settings, g, p, first, second);
      hn::StoreU(first, d, c.states_out[0] + i);
      hn::StoreU(second, d, c.states_out[1] + i);
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

void AdamwChunk(const OptimizerChunk& chunk) {
  MoveChunk<2>(chunk, [](auto d, const Settings& s, auto g, auto& p, auto& m, auto& v) {
    const auto [fresh1, keep2, fresh2, epsilon, rate, correct2, keep, unused] = s;
    m = hn::MulAdd(hn::Set(d, fresh1), hn::Sub(g, m), m);
    v = hn::MulAdd(hn::Set(d, keep2), v, hn::Mul(hn::Set(d, fresh2), hn::Mul(g, g)));
    const auto below = hn::MulAdd(hn::Sqrt(v), hn::Set(d, correct2), hn::Set(d, epsilon));
    p = hn::NegMulAdd(hn::Set(d, rate), hn::Div(m, below), hn::Mul(p, hn::Set(d, keep)));
  });
}

void SgdChunk(const OptimizerChunk& chunk) {
  MoveChunk<1>(chunk, [](auto d, const Settings& s, auto g, auto& p, auto& b) {
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

/// A whole number of 8-bit blocks and of vectors; its tensors fit into the first cache.
constexpr int64_t kChunk = 1024, kGrain = 16;  // elements; chunks that pay for a thread
static_assert(kChunk % ops::kStateBlock == 0);

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
                     .parameter_out = k.out(at).data() + first,
                     .scale = now.scale,
                     .average_keep = now.average_keep,
                     .settings = now.settings[(*now.decayed)[i] != 0]};
    alignas(64) float slopes[kChunk], numbers[ops::OptimizerRule::kMaxStates][kChunk];
    if (k.in_types[gradient].dtype == DType::bf16) {
      widen(k.in<BFloat16>(gradient).data() + first, slopes, n);
      c.gradient = slopes;
    }
    if (call_.averaged) {
      c.average = k.in(call_.average(i)).data() + first;
      c.average_out = k.out(call_.average(i)).data() + first;
    }
    for (size_t s = 0; s < call_.states; ++s) {
      const size_t state = call_.state_of(i, s);
      if (call_.state == DType::f32) {
        c.states[s] = k.in(state).data() + first;
        c.states_out[s] = k.out(state).data() + first;
        continue;
      }
      c.states[s] = c.states_out[s] = numbers[s];
      if (call_.state == DType::bf16)
        widen(k.in<BFloat16>(state).data() + first, numbers[s], n);
      else
        decode(rule_.states[s], k.in<uint8_t>(state).data() + first,
               k.in(call_.scales_of(i, s)).data() + first / ops::kStateBlock, numbers[s], n);
    }
    move_(c);
    if (call_.state == DType::f32) return;
    uint32_t bits[kChunk];
    draw_rounding_bits(ops::rounding_key(now.step, i), first, bits, n);
    for (size_t s = 0; s < call_.states; ++s) {
      const size_t state = call_.state_of(i, s);
      if (call_.state == DType::bf16)
        narrow(numbers[s], k.out<BFloat16>(state).data() + first, n, bits, s);
      else
        encode(rule_.states[s], numbers[s], k.out<uint8_t>(state).data() + first,
               k.out(call_.scales_of(i, s)).data() + first / ops::kStateBlock, n, bits, s);
    }
  }

  const ops::OptimizerRule& rule_;
  void (*move_)(const OptimizerChunk&);
  ops::OptimizerCall call_;
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
