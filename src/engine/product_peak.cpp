#include "engine/product_peak.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "engine/session.h"
#include "ops/ops.h"

namespace argosy {
namespace {

constexpr double kSecondsEach = 0.06;

double product_flops(DType dtype, int64_t size) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  Graph graph;
  const Type square{dtype, {size, size}};
  graph.output("c", ops::matrix_multiply(graph.input("a", square), graph.input("b", square)));
  Session session(std::move(graph));
  for (const char* name : {"a", "b"})  // 0.747 in both formats: denormals or NaN would take longer
    std::ranges::fill(session.input(name).bytes, std::byte{0x3f});
  session.run();  // warm
  double fastest_s = std::numeric_limits<double>::infinity();
  const auto begin = Clock::now();
  for (int runs = 0; runs < 3 || since(begin) < kSecondsEach; ++runs) {
    const auto start = Clock::now();
    session.run();
    fastest_s = std::min(fastest_s, since(start));
  }
  return session.program().flops() / fastest_s;
}

}  // namespace

double product_peak_flops(DType dtype) {
  double best = 0;  // of some squares, as the best size depends on the caches
  for (const int64_t size : {384, 512, 768}) best = std::max(best, product_flops(dtype, size));
  return best;
}

}  // namespace argosy
