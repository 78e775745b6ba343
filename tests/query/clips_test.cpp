#include "query/clips.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/check.h"
#include "data/dataset_info.h"
#include "data/sample.h"
#include "data/video.h"
#include "program.h"
#include "shared.h"
#include "tiny_drives.h"

using namespace argosy;
using query::Clip;

namespace {

const std::vector<query::Column> kFrames = {{"episode_index", query::ColumnKind::number},
                                            {"frame_index", query::ColumnKind::number}};

struct Sample {
  test::TemporaryFolder temporary;
  data::Dataset dataset;
  Sample() : dataset(make(temporary.path() / "sample")) {}
  static data::Dataset make(const Path& folder) {
    test::write_sample(folder, {30, 20}, test::sample_options());  // 10 frames per second
    return data::Dataset::open(folder);
  }
};

std::vector<Clip> collect(const data::Dataset& dataset, const std::vector<query::Row>& rows,
                          double before_s, double after_s) {
  query::ClipCollector collector(dataset, before_s, after_s);
  collector.begin(kFrames);
  for (const query::Row& row : rows) collector.add(row);
  return collector.clips();
}

}  // namespace

TEST_CASE("clips: frames in a row are one clip, in any order and named twice") {
  const Sample sample;
  CHECK(collect(sample.dataset, {{"0", "8"}, {"0", "6"}, {"0", "7"}, {"0", "7"}, {"1", "0"}}, 0,
                0) == std::vector<Clip>{{0, 6, 9}, {1, 0, 1}});
}

TEST_CASE("clips: what is taken along ends where the episode does, and joins what it reaches") {
  const Sample sample;
  CHECK(collect(sample.dataset, {{"0", "2"}, {"0", "29"}, {"1", "0"}}, 0.5, 0.3) ==
        std::vector<Clip>{{0, 0, 6}, {0, 24, 30}, {1, 0, 4}});
  CHECK(collect(sample.dataset, {{"0", "5"}, {"0", "13"}}, 0.4, 0.3) ==
        std::vector<Clip>{{0, 1, 17}});
  CHECK(collect(sample.dataset, {{"0", "5"}, {"0", "14"}}, 0.4, 0.3) ==
        std::vector<Clip>{{0, 1, 9}, {0, 10, 18}});
}

TEST_CASE("clips: rows without a frame are whole episodes") {
  const Sample sample;
  query::ClipCollector collector(sample.dataset, 0, 0);
  collector.begin(std::span(kFrames).first(1));
  collector.add({"1"});
  CHECK(collector.clips() == std::vector<Clip>{{1, 0, 20}});
}

TEST_CASE("clips: a row that names no frame of the data set is an error") {
  const Sample sample;
  query::ClipCollector collector(sample.dataset, 0, 0);
  collector.begin(kFrames);
  for (const query::Row& row : std::vector<query::Row>{{"2", "0"},
                                                       {"0", "30"},
                                                       {"0", "-1"},
                                                       {"0", "1.5"},
                                                       {"0", std::nullopt},
                                                       {std::nullopt, "1"},
                                                       {"99999999999999999999", "0"}})
    CHECK_THROWS_AS(collector.add(row), Error);
  CHECK_THROWS_WITH_AS(collector.begin({}),
                       "the SQL: the result has no column episode_index, so it names no episodes; "
                       "SELECT episode_index, frame_index for clips around frames, or "
                       "episode_index alone for whole episodes",
                       Error);
  CHECK_THROWS_AS(query::ClipCollector(sample.dataset, -1, 0), Error);
  CHECK_THROWS_AS(query::ClipCollector(sample.dataset, 0, NAN), Error);
}

