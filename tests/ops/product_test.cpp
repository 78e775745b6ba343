#include <doctest/doctest.h>

#include <limits>

#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

constexpr double kTolerance = 1e-4;

void check_against_reference(const OpDef& op, const Sample& sample) {
  const Arrays in = random_operands(sample, 5);
  const Arrays wanted = run_reference(op, sample.attributes, in);
  on_every_instruction_set([&] {
    const cpu::Kernel kernel = backend_kernel(op, sample.attributes, in);
    REQUIRE_FALSE(kernel.reference);
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      INFO(fmt::format("{}, {} threads", describe(op, sample), threads));
      CHECK(difference(run(kernel, op, sample.attributes, in), wanted, kTolerance) == "");
    }
  });
}

}  // namespace

TEST_CASE("cpu: products of more than one block equal the reference, however the operands lie") {
  const int threads = thread_count();
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      // sizes that no block or tile divides; lines 4 KB apart, which are copied
      for (const auto& [m, n, k] : {std::array<int64_t, 3>{29, 421, 801}, {200, 17, 1024}}) {
        const Shape a = ta ? Shape{k, m} : Shape{m, k}, b = tb ? Shape{n, k} : Shape{k, n};
        check_against_reference(ops::matmul,
                                sample({a, b}, {{"transpose_a", ta}, {"transpose_b", tb}}));
      }
    }
  set_thread_count(threads);
}

TEST_CASE("cpu: the gradient of a convolution's large weight equals the reference") {
  const int threads = thread_count();
  struct Case {
    Shape x, weight;
    int64_t stride, dilation, padding;
  };
  for (const Case& c : {Case{{2, 5, 4, 130}, {900, 3, 3, 130}, 1, 1, 1},
                        {{1, 7, 6, 257}, {512, 3, 3, 257}, 2, 1, 1},
                        {{1, 6, 6, 300}, {400, 3, 3, 300}, 1, 2, 2}}) {
    const Attributes attributes = {{"stride", std::vector{c.stride, c.stride}},
                                   {"dilation", std::vector{c.dilation, c.dilation}},
                                   {"padding", std::vector<int64_t>(4, c.padding)},
                                   {"groups", int64_t{1}}};
    const Shape y =
        infer(ops::convolution, attributes, {{DType::f32, c.x}, {DType::f32, c.weight}})[0].shape;
    Attributes with_shape = attributes;
    with_shape.set("shape", c.weight);
    const Sample sizes = sample({c.x, y}, with_shape);
    check_against_reference(ops::convolution_gradient_weight, sizes);
    // at a corner, from which some taps see nothing but the padding
    Arrays in = random_operands(sizes, 5);
    in[1].as()[0] = std::numeric_limits<float>::infinity();
    const Arrays wanted = run_reference(ops::convolution_gradient_weight, with_shape, in),
                 got = run_backend(ops::convolution_gradient_weight, with_shape, in);
    CHECK_FALSE(std::ranges::all_of(wanted[0].as(), [](float x) { return std::isfinite(x); }));
    CHECK(finite_alike(got[0], wanted[0]));
  }
  set_thread_count(threads);
}
