#include "bench/cases.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/error.h"

namespace argosy {

TEST_CASE("bench: the first step of every case has PyTorch's loss, and a tight memory plan" *
          doctest::test_suite("slow")) {
  for (const bench::Case& which : bench::cases()) {
    CAPTURE(which.name);
    Session session = bench::training_session(which);
    const std::vector<float> found = bench::losses(session, 1);
    CHECK(bench::loss_difference(which, found) < 1e-4);
    const Program& program = session.program();
    CHECK(static_cast<double>(program.arena_bytes) <=
          1.05 * static_cast<double>(program.largest_live_bytes));
  }
}

TEST_CASE("bench: ten steps of the driving case have PyTorch's losses") {
  const bench::Case& which = bench::find_case("driving");
  Session session = bench::training_session(which);
  CHECK(bench::loss_difference(which, bench::losses(session, 10)) < bench::loss_tolerance(false));
}

TEST_CASE("bench: in bf16 ten steps of the driving case stay near PyTorch's f32 losses") {
  const bench::Case& which = bench::find_case("driving");
  Session session = bench::training_session(which, {.passes = {.bf16 = true}});
  CHECK(bench::loss_difference(which, bench::losses(session, 10)) < bench::loss_tolerance(true));
  CHECK(session.reference_ops() == bench::training_session(which).reference_ops());
}

TEST_CASE("bench: a loss that is not PyTorch's, or no number, is a difference") {
  const bench::Case& which = bench::find_case("driving");
  std::vector<float> losses(bench::golden_losses(which).begin(), bench::golden_losses(which).end());
  CHECK(bench::loss_difference(which, losses) == 0);
  losses[3] *= 1.01f;
  CHECK(bench::loss_difference(which, losses) > bench::loss_tolerance(false));
  losses[3] = NAN;
  CHECK(bench::loss_difference(which, losses) > bench::loss_tolerance(false));
}

TEST_CASE("bench: an unknown case names the nearest") {
  CHECK_THROWS_WITH_AS(bench::find_case("gtp"), doctest::Contains("the nearest is gpt"), Error);
}

}  // namespace argosy
