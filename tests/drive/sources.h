#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "drive/drive.h"
#include "drive/newest_frame.h"

namespace argosy::test {

/// Remembers what the car was told.
struct Told : drive::ControlSink {
  struct One {
    drive::State state;
    drive::Controls controls;
    int64_t frame;
    double age_s;
  };
  void take(const drive::Report& report) override {
    const std::scoped_lock lock(mutex);
    all.push_back({report.state, report.controls, report.prediction.frame, report.age_s});
    state = report.state;
  }
  /// Each state once as long as it lasts.
  std::vector<drive::State> states() const {
    std::vector<drive::State> states;
    for (const One& one : all)
      if (states.empty() || states.back() != one.state) states.push_back(one.state);
    return states;
  }
  std::mutex mutex;
  std::vector<One> all;
  std::atomic<drive::State> state{drive::State::starting};
};

/// A camera whose frames come when a test lets them: `give` fills in the next one, false at the
/// end.
struct FakeSource : drive::FrameSource {
  explicit FakeSource(std::function<bool(FakeSource&, drive::Frame&)> to_give)
      : give(std::move(to_give)) {}

  void deliver_as(const data::VideoReader::Delivery&, bool) override {}
  bool next(drive::Frame& frame) override {
    if (frame.delivered.size() != 12) frame.delivered.resize(12);
    if (frame.picture.pixels.size() != 12) frame.picture = {2, 2, std::vector<uint8_t>(12)};
    frame.number = ++number;
    std::fill(frame.delivered.begin(), frame.delivered.end(), static_cast<uint8_t>(number));
    frame.captured_s = frame.arrived_s = drive::now_s();
    return !stopped && give(*this, frame);
  }
  void stop() override { stopped = true; }
  double fps() const override { return 0; }

  /// Waits, in short pieces, until `truth()`; false after stop().
  template <typename Truth>
  bool wait(const Truth& truth) {
    while (!stopped && !truth()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return !stopped;
  }
  /// The pause between two frames.
  bool pause(int milliseconds = 4) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return !stopped;
  }

  std::function<bool(FakeSource&, drive::Frame&)> give;
  int64_t number = -1;
  std::atomic<bool> stopped{false};
};

/// Answers at once: angle 0.5, throttle 0.25.
inline drive::Prediction answer(const drive::Frame& frame) {
  return {.frame = frame.number,
          .captured_s = frame.captured_s,
          .arrived_s = frame.arrived_s,
          .angle = 0.5,
          .throttle = 0.25};
}

}  // namespace argosy::test
