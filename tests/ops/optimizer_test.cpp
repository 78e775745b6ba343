#include "ops/optimizer.h"

#include <doctest/doctest.h>

#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;
using ops::StateRange;

namespace {

constexpr uint32_t kDraws = 4096;  // rounding bits spread evenly over their 16
uint32_t draw(uint32_t i) { return i * (65536 / kDraws) + 8; }

/// Values over twelve orders of magnitude below 1.
std::vector<float> shares() {
  std::vector<float> values = {0, 1};
  Random random(3);
  for (int i = 0; i < 200; ++i) values.push_back(std::pow(10.0f, random.uniform(-12, 0)));
  return values;
}

}  // namespace

TEST_CASE("optimizer state: a code's value comes back as that code, whatever the random bits") {
  for (const StateRange range : {StateRange::either_sign, StateRange::positive})
    for (const float largest : {1.0f, 3e-30f, 1e-12f, 7e20f})
      for (int code = 0; code < 256; ++code) {
        const float value = ops::value_of(range, static_cast<uint8_t>(code), largest);
        if (value == 0) continue;  // 0 and -0 of either sign
        // the middle of the draws: a value within a rounding of its code may take the neighbour's
        CHECK(ops::code_of(range, value, largest, 0x8000) == code);
        CHECK(std::abs(value) <= largest * 1.000001f);
      }
}

TEST_CASE("optimizer state: 8 bits round to a neighbour and keep the mean over the random bits") {
  for (const StateRange range : {StateRange::either_sign, StateRange::positive})
    for (const float share : shares())
      for (const float sign : {1.0f, -1.0f}) {
        if (range == StateRange::positive && sign < 0) continue;
        const float largest = 0.37f, value = sign * share * largest;
        double total = 0;
        float low = 1, high = -1;
        for (uint32_t i = 0; i < kDraws; ++i) {
          const float got =
              ops::value_of(range, ops::code_of(range, value, largest, draw(i)), largest);
          total += got;
          low = std::min(low, got), high = std::max(high, got);
        }
        INFO(value);
        const float smallest = ops::value_of(range, 1, largest);
        const double gap = std::max(high - low, smallest);
        if (range == StateRange::positive && value > 0 && value < smallest) {
          CHECK(low == smallest);  // never 0, since one divides by it
          CHECK(high == smallest);
          continue;
        }
        CHECK(std::abs(total / kDraws - value) <= 2e-3 * gap + 1e-6 * std::abs(value));
        CHECK(value >= low - 1e-6f * largest);
        CHECK(value <= high + 1e-6f * largest);
      }
}

TEST_CASE("optimizer state: bf16 rounds to a neighbour and keeps the mean over the random bits") {
  for (const float value : shares()) {
    double total = 0;
    for (uint32_t i = 0; i < kDraws; ++i) {
      const auto got = static_cast<float>(ops::round_at_random(-value, draw(i)));
      CHECK(std::abs(got + value) <= value / 128);
      total += got;
    }
    CHECK(std::abs(total / kDraws + value) <= 1e-5 * value);
  }
}

TEST_CASE("optimizer state: a block of zeros or of denormal numbers is zero") {
  for (const StateRange range : {StateRange::either_sign, StateRange::positive})
    for (const float value : {0.0f, 1e-40f})
      CHECK(ops::value_of(range, ops::code_of(range, value, value, 0xFFFF), value) == 0);
}

TEST_CASE("optimizer state: rounding bits are even, and differ by element, step and parameter") {
  double total = 0;
  uint32_t equal = 0;
  constexpr uint32_t kElements = 100000;
  const uint32_t key = ops::rounding_key(5, 2);
  for (uint32_t e = 0; e < kElements; ++e) {
    const uint32_t bits = ops::rounding_bits(key, e);
    for (const size_t state : {0, 1}) total += ops::state_bits(bits, state);
    for (const uint32_t other : {ops::rounding_key(6, 2), ops::rounding_key(5, 3)})
      equal += ops::state_bits(bits, 0) == ops::state_bits(ops::rounding_bits(other, e), 0);
  }
  CHECK(std::abs(total / (2 * kElements) - 32767.5) < 5 * 18918.0 / std::sqrt(2.0 * kElements));
  CHECK(equal < 20);  // 3 are expected
}

TEST_CASE(
    "optimizer: large parameters with every kind of state are the reference's, at any number "
    "of threads") {
  const int threads = thread_count();
  for (const OpDef* op : {&ops::adamw_update, &ops::sgd_update})
    for (const Sample& small : op->samples) {
      Sample sample = small;
      for (Type& type : sample.inputs) {
        if (type.shape == Shape{257}) type.shape = {70001};
        if (type.shape == Shape{3, 67}) type.shape = {3, 20001};
        if (type.shape == Shape{300}) type.shape = {40000};
      }
      // scales follow their codes
      for (size_t i = 1; i < sample.inputs.size(); ++i)
        if (sample.inputs[i - 1].dtype == DType::u8)
          sample.inputs[i].shape = {ops::scales_for(sample.inputs[i - 1].elements())};
      const Arrays in = random_operands(sample, 5),
                   wanted = run_reference(*op, sample.attributes, in);
      const cpu::Kernel kernel = backend_kernel(*op, sample.attributes, in);
      CHECK_FALSE(kernel.reference);
      for (const int count : {1, 2, 3}) {
        set_thread_count(count);
        const Arrays got = run(kernel, *op, sample.attributes, in, count == 2);
        for (size_t o = 0; o < got.size(); ++o) {
          INFO(fmt::format("{} {}, output {}", op->name, got[o].type, o));
          // a number on the edge between two roundings may fall to either side
          size_t apart = 0;
          for (size_t e = 0; e < static_cast<size_t>(got[o].type.elements()); ++e) {
            const double a = got[o].at(e), b = wanted[o].at(e);
            const double unit = got[o].type.dtype == DType::u8     ? 1
                                : got[o].type.dtype == DType::bf16 ? std::abs(b) / 128
                                                                   : 0;
            if (std::abs(a - b) > 2e-5 * std::max(1.0, std::abs(b)) + unit) FAIL_CHECK(a, " ", b);
            apart += unit > 0 && a != b;
          }
          CHECK(apart <= 1 + static_cast<size_t>(got[o].type.elements()) / 1000);
        }
      }
    }
  set_thread_count(threads);
}
