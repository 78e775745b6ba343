#include "data/dataset_writer.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/random.h"
#include "data/video.h"
#include "sample.h"
#include "shared.h"

using namespace argosy;
using data::Dataset;
using data::DatasetOptions;
using data::DatasetWriter;
using test::sample_options;
using test::write_sample;

namespace {

/// Every number, text and frame is the one that write_sample wrote.
void check_sample(const Path& folder, int64_t frames) {
  const Dataset set = Dataset::open(folder);
  const DatasetOptions options = sample_options();
  REQUIRE(set.frames() == frames);
  REQUIRE(set.features().size() == options.features.size() + 5);
  for (size_t f = 0; f < options.features.size(); ++f) {
    const data::Feature &feature = options.features[f], &read = set.features()[f];
    INFO(feature.name);
    CHECK(read.name == feature.name);
    CHECK(read.dtype == feature.dtype);
    CHECK(read.shape == feature.shape);
    CHECK(read.names == feature.names);
    CHECK(read.units == feature.units);
    if (feature.dtype == "string") {
      const auto texts = set.texts(feature.name);
      for (int64_t row = 0; row < frames; ++row)
        REQUIRE(texts[size_t(row)] == fmt::format("row {}", row));
    }
    if (!feature.numeric()) continue;
    const auto values = set.column_f64(feature.name);
    const auto floats = set.column(feature.name);
    for (int64_t row = 0; row < frames; ++row)
      for (int64_t e = 0; e < feature.width(); ++e) {
        const double expected = test::sample_value(int(f), row, e),
                     value = values[size_t(row * feature.width() + e)];
        REQUIRE((value == expected || (std::isnan(value) && std::isnan(expected))));
        const float rounded = floats[size_t(row * feature.width() + e)];
        REQUIRE((rounded == float(expected) || std::isnan(rounded)));
      }
  }
  int64_t begin = 0;
  for (const data::Episode& episode : set.episodes()) {
    REQUIRE(episode.from == begin);
    begin = episode.to;
    CHECK(episode.source == fmt::format("recording {}", episode.from));
    CHECK(episode.tasks ==
          std::vector<std::string>{episode.from % 2 ? "drive on" : "fahr los, übe"});
    for (const std::string& camera : set.cameras()) {
      const data::VideoSegment& segment = episode.videos.at(camera);
      data::VideoReader reader(segment.file);
      CHECK(reader.group_begin(segment.first_frame) == segment.first_frame);
      const int64_t offset = camera == "observation.images.rear" ? 20000 : 0;
      for (const int64_t i : {int64_t{0}, episode.length() / 2, episode.length() - 1})
        REQUIRE(test::number_in(reader.read(segment.first_frame + i)) == offset + episode.from + i);
    }
  }
  CHECK(begin == frames);
}

size_t count_files(const Path& folder) {
  size_t n = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    n += entry.is_regular_file();
  return n;
}

/// Names in `folder` but for the lock, which stays.
std::vector<std::string> names_in(const Path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() != ".lock") names.push_back(entry.path().filename());
  return names;
}

DatasetOptions small_options() {
  DatasetOptions options;
  options.fps = 10;
  options.features = {{.name = "action", .dtype = "float32", .shape = {2}}};
  return options;
}

}  // namespace

TEST_CASE("writer: what is written is read back, to the last bit and frame") {
  const test::TemporaryFolder temporary;
  write_sample(temporary.path() / "set", {7, 1, 12}, sample_options());
  check_sample(temporary.path() / "set", 20);
  CHECK(names_in(temporary.path()) == std::vector<std::string>{"set"});
}

TEST_CASE("writer: episodes stay whole where files roll over") {
  const test::TemporaryFolder temporary;
  DatasetOptions options = sample_options();
  options.data_file_bytes = 12000;
  options.video_file_bytes = 9000;
  write_sample(temporary.path() / "set", {9, 20, 3, 1, 14, 8, 2, 30}, options);
  check_sample(temporary.path() / "set", 87);
  const auto files = [&](const char* tree) { return count_files(temporary.path() / "set" / tree); };
  CHECK(files("data") > 1);
  CHECK(files("videos/observation.images.front") > 1);
  CHECK(files("videos/observation.images.rear") > 1);
  CHECK(files("videos/observation.images.front") < 8);
}

