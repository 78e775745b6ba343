#include "bench/machine_bounds.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "base/machine.h"
#include "base/threads.h"
#include "bench/measure.h"
#include "engine/product_peak.h"
#include "ir/op.h"

namespace argosy::bench {
namespace {

constexpr double kSecondsEach = 0.06;

bool multiplies_bf16(const Program& program, const Call& call) {
  return call.op->precision == Precision::narrow && !call.inputs.empty() &&
         program.buffers[static_cast<size_t>(call.inputs[0])].type.dtype == DType::bf16;
}

int64_t copied_bytes() {
  constexpr int64_t kLeast = int64_t{64} << 20, kMost = int64_t{256} << 20;
  return std::clamp(8 * cache_bytes(), kLeast, kMost);
}

constexpr int64_t kGrain = 1 << 14, kWordsGrain = kGrain * 8;  // lines, words that pay for a thread

}  // namespace

double MachineBounds::product_s(const Program& program, const Call& call) const {
  return call.flops / (multiplies_bf16(program, call) ? bf16_flops : f32_flops);
}

double MachineBounds::least_s(const Program& program, const Call& call) const {
  return std::max(product_s(program, call), call.bytes / copy_bytes);
}

MemoryCopy::MemoryCopy()
    : lines_(copied_bytes() / static_cast<int64_t>(sizeof(Line))),
      from_(std::make_unique_for_overwrite<Line[]>(static_cast<size_t>(lines_))),
      to_(std::make_unique_for_overwrite<Line[]>(static_cast<size_t>(lines_))) {
  // written first, so that every page is memory of its own, near the thread that copies it
  parallel_for(lines_, kGrain, [&](int64_t begin, int64_t end) {
    std::fill(&from_[begin], &from_[end], Line{});
    std::fill(&to_[begin], &to_[end], Line{});
  });
}

void MemoryCopy::run() {
  parallel_for(lines_, kGrain, [&](int64_t begin, int64_t end) {
#if defined(__SSE2__)
    for (int64_t line = begin; line < end; ++line) {
      const auto* from = reinterpret_cast<const __m128i*>(from_[line].bytes);
      auto* to = reinterpret_cast<__m128i*>(to_[line].bytes);
      for (int i = 0; i < 4; ++i) _mm_stream_si128(to + i, _mm_load_si128(from + i));
    }
#else
    std::copy(&from_[begin], &from_[end], &to_[begin]);
#endif
  });
}

MemoryRead::MemoryRead()
    : words_(2 * copied_bytes() / static_cast<int64_t>(sizeof(uint64_t))),
      memory_(std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>(words_))) {
  parallel_for(words_, kWordsGrain, [&](int64_t begin, int64_t end) {
    std::fill(&memory_[begin], &memory_[end], uint64_t{1});
  });
}

void MemoryRead::run() {
  std::atomic<uint64_t> seen = 0;
  parallel_for(words_, kWordsGrain, [&](int64_t begin, int64_t end) {
    uint64_t sums[16] = {};
    for (int64_t i = begin; i + 16 <= end; i += 16)
      for (int64_t j = 0; j < 16; ++j) sums[j] += memory_[i + j];
    uint64_t total = 0;
    for (const uint64_t sum : sums) total += sum;
    seen += total;
  });
  check(seen > 0, "nothing was read");
}

double measure_read_bytes() {
  MemoryRead read;
  return read.bytes() / measure([&] { read.run(); }, 0.3).fastest_s;
}

MachineBounds measure_bounds(const Program& program) {
  const bool bf16 = std::ranges::any_of(
      program.calls, [&](const Call& call) { return multiplies_bf16(program, call); });
  MemoryCopy copy;
  const double copy_s = measure([&] { copy.run(); }, 2 * kSecondsEach).fastest_s;
  return {.f32_flops = product_peak_flops(DType::f32),
          .bf16_flops = bf16 ? product_peak_flops(DType::bf16) : 0,
          .copy_bytes = copy.bytes() / copy_s};
}

std::string to_text(const MachineBounds& bounds) {
  std::string bf16;
  if (bounds.bf16_flops > 0) bf16 = fmt::format(", {:.1f} in bf16", bounds.bf16_flops / 1e9);
  return fmt::format("this machine with {} thread(s): {:.1f} GFLOP/s in f32{}, copies {:.1f} GB/s",
                     thread_count(), bounds.f32_flops / 1e9, bf16, bounds.copy_bytes / 1e9);
}

}  // namespace argosy::bench
