#include "drive/stream_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "drive/newest_frame.h"

namespace argosy::drive {
namespace {
constexpr double kReopenEvery_s = 1;
constexpr double kClockDrift = 1e-3;  // more than any two clocks differ in pace
}  // namespace

StreamSource::StreamSource(std::string source, std::string format, bool realtime)
    : name_(std::move(source)),
      format_(std::move(format)),
      realtime_(realtime),
      stream_(std::make_unique<data::VideoStream>(name_, data::StreamOptions{.format = format_})) {
  live_ = stream_->live();
  realtime_ = realtime || live_;
  fps_ = stream_->fps();
}

void StreamSource::deliver_as(const data::VideoReader::Delivery& delivery, bool picture) {
  stream_->require(delivery);
  delivery_ = delivery;
  picture_ = picture;
}

bool StreamSource::wait_until(double time_s) const {
  constexpr double kLook_s = 0.02;
  for (double left; !stopped_ && (left = time_s - now_s()) > 0;)
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(left, kLook_s)));
  return !stopped_;
}

/// A live source that has failed, opened again.
bool StreamSource::reopen() {
  damaged_ += stream_->damaged();
  of_other_size_ += stream_->of_other_size();
  while (wait_until(now_s() + kReopenEvery_s)) {
    try {
      auto stream =
          std::make_unique<data::VideoStream>(name_, data::StreamOptions{.format = format_});
      if (stream->height() != height() || stream->width() != width()) continue;
      const std::scoped_lock lock(mutex_);
      stream_ = std::move(stream);
      lag_at_s_ = -1;
      ++reopened_;
      return !stopped_;
    } catch (const Error& error) {
      log::debug("{}", error.what());
    }
  }
  return false;
}

bool StreamSource::advance() {
  while (!stopped_) {
    try {
      return stream_->next();
    } catch (const Error& error) {
      if (!live_) throw;
      log::warning("{}: trying again each second", error.what());
      if (!reopen()) return false;
    }
  }
  return false;
}

/// A source's clock stands behind ours by the least lag ever seen; what a frame lags more, it was
/// held up on its way.
double StreamSource::captured_s(double arrived_s) {
  const double lag_s = arrived_s - stream_->time_s();
  if (lag_at_s_ >= 0) least_lag_s_ += kClockDrift * (arrived_s - lag_at_s_);
  if (lag_at_s_ < 0 || lag_s < least_lag_s_) least_lag_s_ = lag_s;
  lag_at_s_ = arrived_s;
  return stream_->time_s() + least_lag_s_;
}

bool StreamSource::next(Frame& frame) {
  if (!advance()) return false;
  const double read_s =
      std::chrono::duration<double>(stream_->read_at().time_since_epoch()).count();
  frame.number = ++number_;
  frame.arrived_s = read_s;
  if (!realtime_) {
    frame.captured_s = stream_->time_s();
  } else if (live_) {
    frame.captured_s = stream_->timed() ? captured_s(read_s) : read_s;
  } else {
    const double decoding_s = now_s() - read_s;
    if (number_ == 0) {
      first_time_s_ = stream_->time_s();
      began_s_ = now_s();
    }
    if (!wait_until(began_s_ + stream_->time_s() - first_time_s_)) return false;
    frame.arrived_s = frame.captured_s = now_s() - decoding_s;
  }
  const size_t bytes = size_t{3} * delivery_.height * delivery_.width;
  if (frame.delivered.size() != bytes) frame.delivered.resize(bytes);
  stream_->deliver(delivery_, frame.delivered);
  if (picture_) stream_->picture(frame.picture);
  return true;
}

void StreamSource::stop() {
  stopped_ = true;
  const std::scoped_lock lock(mutex_);
  stream_->stop();
}

std::vector<std::string> StreamSource::notes() const {
  std::vector<std::string> notes;
  const auto note = [&](int64_t count, std::string_view what) {
    if (count > 0) notes.push_back(fmt::format("{}: {} {}", name_, count, what));
  };
  note(damaged_ + stream_->damaged(), "damaged frames were passed over");
  note(of_other_size_ + stream_->of_other_size(),
       fmt::format("frames were not {} x {} pixels and passed over", width(), height()));
  note(reopened_, "times it failed and was opened again");
  return notes;
}

}  // namespace argosy::drive