TEST_CASE("clips: the new data set has the frames' rows and pictures, and says where they were") {
  const Sample sample;
  const Path folder = sample.temporary.path() / "clips";
  const std::vector<Clip> clips = {{0, 6, 17}, {1, 3, 12}};
  REQUIRE(query::write_clips(sample.dataset, clips, folder, {.sql = "SELECT \"x\""}));
  CHECK(data::check_dataset(folder, {}).empty());
  const data::Dataset cut = data::Dataset::open(folder);
  REQUIRE(cut.episodes().size() == 2);
  for (size_t e = 0; e < 2; ++e) {
    const data::Episode& episode = cut.episodes()[e];
    const data::Episode& whole = sample.dataset.episodes()[e];
    CHECK(episode.length() == clips[e].to - clips[e].from);
    CHECK(episode.source == whole.source);
    CHECK(episode.tasks == whole.tasks);
    const auto origin = nlohmann::json::parse(episode.provenance);
    CHECK(origin == nlohmann::json{{"dataset", (sample.temporary.path() / "sample").string()},
                                   {"episode", e},
                                   {"from", clips[e].from},
                                   {"to", clips[e].to},
                                   {"sql", "SELECT \"x\""}});
    const int64_t shift = whole.from + clips[e].from - episode.from;
    for (const data::Feature& feature : cut.features()) {
      if (!feature.numeric() || data::is_index_feature(feature.name)) continue;
      INFO(feature.name);
      const auto width = static_cast<size_t>(feature.width());
      const auto a =
          cut.column_f64(feature.name).subspan(static_cast<size_t>(episode.from) * width);
      const auto b = sample.dataset.column_f64(feature.name)
                         .subspan(static_cast<size_t>(episode.from + shift) * width);
      for (size_t i = 0; i < static_cast<size_t>(episode.length()) * width; ++i)
        CHECK((a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))));
    }
    CHECK(cut.texts("note")[static_cast<size_t>(episode.from)] ==
          fmt::format("row {}", episode.from + shift));
    const data::VideoSegment& segment = episode.videos.at("observation.images.front");
    data::VideoReader video(segment.file);
    for (int64_t i = 0; i < episode.length(); ++i)
      CHECK(test::number_in(video.read(segment.first_frame + i)) == episode.from + i + shift);
  }
}

TEST_CASE("clips: a folder that exists, no clips and a stop write nothing") {
  const Sample sample;
  const Path folder = sample.temporary.path() / "clips";
  const std::vector<Clip> clips = {{0, 0, 9}};
  CHECK_THROWS_AS(query::write_clips(sample.dataset, {}, folder, {}), Error);
  CHECK_THROWS_AS(query::write_clips(sample.dataset, clips, sample.temporary.path() / "sample", {}),
                  Error);
  const std::atomic<bool> stop = true;
  CHECK(!query::write_clips(sample.dataset, clips, folder, {.stop = &stop}));
  for (const auto& entry : std::filesystem::directory_iterator(sample.temporary.path()))
    CHECK_MESSAGE((entry.path().filename() == "sample" || entry.is_regular_file()), entry.path());
}

TEST_CASE("data query: what --to cuts out of a drive is whole, and a policy trains on it" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  const Path drives = temporary.path() / "drives", clips = temporary.path() / "clips";
  test::write_drives(drives);
  const auto cut = test::run_program(
      temporary.path(), {"data", "query", drives,
                         "SELECT episode_index, frame_index FROM frames WHERE \"user/angle\" > 0.9",
                         "--to", clips, "--before", "0.3", "--after", "0.3"});
  CHECK(cut.code == 0);
  CHECK(cut.out.find("clips of ") != std::string::npos);
  CHECK(test::run_program(temporary.path(), {"data", "check", clips}).code == 0);
  std::vector<std::string> train = {"train",
                                    Path(ARGOSY_SOURCE_DIR) / "recipes/drive-overview.toml", "--to",
                                    temporary.path() / "run"};
  for (const std::string& setting : test::tiny_settings(clips, "pilotnet"))
    train.push_back(setting);
  const auto trained = test::run_program(temporary.path(), train);
  INFO(trained.err);
  CHECK(trained.code == 0);
}
