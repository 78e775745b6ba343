#include <doctest/doctest.h>

#include <limits>

#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

TEST_CASE("cross entropy: rows longer than the first cache, wherever their maximum is") {
  constexpr int64_t kLong = 5000;
  constexpr float inf = std::numeric_limits<float>::infinity();
  Arrays in = {Array({DType::f32, {5, kLong}}), Array({DType::i32, {5}})};
  const auto logits = in[0].as();
  for (int64_t i = 0; i < kLong; ++i) {
    const auto at = [&](int64_t row) -> float& {
      return logits[static_cast<size_t>(row * kLong + i)];
    };
    at(0) = 0.01f * static_cast<float>(i);            // rises
    at(1) = -0.01f * static_cast<float>(i);           // falls
    at(2) = i < 4900 ? -inf : 1;                      // nothing at first
    at(3) = i == 2500 ? 80.0f : 0.0f;                 // a peak in the middle
    at(4) = static_cast<float>((i * 7919) % 31) - 9;  // no order
  }
  for (const int64_t row : {0, 1, 2, 3, 4})
    in[1].as<int32_t>()[static_cast<size_t>(row)] = row == 2 ? 4999 : 17;
  const Arrays wanted = run_reference(ops::cross_entropy, {}, in);
  for (int64_t row = 0; row < 5; ++row)
    CHECK(std::isfinite(wanted[1].as()[static_cast<size_t>(row)]));
  on_every_instruction_set(
      [&] { CHECK(difference(run_backend(ops::cross_entropy, {}, in), wanted, 2e-5) == ""); });
}
