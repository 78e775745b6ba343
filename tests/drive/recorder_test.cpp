#include "drive/recorder.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/log.h"
#include "data/importer.h"
#include "shared.h"
#include "sources.h"

using namespace argosy;
using namespace argosy::drive;

namespace {

/// Drives `count` frames at 20 Hz past the recorder; from frame 5 on the car stands.
void drive_past(Recorder& recorder, int64_t count, int64_t from = 0) {
  for (int64_t i = from; i < from + count; ++i) {
    Frame frame;
    frame.number = i;
    frame.picture = {24, 32, std::vector<uint8_t>(size_t{3} * 24 * 32, static_cast<uint8_t>(i))};
    const Prediction prediction{.frame = i, .ready_s = 0.002, .angle = 0.5, .throttle = 3};
    const State state = i < 5 ? State::driving : State::bad_output;
    for (int twice = 0; twice < 2; ++twice)  // a control may rest on the frame of the one before
      recorder.take({.time_s = 0.05 * static_cast<double>(i),
                     .state = state,
                     .controls = controls_for(state, prediction),
                     .prediction = prediction,
                     .frame = frame,
                     .age_s = 0.01});
  }
}

}  // namespace

TEST_CASE("recorder: a drive is a tub with what the car was told beside what the policy said") {
  const test::TemporaryFolder temporary;
  const Path tub = temporary.path() / "tub";
  {
    Recorder recorder(tub, 1'600'000'000'000, true);
    drive_past(recorder, 60);
    recorder.finish();
    CHECK(recorder.left_out() == 0);
  }
  const auto recording = data::kDonkeyTub.open(tub, {});
  CHECK(recording->info().kept == 60);
  CHECK(recording->info().fps == doctest::Approx(20));
  const auto episode = recording->next();
  REQUIRE(episode);
  CHECK(episode->columns.at("action")[0] == 0.5);
  CHECK(episode->columns.at("action")[1] == 1);
  CHECK(episode->columns.at("action")[10] == 0);
  CHECK(episode->columns.at("pilot")[1] == 3);
  CHECK(episode->columns.at("pilot")[11] == 3);
  CHECK(episode->columns.at("observation.state")[0] == doctest::Approx(2));
  CHECK(episode->texts.at("user.mode")[0] == "local");
  CHECK(episode->texts.at("user.mode")[5] == "stopped");
  CHECK(episode->texts.at("drive.state")[5] == "bad output");
}

TEST_CASE("recorder: a disk that fills ends the recording and not the drive") {
  const test::TemporaryFolder temporary;
  const Path tub = temporary.path() / "tub";
  log::set_level(log::Level::error);
  Recorder recorder(tub, 1'600'000'000'000, true);
  drive_past(recorder, 5);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{3000, old.rlim_max};  // the catalog has 1 to 2 kB
  setrlimit(RLIMIT_FSIZE, &small);
  drive_past(recorder, 60, 5);
  CHECK_THROWS_AS(recorder.finish(), Error);
  setrlimit(RLIMIT_FSIZE, &old);
  log::set_level(log::Level::info);
  CHECK(data::kDonkeyTub.open(tub, {})->info().kept >= 5);
}
