#ifdef ARGOSY_WITH_WORLD
#include "drive/world_source.h"

#include <doctest/doctest.h>

#include <optional>

#include "base/error.h"
#include "drive/drive.h"
#include "drive/film.h"
#include "shared.h"
#include "sources.h"

using namespace argosy;
using namespace argosy::drive;

namespace {

/// Frames of a short drive, each by what the picture says, and how far it came.
struct Driven {
  std::vector<double> angles;
  double progress_m = 0;
  std::string problem;
};

Driven drive_world(const Path& film = {}) {
  Driven driven;
  try {
    WorldSource source({.simulation = {.track_seed = 7, .look_seed = 7}, .duration_s = 1.5});
    source.deliver_as({.height = 16, .width = 16}, true);
    const Predict predict = [&](const Frame& frame) {
      int64_t left = 0, right = 0;
      for (size_t i = 0; i < frame.delivered.size(); i += 3)
        (i / 3 % 16 < 8 ? left : right) += frame.delivered[i];
      Prediction prediction = test::answer(frame);
      prediction.angle = static_cast<double>(right - left) / static_cast<double>(right + left + 1);
      driven.angles.push_back(prediction.angle);
      return prediction;
    };
    std::optional<Film> filmed;
    std::vector<ControlSink*> sinks;
    if (!film.empty()) sinks.push_back(&filmed.emplace(film, source.simulation()));
    sinks.push_back(&source);
    drive_step_by_step(source, predict, sinks, {});
    if (filmed) filmed->finish();
    driven.progress_m = source.simulation().state().progress_m;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::device) throw;
    driven.problem = error.what();  // no OpenGL here
  }
  return driven;
}

}  // namespace

TEST_CASE("world: the same seed is the same drive, and its film has every frame") {
  const test::TemporaryFolder temporary;
  const Path film = temporary.path() / "film.mp4";
  const Driven once = drive_world(), again = drive_world(film);
  if (!once.problem.empty()) {
    MESSAGE(once.problem);
    return;
  }
  CHECK(once.angles.size() == 30);
  CHECK(once.angles == again.angles);  // filming changes nothing
  CHECK(once.progress_m > 0);
  CHECK(once.progress_m == again.progress_m);
  CHECK(data::VideoReader(film).frames() == 30);
}
#endif
