#include "data/dataset.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "data/check.h"
#include "data/parquet.h"
#include "data/video.h"
#include "sample.h"
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

namespace {

constexpr const char* kRows = "data/chunk-000/file-000.parquet";
constexpr const char* kEpisodes = "meta/episodes/chunk-000/file-000.parquet";
constexpr const char* kFront = "videos/observation.images.front/chunk-000/file-000.mp4";

/// All numbers of the data set, to compare two readings.
std::vector<double> all_numbers(const Dataset& set) {
  std::vector<double> all;
  for (const data::Feature& feature : set.features()) {
    if (!feature.numeric()) continue;
    for (const double value : set.column_f64(feature.name))
      all.push_back(std::isnan(value) ? -12345.0 : value);
  }
  for (const data::Episode& e : set.episodes())
    all.insert(all.end(), {double(e.from), double(e.to)});
  return all;
}

struct SampleSet {
  test::TemporaryFolder temporary;
  Path folder = temporary.path() / "set";
  SampleSet() { test::write_sample(folder, {6, 9}, test::sample_options()); }

  /// Replaces text in info.json.
  void change_info(const std::string& from, const std::string& to) const {
    std::string text = read_file(folder / "meta/info.json");
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    write_file(folder / "meta/info.json", text.replace(at, from.size(), to));
  }
};

}  // namespace

TEST_CASE("dataset: an info.json that lies is refused with the key or the table named") {
  const struct {
    const char *from, *to, *message;
  } lies[] = {
      {"\"total_frames\": 15", "\"total_frames\": 16", "there are 15 rows, info.json says 16"},
      {"\"total_frames\": 15", "\"total_frames\": 1e300", "key total_frames"},
      {"\"total_frames\": 15", "\"total_frames\": -1", "key total_frames"},
      {"\"total_frames\": 15", "\"total_frames\": \"15\"", "key total_frames"},
      {"\"total_episodes\": 2", "\"total_episodes\": 3", "there are 2 episodes, info.json says 3"},
      {"\"total_tasks\": 1", "\"total_tasks\": 2", "has 1 tasks, info.json says 2"},
      {"\"fps\": 10", "\"fps\": 0", "key fps"},
      {"\"fps\": 10", "\"fps\": 9.5", "key fps"},
      {"\"fps\": 10", "\"fps\": 20", "timestamp"},
      {"\"v3.0\"", "\"v2.1\"", "argosy ingest"},
      {"\"float64\"", "\"float47\"", "\"float47\" is not known"},
      {"\"action\"", "\"act/ion\"", "slash"},
      {"\"action\"", "\"reaction\"", "column \"action\" is not listed"},
      {"data/chunk-{chunk_index:03d}", "../data/chunk-{chunk_index:03d}",
       "leads out of the data set"},
      {"\"features\": {", "\"features\": [{", "not valid JSON"},
  };
  const SampleSet sample;
  const std::string good = read_file(sample.folder / "meta/info.json");
  for (const auto& lie : lies) {
    INFO(lie.from, " -> ", lie.to);
    write_file(sample.folder / "meta/info.json", good);
    sample.change_info(lie.from, lie.to);
    CHECK_THROWS_WITH_AS(Dataset::open(sample.folder), doctest::Contains(lie.message), Error);
  }
}

TEST_CASE("dataset: a shape that lies ends in an Error when the column is read") {
  for (const char* shape : {"2", "4", "16777216", "3,\n                2"}) {
    const SampleSet sample;
    sample.change_info("\"shape\": [\n                3\n",
                       fmt::format("\"shape\": [\n                {}\n", shape));
    const Dataset set = Dataset::open(sample.folder);
    CHECK_THROWS_AS(set.column("observation.state"), Error);
  }
}

TEST_CASE("dataset: an unknown feature names the nearest one") {
  const SampleSet sample;
  const Dataset set = Dataset::open(sample.folder);
  CHECK_THROWS_WITH_AS(set.column("observation.stat"),
                       doctest::Contains("did you mean \"observation.state\"?"), Error);
  CHECK_THROWS_WITH_AS(set.column("note"), doctest::Contains("is of type string"), Error);
  CHECK_THROWS_AS(set.episode_of(15), Error);
  CHECK(set.episode_of(5).index == 0);
  CHECK(set.episode_of(6).index == 1);
}

