#include "data/dataset.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/video.h"
#include "shared.h"

using namespace argosy;
using data::Dataset;

TEST_CASE("dataset: LeRobot's sample gives the rows and pixels that LeRobot gave") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Dataset set = Dataset::open(shared / "lerobot-v3-sample");
  CHECK(set.frames() == 2316);
  CHECK(set.fps() == 30);
  CHECK(set.robot_type() == "Unitree_G1_Inspire");
  CHECK(set.episodes().size() == 6);
  REQUIRE(set.cameras() == std::vector<std::string>{"observation.images.cam_high"});
  CHECK(set.feature("action").names[3] == "kLeftElbow");
  CHECK(set.feature("observation.images.cam_high").shape == std::vector<int64_t>{240, 320, 3});
  const auto checks = nlohmann::json::parse(read_file(shared / "lerobot-v3-sample/checks.json"));
  const auto state = set.column("observation.state"), action = set.column("action");
  const auto timestamp = set.column("timestamp"), task = set.column("task_index");
  for (const auto& item : checks["items"]) {
    const int64_t row = item["index"];
    INFO("row ", row);
    const data::Episode& episode = set.episode_of(row);
    CHECK(episode.index == item["episode_index"]);
    CHECK(row - episode.from == item["frame_index"]);
    CHECK(timestamp[size_t(row)] == item["timestamp"].get<float>());
    CHECK(set.tasks()[size_t(task[size_t(row)])] == item["task"]);
    for (size_t k = 0; k < 3; ++k)
      CHECK(state[size_t(row) * 26 + k] == item["state_first3_of_last"][k].get<float>());
    for (int64_t k = 0; k < 16; ++k) {
      const int64_t at = std::min(row + k, episode.to - 1);
      CHECK(action[size_t(at) * 26] == item["action_dim0"][size_t(k)].get<float>());
    }
    const data::VideoSegment& segment = episode.videos.at("observation.images.cam_high");
    data::VideoReader reader(segment.file);
    for (int k = 0; k < 4; ++k) {
      const int64_t frame = std::max(row - 9 + 3 * k, episode.from) - episode.from;
      const data::Image image = reader.read(segment.first_frame + frame);
      double mean[3] = {};
      for (size_t i = 0; i < image.pixels.size(); ++i)
        mean[i % 3] += image.pixels[i] / (240.0 * 320.0);
      for (size_t c = 0; c < 3; ++c) {
        const double expected = item["rgb_mean_of_clip_frames"][size_t(k)][c];
        INFO("clip frame ", k, " colour ", c, ": ", mean[c], " against ", expected);
        CHECK(std::abs(mean[c] - expected) < 1.0);
      }
    }
  }
}
