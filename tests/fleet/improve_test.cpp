#include "fleet/improve.h"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "data/dataset.h"
#include "fleet/improve_report.h"
#include "run/policy.h"
#include "run/recipe.h"
#include "run/run_folder.h"
#include "shared.h"
#include "tiny_fleet.h"
#include "train/trainer.h"

using namespace argosy;
namespace fs = std::filesystem;

namespace {

/// A data set of some seconds, and a run that has learned next to nothing from it.
struct Fleet {
  test::TemporaryFolder temporary;
  Path data = temporary.path() / "data", run = temporary.path() / "run";
  Fleet() {
    log::set_level(log::Level::warning);
    test::write_fleet(data, 2, 2, 2, 32, 32);
    const std::vector<std::string> settings = {"data.path=" + data.string(),
                                               "model.name=overview",
                                               "model.height=16",
                                               "model.width=16",
                                               "training.steps=20",
                                               "training.batch_size=16",
                                               "schedule.warmup_steps=2",
                                               "data.cache_megabytes=4"};
    train::train(run::parse_recipe("", "tiny", settings), run);
  }
  fleet::ImproveOptions options(const Path& data_set, const char* to) const {
    return {.data = data_set,
            .to = temporary.path() / to,
            .rounds = 1,
            .difficulty = "easy",
            .drives = 2,
            .tracks = 1,
            .epochs = 2};
  }
};

std::string weights(const Path& run) {
  return read_file(run::find_checkpoint(run, "last").folder / run::kStateFile);
}

int64_t frames(const Path& data) { return data::Dataset::open(data).frames(); }

}  // namespace

TEST_CASE("fleet improve: a round adds what it mined to the data set, and trains on it" *
          doctest::test_suite("slow")) {
  const Fleet fleet;
  const Path copy = fleet.temporary.path() / "copy";
  fs::copy(fleet.data, copy, fs::copy_options::recursive);
  const int64_t before = frames(copy);
  const auto options = fleet.options(copy, "improved");
  const fleet::ImproveResult result = fleet::improve(fleet.run, options);
  REQUIRE(result.rounds.size() == 2);
  const fleet::Round& round = result.rounds[1];
  REQUIRE(round.mined);
  CHECK(round.mined->frames() > 0);
  CHECK(frames(copy) == before + round.mined->frames());
  CHECK(round.training_frames > result.rounds[0].training_frames);
  CHECK(weights(round.run) != weights(fleet.run));
  // what is learned from is never what measures
  for (const fleet::MinedClip& clip : round.mined->clips) CHECK(clip.track_seed % 2 == 0);
  for (const fleet::MeasuredTrack& track : round.measured.tracks) CHECK(track.seed % 2 == 1);
  CHECK(fleet::report(result).find("What was mined and why") != std::string::npos);

  SUBCASE("and the same call again changes nothing") {
    CHECK(fleet::to_json(fleet::improve(fleet.run, options)) == fleet::to_json(result));
    CHECK(frames(copy) == before + round.mined->frames());
  }
  SUBCASE("and stopped in between it ends with the same weights") {
    const Path other = fleet.temporary.path() / "other";
    fs::copy(fleet.data, other, fs::copy_options::recursive);
    auto stopped = fleet.options(other, "stopped");
    std::atomic<bool> stop = false;
    std::jthread watcher([&](const std::stop_token& over) {
      while (!over.stop_requested() && !fs::exists(stopped.to / "round_1" / "mined"))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      stop = true;
    });
    stopped.stop = &stop;
    CHECK(fleet::improve(fleet.run, stopped).interrupted);
    stopped.stop = nullptr;
    const fleet::ImproveResult resumed = fleet::improve(fleet.run, stopped);
    CHECK(weights(resumed.rounds.at(1).run) == weights(round.run));
    CHECK(frames(other) == frames(copy));
  }
  SUBCASE("and other options are refused there") {
    auto changed = options;
    changed.seed = 2;
    CHECK_THROWS_WITH_AS(fleet::improve(fleet.run, changed),
                         doctest::Contains("this was begun with another seed: 1, now 2"), Error);
  }
}
