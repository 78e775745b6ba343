#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/files.h"
#include "data/donkey_tub_writer.h"
#include "drive/controls.h"

namespace argosy::drive {

/// Records a drive as a Donkey Car tub, on a thread of its own: the frame of every control, what
/// the car was told (user/angle, user/throttle), what the policy said (pilot/...), and the state.
/// However the drive ends, the recording has all but its last moments.
class Recorder : public ControlSink {
 public:
  /// `began_ms`: Unix time of the drive's beginning. `wait`: a record for every control, however
  /// long it takes; else those that the disk is too slow for are left out.
  /// throws Error: see DonkeyTubWriter
  Recorder(const Path& folder, int64_t began_ms, bool wait);
  ~Recorder() override;

  /// Copies the frame. A frame that was recorded already is not again.
  void take(const Report& report) override;
  /// Writes what is left. Throws Error if something could not be written: the recording then ends
  /// there, the drive went on.
  void finish();
  int64_t left_out() const { return left_out_; }

 private:
  struct Record {
    double time_s = 0, age_s = 0;
    State state = State::starting;
    Controls controls;
    Prediction prediction;
    data::Image picture;
  };
  void write();
  void write(const Record& record);

  data::DonkeyTubWriter tub_;
  int64_t began_ms_;
  bool wait_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Record> records_;  ///< a ring
  size_t first_ = 0, count_ = 0;
  int64_t last_frame_ = -1, left_out_ = 0;
  bool ending_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace argosy::drive
