#include "bench/machine_bounds.h"

#include <unistd.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>

#include "base/threads.h"
#include "bench/measure.h"
#include "engine/session.h"
#include "ir/op.h"
#include "ops/ops.h"

namespace argosy::bench {
namespace {

constexpr double kSecondsEach = 0.06;

bool multiplies_bf16(const Program& program, const Call& call) {
  return call.op->precision == Precision::narrow && !call.inputs.empty() &&
         program.buffers[static_cast<size_t>(call.inputs[0])].type.dtype == DType::bf16;
}

double product_flops(DType dtype, int64_t size) {
  Graph graph;
  const Type square{dtype, {size, size}};
  graph.output("c", ops::matrix_multiply(graph.input("a", square), graph.input("b", square)));
  Session session(std::move(graph));
  for (const char* name : {"a", "b"})  // 0.747 in both formats: denormals or NaN would take longer
    std::ranges::fill(session.input(name).bytes, std::byte{0x3f});
  session.run();  // warm
  return session.program().flops() / measure(session, kSecondsEach).fastest_s;
}

/// Of some squares, as the best size depends on the caches.
double best_product_flops(DType dtype) {
  double best = 0;
  for (const int64_t size : {384, 512, 768}) best = std::max(best, product_flops(dtype, size));
  return best;
}

int64_t copied_bytes() {
  constexpr int64_t kLeast = int64_t{64} << 20, kMost = int64_t{256} << 20;
  const int64_t cache = sysconf(_SC_LEVEL3_CACHE_SIZE);  // 0 or -1 where the system does not say
  return std::clamp(2 * cache, kLeast, kMost);
}

constexpr int64_t kGrain = 1 << 14;  // lines that pay for a thread

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
    _mm_sfence();
#else
    std::copy(&from_[begin], &from_[end], &to_[begin]);
#endif
  });
}

MachineBounds measure_bounds(const Program& program) {
  const bool bf16 = std::ranges::any_of(
      program.calls, [&](const Call& call) { return multiplies_bf16(program, call); });
  MemoryCopy copy;
  const double copy_s = measure([&] { copy.run(); }, 2 * kSecondsEach).fastest_s;
  return {.f32_flops = best_product_flops(DType::f32),
          .bf16_flops = bf16 ? best_product_flops(DType::bf16) : 0,
          .copy_bytes = copy.bytes() / copy_s};
}

std::string to_text(const MachineBounds& bounds) {
  std::string bf16;
  if (bounds.bf16_flops > 0) bf16 = fmt::format(", {:.1f} in bf16", bounds.bf16_flops / 1e9);
  return fmt::format("this machine with {} thread(s): {:.1f} GFLOP/s in f32{}, copies {:.1f} GB/s",
                     thread_count(), bounds.f32_flops / 1e9, bf16, bounds.copy_bytes / 1e9);
}

}  // namespace argosy::bench
