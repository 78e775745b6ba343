#include "drive/drive.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>

#include "base/error.h"
#include "drive/control_lines.h"
#include "shared.h"
#include "sources.h"

using namespace argosy;
using namespace argosy::drive;
using test::FakeSource;
using test::Told;

namespace {

/// A drive whose camera runs well until the car is driven, then has the fault until the car is told
/// the safe control for it, then runs well again until the car is driven. So nothing is timed: a
/// drive that misses one of the three never ends.
struct Fault {
  enum Phase { before, during, after };
  Told told;
  std::atomic<Phase> phase{before};
  State expected;

  explicit Fault(State state) : expected(state) {}

  /// Goes on to the next phase when it is time; false when all is over.
  bool advance() {
    if (phase == before && told.state == State::driving) phase = during;
    if (phase == during && told.state == expected) phase = after;
    return phase != after || told.state != State::driving;
  }

  DriveResult drive(FakeSource& source, const Predict& predict = test::answer) {
    ControlSink* sinks[] = {&told};
    return drive_in_real_time(source, predict, sinks, {.rate = 100});
  }

  void check(const DriveResult& result) {
    CHECK(result.faults.contains(expected));
    CHECK(result.safe > 0);
    for (const Told::One& one : told.all) {
      const bool driving = one.state == State::driving;
      CHECK(one.controls.brake != driving);
      CHECK(one.controls.angle == (driving ? 0.5 : 0));
    }
    CHECK(told.all.back().state == State::ended);
  }
};

/// A camera that has no fault of its own.
FakeSource sound(Fault& fault) {
  return FakeSource([&fault](FakeSource& self, Frame& frame) {
    if (!self.pause() || !fault.advance()) return false;
    frame.arrived_s = frame.captured_s = now_s();
    return true;
  });
}

}  // namespace

TEST_CASE("drive: without frames the car brakes, and is driven when they are back") {
  Fault fault(State::no_frame);
  FakeSource source([&](FakeSource& self, Frame& frame) {
    if (!self.pause() || !fault.advance()) return false;
    if (fault.phase == Fault::during &&
        !self.wait([&] { return !fault.advance() || fault.phase != Fault::during; }))
      return false;
    frame.captured_s = frame.arrived_s = now_s();
    return true;
  });
  fault.check(fault.drive(source));
}

TEST_CASE("drive: late frames brake the car, and it is driven when they are in time") {
  Fault fault(State::late_frame);
  FakeSource source([&](FakeSource& self, Frame& frame) {
    if (!self.pause() || !fault.advance()) return false;
    frame.arrived_s = frame.captured_s = now_s();
    if (fault.phase == Fault::during) frame.captured_s -= 1;
    return true;
  });
  fault.check(fault.drive(source));
}

TEST_CASE("drive: a frozen picture brakes the car, and it is driven when it moves") {
  Fault fault(State::frozen);
  FakeSource source(sound(fault));
  const Predict predict = [&](const Frame& frame) {
    Prediction prediction = test::answer(frame);
    if (fault.phase == Fault::during) prediction.repeating_s = 1;
    return prediction;
  };
  fault.check(fault.drive(source, predict));
}

TEST_CASE("drive: an output that is no number brakes the car, and it is driven after") {
  Fault fault(State::bad_output);
  FakeSource source(sound(fault));
  const Predict predict = [&](const Frame& frame) {
    Prediction prediction = test::answer(frame);
    if (fault.phase == Fault::during) prediction.throttle = std::nan("");
    return prediction;
  };
  fault.check(fault.drive(source, predict));
}

TEST_CASE("drive: a policy that stalls does not stall the controls") {
  Fault fault(State::stalled);
  std::atomic<bool> stalled{false};
  FakeSource source(sound(fault));
  const Predict predict = [&](const Frame& frame) {
    if (fault.phase == Fault::during)
      source.wait([&] { return fault.told.state == State::stalled; });
    return test::answer(frame);
  };
  fault.check(fault.drive(source, predict));
}

