#include <doctest/doctest.h>

#include <limits>
#include <utility>

#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

// Convolutions of 3 x 3 and stride 1, whose kernels compute in another order than the definition
// says (backend/cpu/winograd.cpp).
namespace {

struct Case {
  Shape x;
  int64_t results;
  std::vector<int64_t> padding;  // top, bottom, left, right
};

/// The three ops of a case, each with operands.
struct Run {
  const OpDef* op;
  Sample sample;
};
std::vector<Run> runs_of(const Case& c) {
  const Shape weight = {c.results, 3, 3, c.x[3]};
  const Attributes attributes = {{"stride", std::vector<int64_t>{1, 1}},
                                 {"dilation", std::vector<int64_t>{1, 1}},
                                 {"padding", c.padding},
                                 {"groups", int64_t{1}}};
  const Shape y =
      infer(ops::convolution, attributes, {{DType::f32, c.x}, {DType::f32, weight}})[0].shape;
  Attributes of_x = attributes, of_weight = attributes;
  of_x.set("shape", c.x), of_weight.set("shape", weight);
  return {{&ops::convolution, sample({c.x, weight}, attributes)},
          {&ops::convolution_gradient_input, sample({y, weight}, of_x)},
          {&ops::convolution_gradient_weight, sample({c.x, y}, of_weight)}};
}

// sides that tiles divide and do not, channels that vectors divide and do not, edges of all widths
const Case kCases[] = {{{2, 17, 16, 32}, 48, {1, 1, 1, 1}},
                       {{1, 27, 26, 37}, 43, {0, 0, 0, 0}},
                       {{3, 13, 15, 36}, 32, {2, 0, 1, 2}},
                       {{90, 2, 3, 32}, 56, {1, 2, 2, 1}},
                       {{600, 1, 1, 32}, 40, {1, 1, 1, 1}}};

}  // namespace

TEST_CASE("cpu: convolutions with fewer products equal the reference, to the bits at all threads") {
  const int before = thread_count();
  for (const Case& c : kCases)
    for (const Run& r : runs_of(c)) {
      INFO(describe(*r.op, r.sample));
      const Arrays in = random_operands(r.sample, 5);
      const Arrays wanted = run_reference(*r.op, r.sample.attributes, in);
      on_every_instruction_set([&] {
        Arrays first;
        // the last runs on more threads than it was made for
        for (const auto& [made_for, threads] : {std::pair(3, 3), {1, 1}, {2, 5}}) {
          set_thread_count(made_for);
          const cpu::Kernel kernel = backend_kernel(*r.op, r.sample.attributes, in);
          set_thread_count(threads);
          REQUIRE_FALSE(kernel.reference);
          const Arrays got = run(kernel, *r.op, r.sample.attributes, in);
          CHECK(difference(got, wanted, 2e-5) == "");
          if (first.empty()) first = got;
          CHECK(difference(got, first, 0) == "");
        }
      });
    }
  set_thread_count(before);
}

TEST_CASE(
    "cpu: what is not finite reaches the results of a convolution that see it, and no others") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 1e38f})
    for (const Run& r : runs_of({{3, 14, 13, 32}, 36, {1, 1, 1, 1}}))
      for (const size_t operand : {0u, 1u}) {
        Arrays in = random_operands(r.sample, 5);
        const size_t n = in[operand].as().size();
        in[operand].as()[n / 2] = bad;
        const float large = std::isfinite(bad) ? bad : 1;
        if (std::isfinite(bad)) in[operand].as()[n / 2 + 32] = -bad;
        INFO(describe(*r.op, r.sample), ", ", bad, " in operand ", operand);
        const Arrays wanted = run_reference(*r.op, r.sample.attributes, in);
        const Arrays got = run_backend(*r.op, r.sample.attributes, in);
        CHECK(finite_alike(got[0], wanted[0]));
        size_t finite = 0;
        bool same = true;
        for (size_t i = 0; i < wanted[0].as().size(); ++i) {
          const float x = got[0].as()[i], y = wanted[0].as()[i];
          if (!std::isfinite(y)) continue;
          ++finite;
          same &= std::abs(x - y) <= 1e-4f * large;
        }
        CHECK(finite > 0);
        CHECK(same);
      }
}
