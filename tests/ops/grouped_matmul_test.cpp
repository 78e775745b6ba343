#include <doctest/doctest.h>

#include "base/threads.h"
#include "kernel_runs.h"

// Counts that random samples seldom have, and sizes that make the kernel cut its operands.

using namespace argosy;
using namespace argosy::test;

namespace {

struct Case {
  int64_t rows, inner, width;
  std::vector<int32_t> counts;
};

std::string describe(const Case& c) {
  return fmt::format("{} rows, {} x {}, counts {}", c.rows, c.inner, c.width, c.counts);
}

Array counts_of(const Case& c) {
  Array counts({DType::i32, {static_cast<int64_t>(c.counts.size())}});
  std::ranges::copy(c.counts, counts.as<int32_t>().begin());
  return counts;
}

Array random_array(const Shape& shape, uint64_t seed) {
  return random_operands({.inputs = {{DType::f32, shape}}, .low = -1, .high = 1}, seed)[0];
}

/// The three products of a layer: forward, back to the rows, back to the weights.
struct Products {
  const OpDef* op;
  Attributes attributes;
  Arrays in;
};

std::vector<Products> products(const Case& c) {
  const auto e = static_cast<int64_t>(c.counts.size());
  const Array x = random_array({c.rows, c.inner}, 1), dy = random_array({c.rows, c.width}, 2),
              weight = random_array({e, c.inner, c.width}, 3), counts = counts_of(c);
  return {{&ops::grouped_matmul, {{"transpose_b", false}}, {x, weight, counts}},
          {&ops::grouped_matmul, {{"transpose_b", true}}, {dy, weight, counts}},
          {&ops::grouped_matmul_gradient_weight, {}, {x, dy, counts}}};
}

}  // namespace

TEST_CASE("grouped_matmul: counts of every kind give the reference's numbers") {
  const std::vector<Case> cases = {{10, 3, 4, {0, 0, 0}},
                                   {10, 3, 4, {4, 0, 6}},
                                   {10, 3, 4, {20, 5}},
                                   {10, 3, 4, {-3, 4, -1, 2}},
                                   {10, 3, 4, {INT32_MAX, INT32_MAX}},
                                   {10, 3, 4, {INT32_MIN, 10}},
                                   {300, 300, 70, {97, 12, 0, 191}},
                                   {40, 3, 1100, {13, 20}},
                                   {700, 5, 65, {600, 7}}};
  const int threads = thread_count();
  for (const std::string& name : cpu::instruction_sets()) {
    cpu::use_instruction_set(name);
    for (const Case& c : cases)
      for (const auto& [op, attributes, in] : products(c)) {
        const cpu::Kernel kernel = backend_kernel(*op, attributes, in);
        CHECK_FALSE(kernel.reference);
        for (const int count : {1, 3}) {
          set_thread_count(count);
          INFO(fmt::format("{} {}, {}, {} threads", op->name, name, describe(c), count));
          CHECK(difference(run(kernel, *op, attributes, in), run_reference(*op, attributes, in),
                           2e-5) == "");
        }
      }
  }
  cpu::use_instruction_set("");
  set_thread_count(threads);
}

TEST_CASE("grouped_matmul: the same bits at 1, 2, 3 and 7 threads") {
  const int threads = thread_count();
  for (const Case& c : {Case{1200, 270, 90, {400, 3, 0, 500, 97}}, Case{64, 33, 2500, {64}}})
    for (const auto& [op, attributes, in] : products(c)) {
      INFO(fmt::format("{} {}", op->name, describe(c)));
      const cpu::Kernel kernel = backend_kernel(*op, attributes, in);
      set_thread_count(1);
      const Arrays alone = run(kernel, *op, attributes, in);
      for (const int count : {2, 3, 7}) {
        set_thread_count(count);
        CHECK(difference(run(kernel, *op, attributes, in), alone, 0) == "");
      }
    }
  set_thread_count(threads);
}