TEST_CASE("drive: the newest frame is driven by, and the ones before it never") {
  std::atomic<int64_t> seen{-1};
  Told told;
  FakeSource source([&](FakeSource& self, Frame& frame) {
    if (frame.number == 100) return false;
    // the policy is at frame 0 until frame 50 has come
    return frame.number == 0 || frame.number > 50 ? self.pause(1) : true;
  });
  std::vector<int64_t> frames;
  const Predict predict = [&](const Frame& frame) {
    if (frames.empty()) source.wait([&] { return source.number > 50; });
    frames.push_back(frame.number);
    return test::answer(frame);
  };
  ControlSink* sinks[] = {&told};
  const DriveResult result = drive_in_real_time(source, predict, sinks, {.rate = 1000});
  CHECK(result.frames == 100);
  REQUIRE(frames.size() >= 2);
  CHECK(frames[1] >= 50);
  CHECK(std::is_sorted(frames.begin(), frames.end()));
  CHECK(result.driven == static_cast<int64_t>(frames.size()));
}

TEST_CASE("drive: asked to stop, or with a source that fails, it ends with the safe control") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    Told told;
    std::atomic<bool> stop{false};
    FakeSource source([&](FakeSource& self, Frame& frame) {
      frame.captured_s = now_s();
      if (told.state != State::driving) return self.pause();
      if (fails) throw Error({.what = "no power", .where = "camera", .fix = "plug it in"});
      stop = true;
      return self.pause();
    });
    ControlSink* sinks[] = {&told};
    const DriveOptions options{.rate = 100, .stop = &stop};
    if (fails)
      CHECK_THROWS_WITH(drive_in_real_time(source, test::answer, sinks, options),
                        "camera: no power; plug it in");
    else
      drive_in_real_time(source, test::answer, sinks, options);
    CHECK(told.all.back().state == State::ended);
    CHECK(told.all.back().controls.brake);
  }
}

TEST_CASE("drive: a sink that fails ends the drive, and its error is told") {
  struct Full : ControlSink {
    void take(const Report& report) override {
      if (report.state == State::driving)
        throw Error({.what = "no space left", .where = "controls", .fix = "free some space"});
    }
  } full;
  ControlSink* sinks[] = {&full};
  FakeSource source([&](FakeSource& self, Frame&) { return self.pause(); });
  CHECK_THROWS_WITH(drive_in_real_time(source, test::answer, sinks, {}),
                    "controls: no space left; free some space");
}

TEST_CASE("drive: step by step every frame has its control, at the frame's own time") {
  Told told;
  FakeSource source([](FakeSource& self, Frame& frame) {
    frame.captured_s = 100 + 0.05 * static_cast<double>(self.number);
    return self.number < 50;
  });
  ControlSink* sinks[] = {&told};
  const DriveResult result = drive_step_by_step(source, test::answer, sinks, {});
  CHECK(result.frames == 50);
  CHECK(result.seconds == doctest::Approx(0.05 * 49));
  REQUIRE(told.all.size() == 50);
  for (size_t i = 0; i < told.all.size(); ++i) {
    CHECK(told.all[i].frame == static_cast<int64_t>(i));
    CHECK(told.all[i].age_s == 0);
    CHECK(told.all[i].state == State::driving);
  }
}

TEST_CASE("latency: quantiles are within 5 percent") {
  Latency latency;
  for (int i = 1; i <= 1000; ++i) latency.add(1e-5 * i);
  CHECK(latency.quantile_s(0.5) == doctest::Approx(5e-3).epsilon(0.05));
  CHECK(latency.quantile_s(0.99) == doctest::Approx(9.9e-3).epsilon(0.05));
  CHECK(latency.quantile_s(1) == 1e-2);
  CHECK(latency.max_s() == 1e-2);
  CHECK(Latency().quantile_s(0.99) == 0);
  CHECK(Latency().histogram() == "none");
  latency.add(1e9);
  CHECK(latency.quantile_s(1) > 10);
}