TEST_CASE("dataset: rows that are not in order are refused with file and row") {
  const SampleSet sample;
  const auto write_rows = [&](const std::string& column, double value) {
    data::ParquetReader reader(sample.folder / kRows);
    std::vector<data::ParquetColumn> columns;
    const Dataset set = Dataset::open(sample.folder);
    for (const data::Feature& feature : set.features()) {
      if (feature.video()) continue;
      columns.push_back({.name = feature.name, .type = feature.dtype, .shape = feature.shape});
      if (feature.dtype == "string") columns.back().texts = set.texts(feature.name);
      if (!feature.numeric()) continue;
      reader.read(feature.name, feature.shape, columns.back().numbers);
      if (feature.name == column) columns.back().numbers[7] = value;
    }
    std::filesystem::copy(sample.folder / kRows, sample.temporary.path() / "kept");
    data::ParquetWriter writer(sample.folder / kRows);
    writer.write(columns);
    writer.finish();
  };
  const struct {
    const char* column;
    double value;
    const char* message;
  } cases[] = {{"index", 8, "row 7: index is 8 instead of 7"},
               {"episode_index", 0, "row 7: episode_index is 0 instead of 1"},
               {"frame_index", 7, "row 7: frame_index is 7 instead of 1"},
               {"timestamp", 0.15, "row 7: timestamp"},
               {"task_index", 1, "row 7: task_index is 1"}};
  for (const auto& wrong : cases) {
    write_rows(wrong.column, wrong.value);
    CHECK_THROWS_WITH_AS(Dataset::open(sample.folder), doctest::Contains(wrong.message), Error);
    std::filesystem::rename(sample.temporary.path() / "kept", sample.folder / kRows);
  }
  CHECK(Dataset::open(sample.folder).frames() == 15);
}

TEST_CASE("dataset: cut and changed tables end in an Error or in the same numbers" *
          doctest::test_suite("slow")) {
  const SampleSet sample;
  const std::vector<double> expected = all_numbers(Dataset::open(sample.folder));
  Random random(17);
  int refused = 0, other = 0, rounds = 0;
  for (const char* name : {kRows, kEpisodes, "meta/tasks.parquet", "meta/info.json"}) {
    const std::string bytes = read_file(sample.folder / name);
    for (int round = 0; round < 120; ++round, ++rounds) {
      std::string changed = bytes;
      if (round % 4 == 0)
        changed.resize(random.below(bytes.size()));
      else
        for (uint64_t flips = 1 + random.below(3); flips > 0; --flips)
          changed[random.below(bytes.size())] ^= char(1 << random.below(8));
      write_file(sample.folder / name, changed);
      try {
        other += all_numbers(Dataset::open(sample.folder)) != expected;
      } catch (const Error&) {
        ++refused;
      }
    }
    write_file(sample.folder / name, bytes);
  }
  MESSAGE(refused, " of ", rounds, " changed files were refused, ", other, " gave other numbers");
  CHECK(refused > rounds / 2);
  CHECK(other <= 2);
}

TEST_CASE("check: a whole data set has no defects") {
  const SampleSet sample;
  int64_t frames = 0;
  const auto defects =
      data::check_dataset(sample.folder, [&](int64_t done, int64_t) { frames = done; });
  for (const std::string& defect : defects) MESSAGE(defect);
  CHECK(defects.empty());
  CHECK(frames == 30);
}

TEST_CASE("check: every defect is named, not only the first") {
  const SampleSet sample;
  const auto contains = [](const std::vector<std::string>& defects, const std::string& text) {
    return std::any_of(defects.begin(), defects.end(),
                       [&](const std::string& d) { return d.find(text) != std::string::npos; });
  };
  sample.change_info("\"total_frames\": 15", "\"total_frames\": 14");
  write_file(sample.folder / "videos/observation.images.front/chunk-000/file-007.mp4", "stray");
  write_file(sample.folder / "meta/stats.json", "{");
  std::filesystem::remove(sample.folder / "videos/observation.images.rear/chunk-000/file-000.mp4");
  std::string video = read_file(sample.folder / kFront);
  for (size_t i = video.size() - 600; i < video.size(); ++i) video[i] = char(i * 31);
  write_file(sample.folder / kFront, video);
  const auto defects = data::check_dataset(sample.folder, {});
  for (const char* text :
       {"info.json says 14", "file-007.mp4: nothing in the data set refers to this file",
        "stats.json: the statistics are not readable", "camera observation.images.rear is missing",
        "cannot be decoded"})
    CHECK_MESSAGE(contains(defects, text), text);
}

TEST_CASE("check: LeRobot's sample is whole") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  CHECK(data::check_dataset(shared / "lerobot-v3-sample", {}).empty());
}
