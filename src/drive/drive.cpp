#include "drive/drive.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/threads.h"
#include "drive/newest_frame.h"

namespace argosy::drive {
namespace {

/// A change of state, told to a person by the thread that may wait for the terminal.
struct Change {
  double time_s, lasted_s;
  int64_t frame;
  State from, to;
};

void tell(const Change& change) {
  const bool began = change.from == State::starting;
  if (change.to == State::driving)
    log::info("{:.2f} s, frame {}: driving{}", change.time_s, change.frame,
              began ? "" : fmt::format(" again after {:.2f} s", change.lasted_s));
  else if (change.to != State::ended)
    log::warning("{:.2f} s, frame {}: {}, so the car brakes", change.time_s, change.frame,
                 name_of(change.to));
}

/// What both kinds of drive do with a prediction: judge it, tell the sinks, count.
class Controller {
 public:
  Controller(std::span<ControlSink* const> sinks, const DriveOptions& options, double began_s)
      : sinks_(sinks), options_(options), began_s_(began_s) {
    changes_.reserve(kChanges);
  }

  /// True if the sinks were told: always where it is `due`, else only to stop the car.
  bool control(const Seen& seen, const Frame& frame, bool due) {
    return control(judge(options_.limits, seen), seen, frame, due);
  }

  bool control(State state, const Seen& seen, const Frame& frame, bool due) {
    const bool stops = state != State::driving && state != state_;
    if (!due && !stops) return false;
    const Prediction& prediction = seen.prediction;
    const double time_s = seen.now_s - began_s_;
    const double age_s = prediction.frame < 0 ? 0 : seen.now_s - prediction.captured_s;
    if (state != state_) change(state, time_s, prediction.frame);
    const Controls controls = controls_for(state, prediction);
    ++result_.controls;
    result_.safe += state != State::driving;
    if (state == State::driving) result_.max_age_s = std::max(result_.max_age_s, age_s);
    for (ControlSink* sink : sinks_)
      sink->take({.time_s = time_s,
                  .state = state,
                  .controls = controls,
                  .prediction = prediction,
                  .frame = frame,
                  .age_s = age_s});
    result_.seconds = time_s;
    const std::scoped_lock lock(mutex_);
    status_ = {.time_s = time_s,
               .state = state,
               .controls = result_.controls,
               .last = controls,
               .latency_s = prediction.latency_s()};
    return true;
  }

  Status status() {
    const std::scoped_lock lock(mutex_);
    return status_;
  }

  void tell_changes() {
    {
      const std::scoped_lock lock(mutex_);
      std::swap(told_, changes_);
      changes_.reserve(kChanges);
    }
    for (const Change& change : told_) tell(change);
    told_.clear();
  }

  DriveResult& result() { return result_; }

 private:
  static constexpr size_t kChanges = 256;

  void change(State state, double time_s, int64_t frame) {
    const std::scoped_lock lock(mutex_);
    if (changes_.size() < kChanges)
      changes_.push_back({time_s, time_s - changed_s_, frame, state_, state});
    if (state != State::driving && state != State::ended) ++result_.faults[state];
    state_ = state;
    changed_s_ = time_s;
  }

  std::span<ControlSink* const> sinks_;
  const DriveOptions& options_;
  double began_s_, changed_s_ = 0;
  State state_ = State::starting;
  DriveResult result_;
  std::mutex mutex_;  ///< of what another thread shows
  Status status_;
  std::vector<Change> changes_, told_;
};

bool asked_to_stop(const DriveOptions& options) { return options.stop && *options.stop; }

class RealTimeDrive {
 public:
  RealTimeDrive(FrameSource& source, const Predict& predict, std::span<ControlSink* const> sinks,
                const DriveOptions& options)
      : predict_(predict),
        options_(options),
        began_s_(now_s()),
        controller_(sinks, options, began_s_),
        newest_(source) {}

