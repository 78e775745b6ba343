#include "base/random.h"

#include <algorithm>
#include <numbers>

#include "backend/cpu/kernels.h"
#include "base/threads.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/random.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

// Random numbers: element i is a function of (seed, stream, i), so that threads share the work.
HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

/// Box-Muller on pairs of uniform numbers in [0, 1): u and v, n of each, a multiple of any vector's
/// length; y gets cosine and sine in turn.
void NormalPairs(const float* u, const float* v, float* y, size_t n) {
  const D d;
  const V one = hn::Set(d, 1), factor = hn::Set(d, -2),
          turn = hn::Set(d, 2.0f * std::numbers::pi_v<float>);
  for (size_t i = 0; i < n; i += hn::Lanes(d)) {
    // 1 - u keeps the logarithm's argument above zero
    const V radius = hn::Sqrt(hn::Mul(factor, hn::Log(d, hn::Sub(one, hn::LoadU(d, u + i)))));
    const V angle = hn::Mul(turn, hn::LoadU(d, v + i));
    hn::StoreInterleaved2(hn::Mul(radius, hn::Cos(d, angle)), hn::Mul(radius, hn::Sin(d, angle)), d,
                          y + 2 * i);
  }
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(NormalPairs);

namespace {

constexpr int64_t kGrain = 1024;  // elements that pay for a thread

uint64_t stream_of(const KernelRequest& request) {
  return static_cast<uint64_t>(request.attributes.get<int64_t>("stream"));
}

uint64_t seed_of(const KernelArgs& k) { return static_cast<uint64_t>(k.in<int64_t>(0)[0]); }

}  // namespace

std::optional<Kernel> make_random_uniform(const KernelRequest& request) {
  return Kernel{.run = [stream = stream_of(request)](KernelArgs& k) {
    const uint64_t seed = seed_of(k);
    const auto n = static_cast<int64_t>(k.out().size());
    parallel_for((n + 3) / 4, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const auto words = philox(seed, stream, static_cast<uint64_t>(block));
        for (int64_t j = 0; j < std::min<int64_t>(4, n - block * 4); ++j)
          k.out()[static_cast<size_t>(block * 4 + j)] = unit_float(words[static_cast<size_t>(j)]);
      }
    });
  }};
}

std::optional<Kernel> make_random_normal(const KernelRequest& request) {
  return Kernel{.run = [stream = stream_of(request)](KernelArgs& k) {
    constexpr int64_t kTile = 256;  // elements; a whole number of draws and of vectors
    const uint64_t seed = seed_of(k);
    const auto n = static_cast<int64_t>(k.out().size());
    parallel_for((n + kTile - 1) / kTile, kGrain / kTile, [&](int64_t begin, int64_t end) {
      float u[kTile / 2], v[kTile / 2], y[kTile];
      for (int64_t tile = begin; tile < end; ++tile) {
        for (size_t pair = 0; pair < kTile / 2; pair += 2) {
          const auto words =
              philox(seed, stream, static_cast<uint64_t>(tile) * (kTile / 4) + pair / 2);
          u[pair] = unit_float(words[0]);
          v[pair] = unit_float(words[1]);
          u[pair + 1] = unit_float(words[2]);
          v[pair + 1] = unit_float(words[3]);
        }
        HWY_DYNAMIC_DISPATCH(NormalPairs)(u, v, y, kTile / 2);
        std::copy_n(y, std::min(kTile, n - tile * kTile), k.out().data() + tile * kTile);
      }
    });
  }};
}

}  // namespace argosy::cpu
#endif
