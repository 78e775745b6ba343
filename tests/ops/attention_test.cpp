#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "kernel_runs.h"

// What attention does at its edges; ops/*_test.cpp compare all its samples.

using namespace argosy;
using namespace argosy::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                kNan = std::numeric_limits<float>::quiet_NaN();

struct Options {
  bool causal = true;
  int64_t window = 0;
  double soft_cap = 0;
};

Attributes attributes(const Options& options) {
  return {{"causal", options.causal},
          {"scale", 0.5},
          {"window", options.window},
          {"soft_cap", options.soft_cap}};
}

/// dy, q, k, v, and segments if there are any.
struct Operands {
  Array dy, q, k, v;
  std::vector<int32_t> segments;

  Operands(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d) {
    Arrays all =
        random_operands(sample({{b, t, h, d}, {b, t, h, d}, {b, t, g, d}, {b, t, g, d}}), 5);
    dy = all[0], q = all[1], k = all[2], v = all[3];
  }
  Arrays with(Arrays operands) const {
    if (segments.empty()) return operands;
    Array numbers({DType::i32, {q.type.shape[0], q.type.shape[1]}});
    std::ranges::copy(segments, numbers.as<int32_t>().begin());
    operands.push_back(numbers);
    return operands;
  }
};

/// y, log-sum-exp, dq, dk, dv by `run`, which is run_backend or run_reference.
template <typename Run>
Arrays attend(const Operands& x, const Options& options, Run run) {
  const Attributes chosen = attributes(options);
  Arrays results = run(ops::attention, chosen, x.with({x.q, x.k, x.v}));
  for (Array& grad :
       run(ops::attention_gradient, chosen, x.with({x.dy, x.q, x.k, x.v, results[0], results[1]})))
    results.push_back(std::move(grad));
  return results;
}

Arrays by_kernel(const Operands& x, const Options& options = {}) {
  return attend(x, options, [](const auto&... a) { return run_backend(a...); });
}
Arrays by_reference(const Operands& x, const Options& options = {}) {
  return attend(x, options, [](const auto&... a) { return run_reference(a...); });
}

/// All numbers of batch 0 at `place`, over heads and width.
std::span<float> at(Array& array, int64_t place) {
  const auto size = static_cast<size_t>(array.type.shape[2] * array.type.shape[3]);
  return array.as().subspan(static_cast<size_t>(place) * size, size);
}

Array in_bf16(const Array& array) {
  Array narrow({DType::bf16, array.type.shape});
  for (size_t i = 0; i < static_cast<size_t>(array.type.elements()); ++i)
    narrow.set(i, array.at(i));
  return narrow;
}

bool all(std::span<const float> numbers, auto holds) { return std::ranges::all_of(numbers, holds); }
bool is_zero(float x) { return x == 0; }
bool is_finite(float x) { return std::isfinite(x); }

}  // namespace

TEST_CASE("attention: padding sees nothing, gives 0 and takes no gradient, whatever it holds") {
  constexpr int64_t kTimes = 150, kPadding = 90;
  Operands x(1, kTimes, 4, 2, 20);
  x.segments.assign(kTimes, 3);
  for (int64_t t = kPadding; t < kTimes; ++t) {
    x.segments[static_cast<size_t>(t)] = t % 2 == 0 ? -1 : -7;
    for (Array* array : {&x.dy, &x.q, &x.k, &x.v})
      std::ranges::fill(at(*array, t), t % 3 == 0 ? kNan : kInfinity);
  }
  for (const bool causal : {false, true}) {
    const Arrays wanted = by_reference(x, {.causal = causal});
    on_every_instruction_set([&] {
      Arrays got = by_kernel(x, {.causal = causal});
      CHECK(difference(got, wanted, 2e-5) == "");
      for (const size_t o : {0, 2, 3, 4}) {
        INFO(o);
        CHECK(all(got[o].as().first(at(got[o], kPadding).data() - got[o].as().data()), is_finite));
        for (int64_t t = kPadding; t < kTimes; ++t) CHECK(all(at(got[o], t), is_zero));
      }
      for (int64_t t = kPadding; t < kTimes; ++t)
        CHECK(got[1].as()[static_cast<size_t>(t)] == -kInfinity);
    });
  }
}

TEST_CASE("attention: what is not finite stays in the rows that see it, and their keys") {
  constexpr int64_t kTimes = 141, kBad = 70;
  for (const float bad : {kNan, kInfinity})
    for (Array Operands::* broken : {&Operands::q, &Operands::k, &Operands::v, &Operands::dy}) {
      Operands x(1, kTimes, 2, 1, 17);
      const Options options = {.window = 20};
      at(x.*broken, kBad)[3] = bad;
      const Arrays wanted = by_reference(x, options);
      on_every_instruction_set([&] {
        Arrays got = by_kernel(x, options);
        for (int64_t t = 0; t < kBad; ++t) CHECK(all(at(got[0], t), is_finite));
        for (int64_t t = kBad + 20; t < kTimes; ++t) CHECK(all(at(got[0], t), is_finite));
        for (const size_t o : {2, 3, 4})
          for (int64_t t = 0; t < kTimes; ++t)
            if (t <= kBad - 20 || t >= kBad + 20) CHECK(all(at(got[o], t), is_finite));
        for (size_t o = 0; o < got.size(); ++o)
          for (size_t i = 0; i < got[o].as().size(); ++i)
            CHECK(std::isfinite(got[o].as()[i]) == std::isfinite(wanted[o].as()[i]));
      });
    }
}