TEST_CASE("writer: adding keeps old files as they are, byte and inode") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "set";
  write_sample(folder, {6, 5}, sample_options());
  const Path video = folder / "videos/observation.images.front/chunk-000/file-000.mp4";
  const Path rows = folder / "data/chunk-000/file-000.parquet";
  struct stat before{}, after{};
  stat(video.c_str(), &before);
  const std::string bytes = read_file(rows);
  write_sample(folder, {4}, sample_options());
  write_sample(folder, {3, 2}, sample_options());
  check_sample(folder, 20);
  stat(video.c_str(), &after);
  CHECK(before.st_ino == after.st_ino);
  CHECK(read_file(rows) == bytes);
  CHECK(count_files(folder / "meta/episodes") == 1);
  CHECK(names_in(temporary.path()) == std::vector<std::string>{"set"});
}

TEST_CASE("writer: adding with other fps or features is refused and changes nothing") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "set";
  write_sample(folder, {6}, sample_options());
  DatasetOptions other = sample_options();
  other.fps = 20;
  CHECK_THROWS_WITH_AS(DatasetWriter(folder, other),
                       doctest::Contains("10 frames per second, the new episodes 20"), Error);
  other = sample_options();
  other.features[1].shape = {3};
  CHECK_THROWS_WITH_AS(DatasetWriter(folder, other), doctest::Contains("\"action\" float64 [3]"),
                       Error);
  other = sample_options();
  other.features.pop_back();
  CHECK_THROWS_AS(DatasetWriter(folder, other), Error);
  check_sample(folder, 6);
  CHECK(names_in(temporary.path()) == std::vector<std::string>{"set"});
}

TEST_CASE("writer: a folder that is no data set is left alone") {
  const test::TemporaryFolder temporary;
  write_file(temporary.path() / "precious", "x");
  CHECK_THROWS_WITH_AS(DatasetWriter(temporary.path(), small_options()),
                       doctest::Contains("not a data set"), Error);
  CHECK(read_file(temporary.path() / "precious") == "x");
}

TEST_CASE("writer: without commit nothing appears") {
  const test::TemporaryFolder temporary;
  {
    DatasetWriter writer(temporary.path() / "set", sample_options());
    writer.add(test::sample_episode(0, 5, sample_options()));
  }
  CHECK(names_in(temporary.path()).empty());
}

TEST_CASE("writer: a rejected episode leaves no trace, and the writer goes on") {
  const test::TemporaryFolder temporary;
  const DatasetOptions options = sample_options();
  DatasetWriter writer(temporary.path() / "set", options);
  writer.add(test::sample_episode(0, 5, options));
  const auto rejected = [&](const char* reason,
                            const std::function<void(data::EpisodeData&)>& spoil) {
    data::EpisodeData episode = test::sample_episode(5, 4, options);
    spoil(episode);
    INFO(reason);
    CHECK_THROWS_WITH_AS(writer.add(episode), doctest::Contains(reason), Error);
    CHECK(writer.frames() == 5);
  };
  rejected("no frames", [](auto& e) { e.length = 0; });
  rejected("instead of 4 x 2", [](auto& e) { e.columns["action"].pop_back(); });
  rejected("\"speed\"", [](auto& e) { e.columns.erase("speed"); });
  rejected("not features", [](auto& e) { e.columns["else"] = {1}; });
  rejected("which is no int64", [](auto& e) { e.columns["counter"][2] = 0.5; });
  rejected("which is no bool", [](auto& e) { e.columns["flags"][0] = 2; });
  rejected("4 texts", [](auto& e) { e.texts["note"].pop_back(); });
  rejected("instead of 96 x 64", [](auto& e) {
    e.frame = [](const std::string&, int64_t) { return test::numbered_picture(1, 32, 32); };
  });
  rejected("frame 3 is gone", [](auto& e) {
    e.frame = [good = e.frame](const std::string& camera, int64_t i) {
      if (camera == "observation.images.rear" && i == 3)
        throw Error({.what = "frame 3 is gone", .where = "recording", .fix = "none"});
      return good(camera, i);
    };
  });
  writer.add(test::sample_episode(5, 4, options));
  writer.commit();
  check_sample(temporary.path() / "set", 9);
}

