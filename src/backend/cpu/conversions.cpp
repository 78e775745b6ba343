#include "backend/cpu/conversions.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

#include "backend/cpu/backend.h"
#include "base/machine.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/conversions.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {

void widen_u8(const std::byte* from, float* to, size_t n) {
  const D d;
  const hn::Rebind<uint8_t, D> bytes;
  const hn::Rebind<int32_t, D> whole;
  const auto* p = reinterpret_cast<const uint8_t*>(from);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::ConvertTo(d, hn::PromoteTo(whole, hn::LoadU(bytes, p + i))), d, to + i);
  for (; i < n; ++i) to[i] = p[i];
}

void widen_bf16(const std::byte* from, float* to, size_t n) {
  const D d;
  const hn::RebindToUnsigned<D> whole;
  const hn::Rebind<uint16_t, D> half;
  const auto* p = reinterpret_cast<const uint16_t*>(from);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(whole, hn::LoadU(half, p + i)))), d,
               to + i);
  for (; i < n; ++i) to[i] = std::bit_cast<float>(uint32_t{p[i]} << 16);
}

/// Calls plain(i) for elements before the first cache line of `to`, vector(i) from there on, and
/// plain(i) for the rest.
template <typename T, typename Vector, typename Plain>
HWY_INLINE void for_lines(const T* to, size_t n, Vector vector, Plain plain) {
  constexpr size_t kLine = 64;
  const size_t lanes = hn::Lanes(D());
  const size_t before = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine / sizeof(T);
  size_t i = 0;
  for (; i < std::min(before, n); ++i) plain(i);
  for (; i + lanes <= n; i += lanes) vector(i);
  for (; i < n; ++i) plain(i);
}

void stream_f32(const float* from, std::byte* to, size_t n) {
  const D d;
  auto* p = reinterpret_cast<float*>(to);
  for_lines(
      p, n, [&](size_t i) { hn::Stream(hn::LoadU(d, from + i), d, p + i); },
      [&](size_t i) { p[i] = from[i]; });
}

using Halves = hn::Rebind<uint16_t, D>;

/// As BFloat16 rounds: to nearest even, NaN stays NaN. Not by the CPU's own instruction, which
/// takes the tiniest numbers to 0.
HWY_INLINE hn::Vec<Halves> rounded(V x) {
  const hn::RebindToUnsigned<D> whole;
  const auto bits = hn::BitCast(whole, x), upper = hn::ShiftRight<16>(bits);
  const auto even = hn::And(upper, hn::Set(whole, 1));
  const auto nearest = hn::ShiftRight<16>(hn::Add(hn::Add(bits, even), hn::Set(whole, 0x7FFF)));
  const auto kept = hn::IfThenElse(hn::RebindMask(whole, hn::IsNaN(x)),
                                   hn::Or(upper, hn::Set(whole, 0x40)), nearest);
  return hn::TruncateTo(Halves(), kept);
}

void narrow_bf16(const float* from, std::byte* to, size_t n) {
  auto* p = reinterpret_cast<BFloat16*>(to);
  for_vectors(
      n,
      [&](size_t i) {
        hn::StoreU(rounded(hn::LoadU(D(), from + i)), Halves(), reinterpret_cast<uint16_t*>(p + i));
      },
      [&](size_t i) { p[i] = BFloat16(from[i]); });
}

void round_bf16(float* x, size_t n) {
  const hn::RebindToUnsigned<D> whole;
  for_vectors(
      n,
      [&](size_t i) {
        const auto upper = hn::PromoteTo(whole, rounded(hn::LoadU(D(), x + i)));
        hn::StoreU(hn::BitCast(D(), hn::ShiftLeft<16>(upper)), D(), x + i);
      },
      [&](size_t i) { x[i] = static_cast<float>(BFloat16(x[i])); });
}

void stream_bf16(const float* from, std::byte* to, size_t n) {
  constexpr size_t kLeast = 16;  // bytes that the CPU stores so
  if (hn::Lanes(D()) * sizeof(BFloat16) < kLeast) return narrow_bf16(from, to, n);
  auto* p = reinterpret_cast<BFloat16*>(to);
  for_lines(
      p, n,
      [&](size_t i) {
        hn::Stream(rounded(hn::LoadU(D(), from + i)), Halves(), reinterpret_cast<uint16_t*>(p + i));
      },
      [&](size_t i) { p[i] = BFloat16(from[i]); });
}

ConvertFunction FindWidenU8() { return widen_u8; }
ConvertFunction FindWidenBf16() { return widen_bf16; }
NarrowFunction FindNarrowBf16() { return narrow_bf16; }
RoundFunction FindRoundBf16() { return round_bf16; }
NarrowFunction FindStreamF32() { return stream_f32; }
NarrowFunction FindStreamBf16() { return stream_bf16; }

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(FindWidenU8);
HWY_EXPORT(FindWidenBf16);
HWY_EXPORT(FindNarrowBf16);
HWY_EXPORT(FindRoundBf16);
HWY_EXPORT(FindStreamF32);
HWY_EXPORT(FindStreamBf16);

ConvertFunction find_widen(DType from) {
  switch (from) {
    case DType::u8:
    case DType::boolean:
      return HWY_DYNAMIC_DISPATCH(FindWidenU8)();
    case DType::bf16:
      return HWY_DYNAMIC_DISPATCH(FindWidenBf16)();
    case DType::f32:
      return [](const std::byte* x, float* y, size_t n) { std::memcpy(y, x, n * sizeof(float)); };
    default:
      return nullptr;
  }
}

RoundFunction find_round_bf16() { return HWY_DYNAMIC_DISPATCH(FindRoundBf16)(); }

NarrowFunction find_narrow(DType to) {
  switch (to) {
    case DType::boolean:
      return [](const float* x, std::byte* y, size_t n) {
        for (size_t i = 0; i < n; ++i) y[i] = static_cast<std::byte>(x[i] != 0);
      };
    case DType::bf16:
      return HWY_DYNAMIC_DISPATCH(FindNarrowBf16)();
    case DType::f32:
      return [](const float* x, std::byte* y, size_t n) { std::memcpy(y, x, n * sizeof(float)); };
    default:
      return nullptr;
  }
}

namespace {

size_t of_this_machine() {
  return cache_bytes() > 0 ? static_cast<size_t>(cache_bytes()) : SIZE_MAX;
}
std::atomic<size_t> streaming_above = of_this_machine();

}  // namespace

void use_streaming_above(std::optional<size_t> bytes) {
  streaming_above = bytes.value_or(of_this_machine());
}

bool passes_caches(const KernelArgs& k, size_t output) {
  const Type& type = k.out_types[output];
  return type.bytes() > streaming_above &&
         (type.dtype == DType::f32 || type.dtype == DType::bf16) &&
         std::ranges::find(k.in_bytes, k.out_bytes[output]) == k.in_bytes.end();
}

NarrowFunction find_streaming(DType to) {
  return to == DType::bf16 ? HWY_DYNAMIC_DISPATCH(FindStreamBf16)()
                           : HWY_DYNAMIC_DISPATCH(FindStreamF32)();
}

}  // namespace argosy::cpu
#endif
