#include "drive/watchdog.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

using namespace argosy::drive;

namespace {

constexpr double kFrame_s = 0.05, kLatency_s = 0.005, kLook_s = 0.005, kFault_s = 1.0;

/// A drive in a clock of its own: a frame each 50 ms, a policy of 5 ms, a look each 5 ms. `change`
/// spoils what is seen of it.
struct Scene {
  std::function<void(Seen&)> change = [](Seen&) {};

  State at(double now_s) const {
    const double newest_s = std::floor(now_s / kFrame_s) * kFrame_s;
    const double predicted_s = std::floor((now_s - kLatency_s) / kFrame_s) * kFrame_s;
    Seen seen{.now_s = now_s, .newest_arrived_s = newest_s, .prediction = {}};
    seen.prediction = {.frame = std::lround(predicted_s / kFrame_s),
                       .captured_s = predicted_s,
                       .arrived_s = predicted_s,
                       .ready_s = predicted_s + kLatency_s,
                       .angle = 0.5,
                       .throttle = 0.25};
    if (predicted_s < 0) seen.prediction.frame = -1;
    change(seen);
    return judge({}, seen);
  }

  /// Seconds from the fault, at 1 s, to the first look that finds `state`.
  double found_after_s(State state) const {
    for (double now_s = 0.1; now_s < 3; now_s += kLook_s) {
      const State found = at(now_s);
      if (now_s < kFault_s) REQUIRE(found == State::driving);
      if (found == state) return now_s - kFault_s;
      REQUIRE(found == State::driving);
    }
    return std::numeric_limits<double>::infinity();
  }
};

}  // namespace

TEST_CASE("watchdog: a sound drive is driven") {
  for (double now_s = 0.1; now_s < 3; now_s += kLook_s) CHECK(Scene{}.at(now_s) == State::driving);
}

TEST_CASE("watchdog: no frame brakes within 100 ms") {
  const Scene scene{[](Seen& seen) {
    seen.newest_arrived_s = std::min(seen.newest_arrived_s, kFault_s);
    seen.prediction.captured_s = std::min(seen.prediction.captured_s, kFault_s);
    seen.prediction.arrived_s = seen.prediction.captured_s;
  }};
  CHECK(scene.found_after_s(State::no_frame) <= 0.1);
}

TEST_CASE("watchdog: a policy that stalls brakes within 100 ms, though frames arrive") {
  const Scene scene{[](Seen& seen) {
    seen.prediction.captured_s = std::min(seen.prediction.captured_s, kFault_s);
    seen.prediction.arrived_s = seen.prediction.captured_s;
  }};
  CHECK(scene.found_after_s(State::stalled) <= 0.1);
}

TEST_CASE("watchdog: frames that come late brake within 100 ms of the first") {
  const Scene scene{[](Seen& seen) {
    if (seen.prediction.arrived_s < kFault_s) return;
    seen.prediction.captured_s = seen.prediction.arrived_s - 0.2;
  }};
  CHECK(scene.found_after_s(State::late_frame) <= 0.1);
}

TEST_CASE("watchdog: a picture that freezes brakes within 100 ms of the first that is the same") {
  const Scene scene{[](Seen& seen) {
    seen.prediction.repeating_s = std::max(0.0, seen.prediction.captured_s - kFault_s);
  }};
  CHECK(scene.found_after_s(State::frozen) <= 0.1);
}

TEST_CASE("watchdog: an output that is no number or out of range brakes within 100 ms") {
  const double nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinite, -infinite, 1.6, -1.6})
    for (double Prediction::* output : {&Prediction::angle, &Prediction::throttle}) {
      const Scene scene{[&](Seen& seen) {
        if (seen.prediction.captured_s >= kFault_s) seen.prediction.*output = bad;
      }};
      CHECK(scene.found_after_s(State::bad_output) <= 0.1);
    }
}

TEST_CASE("watchdog: a fault that is over is over") {
  const Scene scene{[](Seen& seen) {
    if (seen.prediction.frame == 20) seen.prediction.angle = 9;
  }};
  CHECK(scene.at(1.04) == State::bad_output);
  CHECK(scene.at(1.06) == State::driving);
}

TEST_CASE("watchdog: before the first frame the car stands, and after a while it is said why") {
  const Seen begun{.now_s = 1, .prediction = {}}, waiting{.now_s = 6, .prediction = {}},
      busy{.now_s = 6, .newest_arrived_s = 5.9, .prediction = {}};
  CHECK(judge({}, begun) == State::starting);
  CHECK(judge({}, waiting) == State::no_frame);
  CHECK(judge({}, busy) == State::stalled);
}

TEST_CASE("watchdog: the safe control is straight and brakes, all others are within -1 and 1") {
  const Prediction prediction{.frame = 1, .angle = -1.2, .throttle = 0.3};
  for (const State state : {State::starting, State::no_frame, State::late_frame, State::frozen,
                            State::bad_output, State::stalled, State::ended}) {
    const Controls controls = controls_for(state, prediction);
    CHECK(controls.angle == 0);
    CHECK(controls.throttle == 0);
    CHECK(controls.brake);
  }
  const Controls driven = controls_for(State::driving, prediction);
  CHECK(driven.angle == -1);
  CHECK(driven.throttle == 0.3);
  CHECK_FALSE(driven.brake);
}