TEST_CASE("attention: bf16 keeps what is not finite, and padding, to the rows that see it") {
  constexpr int64_t kTimes = 141, kBad = 70, kPadding = 131;
  for (const float bad : {kNan, kInfinity})
    for (Array Operands::* broken : {&Operands::q, &Operands::k, &Operands::v, &Operands::dy}) {
      Operands x(1, kTimes, 2, 1, 17);
      const Options options = {.window = 20};
      at(x.*broken, kBad)[3] = bad;
      x.segments.assign(kTimes, 3);
      for (int64_t t = kPadding; t < kTimes; ++t) {
        x.segments[static_cast<size_t>(t)] = -1;
        for (Array* array : {&x.dy, &x.q, &x.k, &x.v}) std::ranges::fill(at(*array, t), bad);
      }
      for (Array* array : {&x.dy, &x.q, &x.k, &x.v}) *array = in_bf16(*array);
      const Arrays wanted = by_reference(x, options);
      on_every_instruction_set([&] {
        const Arrays got = by_kernel(x, options);
        for (size_t o = 0; o < got.size(); ++o)
          for (size_t i = 0; i < static_cast<size_t>(got[o].type.elements()); ++i)
            CHECK(std::isfinite(got[o].at(i)) == std::isfinite(wanted[o].at(i)));
      });
    }
}

TEST_CASE("attention: a query that sees one key gives its value") {
  Operands x(3, 1, 4, 2, 19);
  on_every_instruction_set([&] {
    Arrays got = by_kernel(x);
    for (size_t b = 0; b < 3; ++b)
      for (size_t h = 0; h < 4; ++h)
        for (size_t d = 0; d < 19; ++d)
          CHECK(got[0].as()[(b * 4 + h) * 19 + d] == x.v.as()[(b * 2 + h / 2) * 19 + d]);
  });
}

TEST_CASE("attention: a window as long as the past, and one segment, change no bit") {
  Operands x(2, 77, 2, 1, 9);
  const Arrays plain = by_kernel(x);
  CHECK(difference(by_kernel(x, {.window = 77}), plain, 0) == "");
  CHECK(difference(by_kernel(x, {.window = int64_t{1} << 40}), plain, 0) == "");
  x.segments.assign(2 * 77, 5);
  CHECK(difference(by_kernel(x), plain, 0) == "");
}

TEST_CASE("attention: packed sequences give what each gives by itself") {
  constexpr int64_t kFirst = 83, kAll = 150;
  Operands x(1, kAll, 2, 2, 16);
  for (int64_t t = 0; t < kAll; ++t) x.segments.push_back(t < kFirst ? 8 : 2);
  Arrays together = by_kernel(x);
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, kFirst}, {kFirst, kAll}}) {
    Operands alone(1, end - begin, 2, 2, 16);
    for (Array Operands::* one : {&Operands::dy, &Operands::q, &Operands::k, &Operands::v})
      for (int64_t t = begin; t < end; ++t)
        std::ranges::copy(at(x.*one, t), at(alone.*one, t - begin).begin());
    Arrays wanted = by_kernel(alone);
    for (const size_t o : {0, 2, 3, 4})
      for (int64_t t = begin; t < end; ++t)
        for (size_t i = 0; i < at(wanted[o], t - begin).size(); ++i)
          CHECK(at(together[o], t)[i] ==
                doctest::Approx(at(wanted[o], t - begin)[i]).epsilon(1e-4).scale(1));
  }
}

TEST_CASE("attention: the ways to share the work between threads give the same bits") {
  const Operands x(1, 500, 4, 2, 24);
  const int threads = thread_count();
  set_thread_count(1);
  const Arrays alone = by_kernel(x, {.window = 300, .soft_cap = 4});
  for (const int count : {2, 3, 16}) {
    set_thread_count(count);
    CHECK(difference(by_kernel(x, {.window = 300, .soft_cap = 4}), alone, 0) == "");
  }
  set_thread_count(threads);
}

TEST_CASE("attention: more queries than are packed at a time give what the reference gives") {
  const Operands x(1, 1700, 2, 1, 3);
  const Options options = {.window = 600};
  const Arrays wanted = by_reference(x, options);
  on_every_instruction_set([&] {
    for (const int threads : {1, 3}) {  // at once; dq alone, then dk and dv
      set_thread_count(threads);
      CHECK(difference(by_kernel(x, options), wanted, 2e-5) == "");
    }
  });
}

TEST_CASE("attention: the gradient's memory is the kernel's workspace, little for long sequences") {
  const int threads = thread_count();
  set_thread_count(1);
  const auto workspace = [](int64_t t) {
    const Type x = {DType::f32, {1, t, 2, 64}}, lse = {DType::f32, {1, 2, t}};
    const std::vector<Type> in = {x, x, x, x, x, lse}, out = {x, x, x};
    return static_cast<int64_t>(
        cpu::make_kernel({ops::attention_gradient, attributes({}), in, out}).workspace_bytes);
  };
  CHECK(workspace(128) > 128 * 5 * 64 * 4);            // what is packed of the queries
  CHECK(workspace(1 << 14) < (1 << 14) * 3 * 64 * 4);  // the sums of dk and dv, and little more
  set_thread_count(threads);
}