TEST_CASE("writer: statistics leave missing values out and are those of all episodes together") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "set";
  const double missing = std::numeric_limits<double>::quiet_NaN();
  const auto add = [&](std::vector<double> values) {
    DatasetWriter writer(folder, small_options());
    data::EpisodeData episode;
    episode.length = int64_t(values.size()) / 2;
    episode.columns["action"] = std::move(values);
    writer.add(episode);
    writer.commit();
  };
  add({1, missing, 2, missing, 3, missing});
  add({10, missing, missing, missing});
  const auto stats = nlohmann::json::parse(read_file(folder / "meta/stats.json"))["action"];
  CHECK(stats["min"][0] == 1);
  CHECK(stats["max"][0] == 10);
  CHECK(stats["count"][0] == 5);
  CHECK(stats["mean"][1] == 0);
  CHECK(stats["q99"][1] == 0);
  // the first part's count comes from the file, which counts rows: 3; the second has one value
  CHECK(stats["mean"][0].get<double>() == doctest::Approx(4.0));
  CHECK(stats["std"][0].get<double>() == doctest::Approx(std::sqrt((9 + 4 + 1 + 36) / 4.0)));
}

TEST_CASE("writer: a second one on the same folder is told so at once") {
  const test::TemporaryFolder temporary;
  DatasetWriter first(temporary.path() / "set", small_options());
  CHECK_THROWS_WITH_AS(DatasetWriter(temporary.path() / "set", small_options()),
                       doctest::Contains("set: it is being written to"), Error);
  CHECK_NOTHROW(DatasetWriter(temporary.path() / "other", small_options()));
  data::EpisodeData episode{.length = 2, .task = "t", .columns = {{"action", {1, 2, 3, 4}}}};
  first.add(episode);
  first.commit();
  CHECK(Dataset::open(temporary.path() / "set").frames() == 2);
}

TEST_CASE("writer: a full disk is a clear error and what was there stays") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "set";
  const DatasetOptions options = sample_options();
  write_sample(folder, {6}, options);
  const auto limited = [&](rlim_t bytes) {
    const pid_t child = fork();
    if (child == 0) {
      const rlimit limit{bytes, bytes};
      setrlimit(RLIMIT_FSIZE, &limit);
      int code = 0;
      try {
        DatasetWriter writer(folder, options);
        writer.add(test::sample_episode(6, 20, options));
        writer.commit();
      } catch (const Error& error) {
        const std::string text = error.what();
        code = text.find("free some space") != std::string::npos ? 3 : 4;
        if (code == 4) fmt::print(stderr, "{}\n", text);
      } catch (...) {
        code = 5;
      }
      _exit(code);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  int failures = 0;
  for (const rlim_t bytes : {0, 100, 2000, 5000, 8000, 12000, 20000, 40000}) {
    const int code = limited(bytes);
    INFO(bytes, " bytes: ", code);
    CHECK((code == 0 || code == 3));
    failures += code == 3;
    if (code == 0) break;
    check_sample(folder, 6);
    CHECK(count_files(folder) == 7);
  }
  CHECK(failures >= 4);
}

TEST_CASE("writer: killed at any moment, the data set is the old or the new one" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "set";
  DatasetOptions options = sample_options();
  options.features.erase(options.features.begin() + 4, options.features.end() - 2);
  write_sample(folder, {3}, options);
  Random random(3);
  int64_t frames = 4;
  int grown = 0;
  const auto start = std::chrono::steady_clock::now();
  write_sample(folder, {1}, options);
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now() - start);
  for (int round = 0; round < 50; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        write_sample(folder, {3, 2}, options);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    usleep(useconds_t(random.below(uint64_t(whole.count()) * 2)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const Dataset set = Dataset::open(folder);
    REQUIRE((set.frames() == frames || set.frames() == frames + 5));
    grown += set.frames() != frames;
    frames = set.frames();
  }
  MESSAGE(grown, " of 50 killed writers had finished");
  write_sample(folder, {1}, options);
  CHECK(Dataset::open(folder).frames() == frames + 1);
  CHECK(names_in(temporary.path()) == std::vector<std::string>{"set"});
  const Dataset set = Dataset::open(folder);
  for (const data::Episode& episode : set.episodes()) {
    const data::VideoSegment& segment = episode.videos.at("observation.images.front");
    CHECK(test::number_in(data::VideoReader(segment.file).read(segment.first_frame)) ==
          episode.from);
  }
}