  DriveResult run() {
    std::thread policy([this] { guarded([this] { ask_policy(); }); });
    std::thread control([this] { guarded([this] { keep_controlling(); }); });
    while (!ended_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      controller_.tell_changes();
      if (!options_.show) continue;
      Status status = controller_.status();
      status.frames = newest_.arrived();
      options_.show(status);
    }
    control.join();
    newest_.stop();
    policy.join();
    controller_.tell_changes();
    if (error_) std::rethrow_exception(error_);
    DriveResult result = controller_.result();
    result.frames = newest_.arrived();
    result.driven = driven_;
    result.latency = latency_;
    return result;
  }

 private:
  /// The first exception ends the drive.
  template <typename Work>
  void guarded(const Work& work) {
    try {
      work();
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!error_) error_ = std::current_exception();
      over_ = true;
    }
  }

  void ask_policy() {
    set_thread_count(thread_count());  // of this thread's own computing threads
    Frame frame;
    while (newest_.take(frame)) {
      Prediction prediction = predict_(frame);
      prediction.ready_s = now_s();
      latency_.add(prediction.latency_s());
      ++driven_;
      const std::scoped_lock lock(mutex_);
      prediction_ = prediction;
      std::swap(frame, predicted_);
    }
    over_ = true;
  }

  void keep_controlling() {
    constexpr double kLook_s = 0.005;  // so long may a fault stay unseen
    const double period_s = 1 / options_.rate;
    double due_s = began_s_;
    struct AtEnd {  // however it ends, the car stands and the others know
      RealTimeDrive& drive;
      ~AtEnd() { drive.ended_ = true; }
    } at_end{*this};
    try {
      while (!over_ && !asked_to_stop(options_)) {
        std::this_thread::sleep_for(
            std::chrono::duration<double>(std::clamp(due_s - now_s(), 0.0, kLook_s)));
        const double now = now_s();
        const bool due = now >= due_s;
        if (!controller_.control(seen(now), frame_, due)) continue;
        if (due) due_s = std::max(due_s + period_s, now);
      }
    } catch (...) {
      end();
      throw;
    }
    end();
  }

  void end() { controller_.control(State::ended, seen(now_s()), frame_, true); }

  Seen seen(double now) {
    const std::scoped_lock lock(mutex_);
    if (prediction_.frame != frame_.number) std::swap(frame_, predicted_);
    return {.now_s = now,
            .began_s = began_s_,
            .newest_arrived_s = newest_.newest_arrived_s(),
            .prediction = prediction_};
  }

  const Predict& predict_;
  const DriveOptions& options_;
  double began_s_;
  Controller controller_;
  NewestFrame newest_;
  std::atomic<bool> over_{false}, ended_{false};

  std::mutex mutex_;  ///< of what the policy leaves
  Prediction prediction_;
  Frame predicted_;  ///< the prediction's, until the loop takes it
  std::exception_ptr error_;

  Frame frame_;  ///< the loop's
  Latency latency_;
  int64_t driven_ = 0;
};

}  // namespace

DriveResult drive_in_real_time(FrameSource& source, const Predict& predict,
                               std::span<ControlSink* const> sinks, const DriveOptions& options) {
  return RealTimeDrive(source, predict, sinks, options).run();
}

DriveResult drive_step_by_step(FrameSource& source, const Predict& predict,
                               std::span<ControlSink* const> sinks, const DriveOptions& options) {
  constexpr double kShowEvery_s = 0.05;
  std::optional<Controller> controller;
  DriveResult counted;
  Frame frame;
  double shown_s = 0;
  while (!asked_to_stop(options) && source.next(frame)) {
    if (!controller) controller.emplace(sinks, options, frame.captured_s);
    Prediction prediction = predict(frame);
    prediction.ready_s = now_s();
    counted.latency.add(prediction.latency_s());
    ++counted.frames;
    controller->control({.now_s = frame.captured_s,
                         .began_s = frame.captured_s,
                         .newest_arrived_s = frame.captured_s,
                         .prediction = prediction},
                        frame, true);
    controller->tell_changes();
    if (!options.show || now_s() - shown_s < kShowEvery_s) continue;
    shown_s = now_s();
    Status status = controller->status();
    status.frames = counted.frames;
    options.show(status);
  }
  if (!controller) return counted;
  DriveResult result = controller->result();
  result.frames = result.driven = counted.frames;
  result.latency = counted.latency;
  return result;
}

}  // namespace argosy::drive
