#include "data/donkey_tub_writer.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/importer.h"
#include "shared.h"
#include "tub_maker.h"

using namespace argosy;
using namespace argosy::data;
namespace fs = std::filesystem;

namespace {

const TubWriterOptions kOptions = {.inputs = {{"cam/image_array", "image_array"},
                                              {"user/angle", "float"},
                                              {"user/throttle", "float"},
                                              {"user/mode", "str"},
                                              {"lap", "int"},
                                              {"recovery", "boolean"},
                                              {"imu", "vector"}},
                                   .created_ms = 1'600'000'000'500};

Image grey(int level) {
  return {24, 32, std::vector<uint8_t>(size_t{3} * 24 * 32, static_cast<uint8_t>(level))};
}

double angle_of(int64_t i) { return std::sin(static_cast<double>(i)); }

/// Records [from, to), 50 ms apart.
void write(DonkeyTubWriter& writer, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; ++i) {
    const Image image = grey(static_cast<int>(i % 250));
    const std::vector<TubValue> values = {&image,
                                          angle_of(i),
                                          0.5,
                                          std::string("user"),
                                          i,
                                          i % 2 == 1,
                                          std::vector<double>{0.25, static_cast<double>(i)}};
    writer.write(1'600'000'000'500 + 50 * i, values);
  }
}

struct Read {
  RecordingInfo info;
  std::vector<EpisodeData> episodes;
};

Read read(const Path& folder) {
  const auto tub = kDonkeyTub.open(folder, {});
  Read read{tub->info(), {}};
  while (auto episode = tub->next()) read.episodes.push_back(std::move(*episode));
  return read;
}

nlohmann::json json_line(const Path& file, int number) {
  std::string text = read_file(file);
  for (; number > 0; --number) text.erase(0, text.find('\n') + 1);
  return nlohmann::json::parse(text.substr(0, text.find('\n')));
}

}  // namespace

TEST_CASE("tub writer: what was written is what the importer reads") {
  const test::TemporaryFolder temporary;
  TubWriterOptions options = kOptions;
  options.records_per_catalog = 20;
  DonkeyTubWriter writer(temporary.path() / "tub", options);
  write(writer, 0, 50);
  writer.close();
  CHECK(writer.records() == 50);
  const Read tub = read(temporary.path() / "tub");
  CHECK(tub.info.source == "tub 2020-09-13T12:26:40Z");
  CHECK(tub.info.fps == doctest::Approx(20));
  CHECK(tub.info.skipped.empty());
  CHECK(tub.info.notes.empty());
  REQUIRE(tub.episodes.size() == 1);
  const EpisodeData& episode = tub.episodes[0];
  REQUIRE(episode.length == 50);
  for (int64_t i = 0; i < 50; ++i) {
    CAPTURE(i);
    const auto row = static_cast<size_t>(i);
    CHECK(episode.columns.at("action")[2 * row] == angle_of(i));
    CHECK(episode.columns.at("action")[2 * row + 1] == 0.5);
    CHECK(episode.columns.at("recorded_at_ms")[row] == 1'600'000'000'500.0 + 50.0 * double(i));
    CHECK(episode.columns.at("source_record")[row] == double(i));
    CHECK(episode.columns.at("observation.state")[4 * row] == double(i));
    CHECK(episode.columns.at("observation.state")[4 * row + 1] == double(i % 2));
    CHECK(episode.columns.at("observation.state")[4 * row + 3] == double(i));
    CHECK(episode.texts.at("user.mode")[row] == "user");
    CHECK(std::abs(episode.frame("observation.images.cam", i).pixels[0] - int(i)) <= 2);
  }
}

TEST_CASE("tub writer: the files are laid out as Donkey Car lays them out") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  TubWriterOptions options = kOptions;
  options.inputs.resize(2);
  options.records_per_catalog = 2;
  DonkeyTubWriter writer(folder, options);
  const Image image = grey(9);
  for (int64_t i = 0; i < 3; ++i)
    writer.write(1'600'000'000'500 + i, std::vector<TubValue>{&image, 1.0});
  writer.close();
  CHECK(read_file(folder / "manifest.json") ==
        "[\"cam/image_array\", \"user/angle\"]\n"
        "[\"image_array\", \"float\"]\n"
        "{}\n"
        "{\"created_at\": 1600000000.5, \"sessions\": {\"all_full_ids\": [\"20-09-13_0\"], "
        "\"last_full_id\": \"20-09-13_0\", \"last_id\": 0}}\n"
        "{\"current_index\": 3, \"deleted_indexes\": [], \"max_len\": 2, "
        "\"paths\": [\"catalog_0.catalog\", \"catalog_1.catalog\"]}\n");
  CHECK(read_file(folder / "catalog_1.catalog") ==
        "{\"_index\": 2, \"_session_id\": \"20-09-13_0\", \"_timestamp_ms\": 1600000000502, "
        "\"cam/image_array\": \"2_cam_image_array_.jpg\", \"user/angle\": 1.0}\n");
  CHECK(read_file(folder / "catalog_1.catalog_manifest") ==
        fmt::format("{{\"created_at\": 1600000000.502, \"line_lengths\": [{}], "
                    "\"path\": \"catalog_1.catalog_manifest\", \"start_index\": 2}}\n",
                    fs::file_size(folder / "catalog_1.catalog")));
  CHECK(json_line(folder / "catalog_0.catalog_manifest", 0)["line_lengths"].size() == 2);
  CHECK(fs::exists(folder / "images" / "2_cam_image_array_.jpg"));
}

