#include "drive/recorder.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"

namespace argosy::drive {
namespace {
constexpr size_t kRecords = 32;

data::TubWriterOptions tub_options(int64_t began_ms) {
  return {.inputs = {{"cam/image_array", "image_array"},
                     {"user/angle", "float"},
                     {"user/throttle", "float"},
                     {"user/mode", "str"},
                     {"pilot/angle", "float"},
                     {"pilot/throttle", "float"},
                     {"drive/state", "str"},
                     {"drive/latency_ms", "float"},
                     {"drive/age_ms", "float"}},
          .created_ms = began_ms};
}
}  // namespace

Recorder::Recorder(const Path& folder, int64_t began_ms, bool wait)
    : tub_(folder, tub_options(began_ms)),
      began_ms_(began_ms),
      wait_(wait),
      records_(kRecords),
      thread_([this] { write(); }) {}

Recorder::~Recorder() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Recorder::take(const Report& report) {
  if (report.prediction.frame < 0 || report.prediction.frame == last_frame_) return;
  std::unique_lock lock(mutex_);
  if (error_) return;
  if (wait_) changed_.wait(lock, [this] { return count_ < records_.size() || error_; });
  if (count_ == records_.size()) {
    ++left_out_;
    return;
  }
  Record& record = records_[(first_ + count_) % records_.size()];
  lock.unlock();  // the writer does not touch what is not counted yet
  record.time_s = report.time_s;
  record.age_s = report.age_s;
  record.state = report.state;
  record.controls = report.controls;
  record.prediction = report.prediction;
  record.picture.height = report.frame.picture.height;
  record.picture.width = report.frame.picture.width;
  record.picture.pixels.assign(report.frame.picture.pixels.begin(),
                               report.frame.picture.pixels.end());
  lock.lock();
  ++count_;
  last_frame_ = report.prediction.frame;
  changed_.notify_all();
}

void Recorder::write() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return count_ > 0 || ending_; });
    if (count_ == 0) return;
    const Record& record = records_[first_];
    lock.unlock();
    std::exception_ptr failed;
    try {
      write(record);
    } catch (const Error& error) {
      failed = std::current_exception();
      log::warning("{}; the drive goes on, its recording ends here", error.what());
    } catch (...) {
      failed = std::current_exception();
    }
    lock.lock();
    error_ = failed;
    first_ = (first_ + 1) % records_.size();
    --count_;
    changed_.notify_all();
    if (failed) return;
  }
}

void Recorder::write(const Record& record) {
  const Prediction& p = record.prediction;
  const bool driving = record.state == State::driving;
  const std::vector<data::TubValue> values = {&record.picture,
                                              record.controls.angle,
                                              record.controls.throttle,
                                              std::string(driving ? "local" : "stopped"),
                                              p.angle,
                                              p.throttle,
                                              std::string(name_of(record.state)),
                                              1000 * p.latency_s(),
                                              1000 * record.age_s};
  tub_.write(began_ms_ + std::llround(1000 * record.time_s), values);
}

void Recorder::finish() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(error_);
  tub_.close();
}

}  // namespace argosy::drive