TEST_CASE("tub writer: a number that is not finite, and no value, are missing in the record") {
  const test::TemporaryFolder temporary;
  DonkeyTubWriter writer(temporary.path() / "tub", kOptions);
  const Image image = grey(9);
  writer.write(1'600'000'000'500, std::vector<TubValue>{&image,
                                                        std::nan(""),
                                                        std::numeric_limits<double>::infinity(),
                                                        {},
                                                        int64_t{3},
                                                        true,
                                                        std::vector<double>{std::nan("")}});
  const auto record = json_line(temporary.path() / "tub" / "catalog_0.catalog", 0);
  CHECK(record.size() == 6);  // its own three, the picture, lap, recovery
  CHECK(record["lap"] == 3);
  CHECK(record["recovery"] == true);
}

TEST_CASE("tub writer: a killed recording has every record that was written") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  TubWriterOptions options = kOptions;
  options.records_per_catalog = 10;
  const pid_t child = fork();
  if (child == 0) {
    DonkeyTubWriter writer(folder, options);
    write(writer, 0, 35);
    _exit(0);  // as a kill: nothing is closed, no destructor runs
  }
  waitpid(child, nullptr, 0);
  CHECK(read(folder).info.kept == 35);

  DonkeyTubWriter writer(folder, options);  // and it is gone on with, as a new session
  CHECK(writer.records() == 35);
  write(writer, 35, 42);
  writer.close();
  const Read tub = read(folder);
  CHECK(tub.info.kept == 42);
  CHECK(tub.info.skipped.empty());
  CHECK(tub.episodes.size() == 2);
  CHECK(json_line(folder / "manifest.json", 3)["sessions"]["all_full_ids"].size() == 2);
  CHECK(json_line(folder / "catalog_3.catalog_manifest", 0)["line_lengths"].size() == 10);
  CHECK(json_line(folder / "catalog_4.catalog_manifest", 0)["start_index"] == 40);
}

TEST_CASE("tub writer: a last catalog cut at any byte loses its last record alone") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub", catalog = folder / "catalog_0.catalog";
  {
    DonkeyTubWriter writer(folder, kOptions);
    write(writer, 0, 4);
  }
  const std::string whole = read_file(catalog);
  const size_t last = whole.rfind('\n', whole.size() - 2) + 1;
  for (size_t size = last; size < whole.size(); ++size) {
    CAPTURE(size);
    test::put_file(catalog, whole.substr(0, size));
    CHECK(read(folder).info.kept == (size + 1 == whole.size() ? 4 : 3));
    DonkeyTubWriter writer(folder, kOptions);
    write(writer, 3, 5);
    const RecordingInfo info = read(folder).info;
    CHECK(info.kept >= 4);
    CHECK(info.skipped.empty());
  }
}

TEST_CASE("tub writer: two writers in one folder, and other inputs, are clear errors") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  {
    DonkeyTubWriter writer(folder, kOptions);
    CHECK_THROWS_WITH_AS(
        DonkeyTubWriter(folder, kOptions),
        fmt::format("{}: it is being recorded to by another process; wait for it to end, or choose "
                    "another place",
                    folder.string())
            .c_str(),
        Error);
    write(writer, 0, 3);
    writer.close();
  }
  TubWriterOptions others = kOptions;
  others.inputs.pop_back();
  CHECK_THROWS_WITH_AS(
      DonkeyTubWriter(folder, others),
      fmt::format("{}: the tub that is there has other inputs; record into another folder",
                  folder.string())
          .c_str(),
      Error);
  CHECK(read(folder).info.kept == 3);
}

TEST_CASE("tub writer: a disk that fills keeps what was recorded, and says so") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  DonkeyTubWriter writer(folder, kOptions);
  write(writer, 0, 5);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const size_t size_bytes = fs::file_size(folder / "catalog_0.catalog");
  for (const rlim_t limit_bytes : {rlim_t{100}, rlim_t{size_bytes}, rlim_t{size_bytes + 50}}) {
    CAPTURE(limit_bytes);
    const rlimit small{limit_bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    std::string error;
    try {
      write(writer, 5, 6);
    } catch (const Error& caught) {
      error = caught.what();
    }
    setrlimit(RLIMIT_FSIZE, &old);
    CAPTURE(error);
    CHECK(error.find("free some space") != std::string::npos);
    CHECK(read(folder).info.kept == 5);
    CHECK(read(folder).info.skipped.empty());
    CHECK_FALSE(fs::exists(folder / "images" / "5_cam_image_array_.jpg"));
  }
  write(writer, 5, 8);  // space was freed
  writer.close();
  CHECK(read(folder).info.kept == 8);
}

TEST_CASE("tub writer: Donkey Car's empty tub is recorded into") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  make_folders(folder / "images");
  test::put_file(folder / "catalog_0.catalog", "");
  test::put_file(folder / "manifest.json",
                 "[\"user/angle\"]\n[\"float\"]\n{\"car\": \"blue\"}\n{\"created_at\": 5.0}\n"
                 "{\"paths\": [\"catalog_0.catalog\"], \"current_index\": 0, \"max_len\": 1000, "
                 "\"deleted_indexes\": []}\n");
  DonkeyTubWriter writer(folder, {.inputs = {{"user/angle", "float"}}});
  writer.write(1000, std::vector<TubValue>{0.5});
  writer.close();
  CHECK(json_line(folder / "manifest.json", 2)["car"] == "blue");
  CHECK(json_line(folder / "manifest.json", 4)["paths"].size() == 1);
  CHECK(json_line(folder / "catalog_0.catalog", 0)["user/angle"] == 0.5);
}
