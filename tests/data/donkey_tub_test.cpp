#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "data/donkey_tub_records.h"
#include "data/importer.h"
#include "shared.h"
#include "texts.h"
#include "tub_maker.h"

using namespace argosy;
using test::contains;
using namespace argosy::data;
using test::TubMaker;
namespace fs = std::filesystem;

namespace {

struct Opened {
  RecordingInfo info;
  std::vector<EpisodeData> episodes;
  std::string error;  ///< of opening
};

Opened open_tub(const Path& folder, double gap_s = 1) {
  Opened opened;
  try {
    const auto tub = kDonkeyTub.open(folder, {.gap_s = gap_s});
    opened.info = tub->info();
    while (auto episode = tub->next()) opened.episodes.push_back(std::move(*episode));
  } catch (const Error& error) {
    opened.error = error.what();
  }
  return opened;
}

Opened written(const TubMaker& maker, double gap_s = 1) {
  const test::TemporaryFolder temporary;
  maker.write(temporary.path() / "tub");
  return open_tub(temporary.path() / "tub", gap_s);
}

std::vector<int64_t> lengths(const Opened& tub) {
  std::vector<int64_t> all;
  for (const EpisodeData& episode : tub.episodes) all.push_back(episode.length);
  return all;
}

/// "reason xN" of everything skipped.
std::vector<std::string> skipped(const Opened& tub) {
  std::vector<std::string> all;
  for (const Skipped& entry : tub.info.skipped)
    all.push_back(fmt::format("{} x{}", entry.reason, entry.count));
  return all;
}

const Feature& feature(const Opened& tub, const std::string& name) {
  for (const Feature& one : tub.info.features)
    if (one.name == name) return one;
  FAIL("no feature ", name);
  throw 0;
}

using Lengths = std::vector<int64_t>;
using Texts = std::vector<std::string>;

/// The error of a tub whose manifest is `text`.
std::string manifest_error(const std::string& text) {
  const test::TemporaryFolder temporary;
  TubMaker(2).write(temporary.path());
  test::put_file(temporary.path() / "manifest.json", text);
  return open_tub(temporary.path()).error;
}

constexpr const char* kInputs = R"(["user/angle"])";
constexpr const char* kTypes = R"(["float"])";

}  // namespace

TEST_CASE("tub: a good one gives features by LeRobot's names, and every value") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  TubMaker maker(10);
  maker.records[3].range = "";
  maker.records[4].range = "NaN";
  maker.write(folder);
  CHECK(importer_for(folder) == &importers()[0]);
  const Opened tub = open_tub(folder);
  REQUIRE(tub.error == "");
  CHECK(tub.info.source == "tub 2020-09-13T12:26:40Z");
  CHECK(tub.info.fps == 20.0);
  CHECK(tub.info.records == 10);
  CHECK(skipped(tub).empty());
  CHECK(tub.info.notes == Texts{"range/cms: 2 of 10 values are missing (NaN)"});
  CHECK(feature(tub, "observation.images.cam").shape == Lengths{24, 32, 3});
  CHECK(feature(tub, "action").names == Texts{"user/angle", "user/throttle"});
  CHECK(feature(tub, "action").units == Texts{"normalised", "normalised"});
  CHECK(feature(tub, "observation.state").names == Texts{"range/cms"});
  CHECK(feature(tub, "observation.state").units == Texts{"cm"});
  CHECK(feature(tub, "user.mode").dtype == "string");
  CHECK(feature(tub, "recorded_at_ms").dtype == "int64");
  REQUIRE(lengths(tub) == Lengths{10});
  const EpisodeData& episode = tub.episodes[0];
  CHECK(episode.source == tub.info.source);
  CHECK(episode.columns.at("action")[2 * 9] == 0.25);
  CHECK(episode.columns.at("action")[2 * 9 + 1] == 0.5);
  CHECK(episode.columns.at("observation.state")[2] == 80.5);
  CHECK(std::isnan(episode.columns.at("observation.state")[3]));
  CHECK(std::isnan(episode.columns.at("observation.state")[4]));
  CHECK(episode.columns.at("recorded_at_ms")[9] == 1'600'000'000'450.0);
  CHECK(episode.columns.at("source_record")[9] == 9);
  CHECK(episode.texts.at("user.mode")[9] == "user");
  const Image frame = episode.frame("observation.images.cam", 7);
  CHECK(frame.height == 24);
  CHECK(frame.width == 32);
  CHECK(std::abs(frame.pixels[100] - 56) <= 2);
}

TEST_CASE("tub: all types that Donkey declares are taken or named as left out") {
  TubMaker maker(3);
  maker.inputs =
      R"(["cam/image_array", "user/angle", "user/throttle", "n", "on", "imu", "pilot/angle",
                     "depth", "user/mode"])";
  maker.inputs.erase(std::remove(maker.inputs.begin(), maker.inputs.end(), '\n'),
                     maker.inputs.end());
  maker.types =
      R"(["image_array", "float", "float", "int", "boolean", "vector", "float", "gray16_array", "str"])";
  for (auto& record : maker.records)
    record.more =
        R"(, "n": 7, "on": true, "imu": [1.5, 2.5], "pilot/angle": -0.5, "depth": "d.png")";
  maker.records[1].more = R"(, "n": "seven", "imu": [1], "on": null)";
  const Opened tub = written(maker);
  REQUIRE(tub.error == "");
  CHECK(feature(tub, "observation.state").names == Texts{"n", "on", "imu[0]", "imu[1]"});
  CHECK(feature(tub, "pilot").names == Texts{"pilot/angle"});
  const auto& state = tub.episodes.at(0).columns.at("observation.state");
  CHECK(std::vector(state.begin(), state.begin() + 4) == std::vector<double>{7, 1, 1.5, 2.5});
  for (size_t i = 4; i < 8; ++i) CHECK(std::isnan(state[i]));
  CHECK(tub.info.notes.at(0) == "input depth is left out: type gray16_array is not taken");
  CHECK(tub.info.notes.at(2) == "n: 1 values are not of the declared type and kept as missing");
}

TEST_CASE("tub: a pause, a new session, a deleted and a missing record each end an episode") {
  TubMaker maker(20);
  for (size_t i = 4; i < 20; ++i) maker.records[i].time_ms += 1000;  // 1050 ms
  for (size_t i = 10; i < 20; ++i) maker.records[i].session = "2";
  maker.deleted = {13, 1000};
  maker.records.erase(maker.records.begin() + 17);
  const Opened tub = written(maker);
  CHECK(lengths(tub) == Lengths{4, 6, 3, 3, 2});
  CHECK(tub.info.deleted == 1);
  CHECK(tub.info.fps == 20.0);
  CHECK(lengths(written(maker, 2.0)) == Lengths{10, 3, 3, 2});
}

TEST_CASE("tub: a clock that goes backwards ends the episode and loses no record") {
  TubMaker maker(10);
  for (size_t i = 5; i < 10; ++i) maker.records[i].time_ms -= 3'600'000;
  const Opened tub = written(maker);
  CHECK(lengths(tub) == Lengths{5, 5});
  CHECK(tub.info.notes == Texts{"the time stamps go backwards 1 times: an episode ends there"});
  CHECK(tub.info.fps == 20.0);
}

TEST_CASE("tub: of records with the same _index the last one stays") {
  TubMaker maker(6);
  maker.records[5].index = 2;
  maker.records[5].angle = "-1";
  const Opened tub = written(maker);
  CHECK(skipped(tub) == Texts{"another record with the same _index follows x1"});
  CHECK(lengths(tub) == Lengths{2, 2, 1});
  CHECK(tub.episodes[2].columns.at("action")[0] == -1);
}

TEST_CASE("tub: records out of order are kept, each in unbroken time") {
  TubMaker maker(6);
  std::swap(maker.records[2], maker.records[3]);
  CHECK(lengths(written(maker)) == Lengths{2, 1, 1, 2});
}

TEST_CASE("tub: an action that is none costs its record, which ends the episode") {
  for (const auto& [value, reason] : std::vector<std::pair<std::string, std::string>>{
           {"\"left\"", "user/angle is not a number"},
           {"true", "user/angle is not a number"},
           {"1e300", "user/angle is not a number"},
           {"[0.5]", "user/angle is not a number"},
           {"NaN", "user/angle is missing or NaN"},
           {"-Infinity", "user/angle is missing or NaN"},
           {"null", "user/angle is missing or NaN"},
           {"", "user/angle is missing or NaN"},
           {"1.01", "user/angle is outside [-1, 1]"},
           {"-7", "user/angle is outside [-1, 1]"},
           {"1e999", "the record is not a JSON object"}}) {
    CAPTURE(value);
    TubMaker maker(7);
    maker.records[3].angle = value;
    const Opened tub = written(maker);
    CHECK(skipped(tub) == Texts{reason + " x1"});
    CHECK(lengths(tub) == Lengths{3, 3});
    CHECK(contains(tub.info.skipped[0].first, "catalog_0.catalog line 4"));
  }
}

TEST_CASE("tub: a record without sensible _index or time is skipped") {
  TubMaker maker(4);
  maker.records[0].index = -1;
  maker.records[1].time_ms = -5;
  const Opened tub = written(maker);
  CHECK(skipped(tub) ==
        Texts{"_index is no sensible number x1", "_timestamp_ms is no sensible number x1"});
  CHECK(contains(tub.info.skipped[1].first, "_timestamp_ms is -5"));
  CHECK(lengths(tub) == Lengths{2});
}

TEST_CASE("tub: an image name is a name, never a path") {
  for (const std::string name : {"../../etc/passwd", "/etc/passwd", "a/b.jpg", "..", "."}) {
    CAPTURE(name);
    TubMaker maker(3);
    maker.records[0].image = name;
    const Opened tub = written(maker);
    CHECK(skipped(tub) == Texts{"the image cannot be used: it is not a plain file name x1"});
    CHECK(lengths(tub) == Lengths{2});
  }
}

TEST_CASE("tub: an image that is missing, empty or no file costs its record") {
  const test::TemporaryFolder temporary;
  TubMaker maker(6);
  maker.write(temporary.path());
  const Path images = temporary.path() / "images";
  fs::remove(images / maker.records[0].image_file());
  test::put_file(images / maker.records[1].image_file(), "");
  fs::remove(images / maker.records[2].image_file());
  fs::create_directory(images / maker.records[2].image_file());
  const Opened tub = open_tub(temporary.path());
  CHECK(skipped(tub) == Texts{"the image cannot be used: the file is missing x1",
                              "the image cannot be used: the file is empty x1",
                              "the image cannot be used: it is not a regular file x1"});
  CHECK(lengths(tub) == Lengths{3});
}

TEST_CASE("tub: links inside the tub are followed, links out of it are refused") {
  const test::TemporaryFolder temporary;
  const Path tub_folder = temporary.path() / "tub", images = tub_folder / "images";
  TubMaker maker(4);
  maker.write(tub_folder);
  test::put_file(temporary.path() / "outside.jpg", maker.jpeg(1));
  for (const int i : {0, 1, 2}) fs::remove(images / maker.records[i].image_file());
  fs::create_symlink("3_cam_image_array_.jpg", images / maker.records[0].image_file());
  fs::create_symlink(temporary.path() / "outside.jpg", images / maker.records[1].image_file());
  fs::create_symlink("none.jpg", images / maker.records[2].image_file());
  const Opened tub = open_tub(tub_folder);
  CHECK(lengths(tub) == Lengths{1, 1});
  CHECK(skipped(tub)[0] == "the image cannot be used: the link leads out of the recording x1");
  fs::create_symlink(tub_folder, temporary.path() / "link");
  CHECK(open_tub(temporary.path() / "link").info.kept == 2);  // the tub itself may be one
  fs::rename(images, temporary.path() / "images");
  fs::create_symlink(temporary.path() / "images", images);
  CHECK(contains(open_tub(tub_folder).error, "the folder of the images is a link"));
  fs::remove(tub_folder / "catalog_0.catalog");
  fs::create_symlink("/etc/passwd", tub_folder / "catalog_0.catalog");
  CHECK(contains(open_tub(tub_folder).error, "the link leads out of the recording"));
}

TEST_CASE("tub: frames that are cut, no image, or of another size are errors that name the file") {
  const test::TemporaryFolder temporary;
  TubMaker maker(40);
  maker.write(temporary.path());
  const Path images = temporary.path() / "images";
  const std::string whole = maker.jpeg(1);
  test::put_file(images / maker.records[1].image_file(), whole.substr(0, whole.size() / 2));
  test::put_file(images / maker.records[2].image_file(), "hello");
  maker.width = 64;
  test::put_file(images / maker.records[3].image_file(), maker.jpeg(3));
  const Opened tub = open_tub(temporary.path());
  REQUIRE(lengths(tub) == Lengths{40});
  const auto& frame = tub.episodes[0].frame;
  for (const int i : {1, 2, 3}) {
    CAPTURE(i);
    std::string error;
    try {
      frame("observation.images.cam", i);
    } catch (const Error& caught) {
      error = caught.what();
    }
    CAPTURE(error);
    CHECK(contains(error, maker.records[i].image_file()));
    if (i == 3) CHECK(contains(error, "the image is 64x24, the camera's others are 32x24"));
  }
  CHECK_NOTHROW(frame("observation.images.cam", 4));
}

TEST_CASE("tub: no image at all that can be decoded is an error") {
  const test::TemporaryFolder temporary;
  TubMaker maker(2);
  maker.write(temporary.path());
  for (const auto& record : maker.records)
    test::put_file(temporary.path() / "images" / record.image_file(), "hello");
  CHECK(contains(open_tub(temporary.path()).error, "no image that was looked at can be decoded"));
}

TEST_CASE("tub: a catalog that is missing or cut costs its records, not the others") {
  const test::TemporaryFolder temporary;
  TubMaker maker(9);
  maker.max_len = 3;
  maker.write(temporary.path());
  fs::remove(temporary.path() / "catalog_1.catalog");
  const std::string last = read_file(temporary.path() / "catalog_2.catalog");
  test::put_file(temporary.path() / "catalog_2.catalog", last.substr(0, last.size() - 20));
  const Opened tub = open_tub(temporary.path());
  CHECK(lengths(tub) == Lengths{3, 2});
  CHECK(skipped(tub) == Texts{"a catalog cannot be read x1", "the record is not a JSON object x1"});
  CHECK(contains(tub.info.skipped[0].first, "catalog_1.catalog: the file is missing"));
}

TEST_CASE("tub: a tub without usable records is an error that says why") {
  TubMaker maker(0);
  CHECK(contains(written(maker).error, "the tub has no records"));
  maker = TubMaker(3);
  maker.deleted = {0, 1, 2};
  CHECK(contains(written(maker).error, "all 3 records are deleted"));
  maker.deleted = {0};
  maker.records[1].angle = maker.records[2].angle = "2";
  CHECK(
      contains(written(maker).error,
               "none of the 3 records can be used (1 deleted); the first: user/angle is outside"));
}

TEST_CASE("tub: a manifest that is not right is an error that names the line") {
  const std::string start = fmt::format("{}\n{}\n{{}}\n{{}}\n", kInputs, kTypes);
  CHECK(contains(manifest_error(""), "the file is empty"));
  CHECK(contains(manifest_error("hello\n"), "manifest.json line 1: this is not JSON (byte 1)"));
  CHECK(
      contains(manifest_error("[]\n[]\n{}\n"), "the file has 3 lines, a Donkey Car v4 tub has 5"));
  CHECK(contains(manifest_error("{}\n[]\n{}\n{}\n{}\n"), "the list of inputs is not a list"));
  CHECK(contains(manifest_error("[1]\n[1]\n{}\n{}\n{}\n"), "entry 0 is not text"));
  CHECK(contains(manifest_error("[\"a\",\"b\"]\n[\"str\"]\n{}\n{}\n{}\n"),
                 "manifest.json line 2: 1 types for 2 inputs"));
  CHECK(contains(manifest_error("[\"a\",\"a\"]\n[\"str\",\"str\"]\n{}\n{}\n{}\n"),
                 "the input a is declared twice"));
  CHECK(contains(manifest_error("[]\n[]\n{}\n5\n{}\n"), "metadata is not an object"));
  CHECK(contains(manifest_error(start + "[]\n"), "the catalogs' metadata is not an object"));
  CHECK(contains(manifest_error(start + "{}\n"), "line 5: the key paths is missing"));
  CHECK(contains(manifest_error(start + "{\"paths\": 5}\n"), "paths is not a list"));
  CHECK(contains(manifest_error(start + "{\"paths\": [], \"deleted_indexes\": {}}\n"),
                 "deleted_indexes is not a list"));
  CHECK(contains(manifest_error(start + "{\"paths\": [], \"deleted_indexes\": [1.5]}\n"),
                 "deleted_indexes: entry 0 is not an integer"));
  CHECK(contains(manifest_error(start + "{\"paths\": [\"../manifest.json\"]}\n"),
                 "it is not a plain file name"));
  CHECK(contains(manifest_error("[1e999]\n"), "a number is out of range"));
}

TEST_CASE("tub: deep nesting, a huge line and a huge file end in a sentence, not in a crash" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  const std::string deep(100'000, '[');
  CHECK(contains(manifest_error(deep), "nested deeper than 16"));
  TubMaker maker(3);
  maker.records[1].more = ", \"x\": " + deep;
  CHECK(skipped(written(maker)) == Texts{"the record is nested deeper than 16 x1"});

  maker = TubMaker(4);
  maker.records[1].more = fmt::format(", \"x\": \"{}\"", std::string(3 << 20, 'x'));
  const Opened tub = written(maker);
  CHECK(skipped(tub) == Texts{"the record is longer than 1 MiB x1"});
  CHECK(lengths(tub) == Lengths{1, 2});

  // 1 GB without a line end: sparse, so that it costs no disk
  const Path folder = temporary.path() / "huge";
  TubMaker(4).write(folder);
  fs::resize_file(folder / "catalog_0.catalog", size_t{1} << 30);
  const Opened huge = open_tub(folder);
  CHECK(skipped(huge) == Texts{"the record is longer than 1 MiB x1"});
  CHECK(lengths(huge) == Lengths{4});
  fs::resize_file(folder / "manifest.json", size_t{1} << 30);
  CHECK(contains(open_tub(folder).error, "the file has 1073741824 bytes, the limit is 16777216"));
}

TEST_CASE("tub: a pipe in place of a catalog does not hang") {
  const test::TemporaryFolder temporary;
  TubMaker(4).write(temporary.path());
  fs::remove(temporary.path() / "catalog_0.catalog");
  REQUIRE(mkfifo((temporary.path() / "catalog_0.catalog").c_str(), 0600) == 0);
  CHECK(contains(open_tub(temporary.path()).error, "it is not a regular file"));
}

TEST_CASE("tub: a folder without permission is an error") {
  if (geteuid() == 0) {
    MESSAGE("skipped: root may read everything");
    return;
  }
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "tub";
  TubMaker(4).write(folder);
  fs::permissions(folder / "manifest.json", fs::perms::none);
  CHECK(contains(open_tub(folder).error, "manifest.json: cannot open: Permission denied"));
  fs::permissions(folder, fs::perms::none);
  CHECK(contains(open_tub(folder).error, "ermission"));
  fs::permissions(folder, fs::perms::owner_all);
}

TEST_CASE("tub: names that mean something to a file system or a table do no harm") {
  TubMaker maker(3);
  maker.inputs =
      R"(["cam/image_array", "user/angle", "user/throttle", "../../x", "timestamp", "a b", "a_b"])";
  maker.types = R"(["image_array", "float", "float", "str", "str", "str", "str"])";
  const Opened tub = written(maker);
  REQUIRE(tub.error == "");
  CHECK(feature(tub, "__.__.x").dtype == "string");
  CHECK(tub.info.notes == Texts{"input timestamp is left out: there is a column timestamp already",
                                "input a_b is left out: there is a column a_b already"});
}

TEST_CASE("tub: changed bytes end in a recording or in an Error" * doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  TubMaker maker(4);
  maker.records[2].more = R"(, "imu": [1.5, 2.5])";
  maker.inputs.insert(maker.inputs.size() - 1, ", \"imu\"");
  maker.types.insert(maker.types.size() - 1, ", \"list\"");
  maker.deleted = {3};
  maker.write(temporary.path());
  Random random(17);
  int opened = 0, refused = 0;
  for (const char* name : {"manifest.json", "catalog_0.catalog"}) {
    const Path file = temporary.path() / name;
    const std::string good = read_file(file);
    for (int round = 0; round < 2000; ++round) {
      std::string bad = good;
      for (uint64_t n = 1 + random.below(4); n > 0 && !bad.empty(); --n) {
        const size_t at = random.below(bad.size());
        const size_t length = random.below(std::min<size_t>(bad.size() - at, 40)) + 1;
        switch (random.below(6)) {
          case 0:
            bad[at] = static_cast<char>(random.bits());
            break;
          case 1:
            bad[at] = "[]{}\",:-0919eE.\\nNtfI\n\r\0"[random.below(24)];
            break;
          case 2:
            bad.erase(at, length);
            break;
          case 3:
            bad.insert(at, bad.substr(random.below(bad.size()), length));
            break;
          case 4:
            bad.resize(at);
            break;
          case 5:
            bad.insert(at, "99999999999999999999");
            break;
        }
      }
      test::put_file(file, bad);
      try {
        const TubRecords table = read_tub_records(fs::canonical(temporary.path()));
        CHECK(table.rows.size() <= 16);
        CHECK(table.numbers.size() == table.rows.size() * table.numbers_per_row);
        ++opened;
      } catch (const Error&) {
        ++refused;
      }
    }
    test::put_file(file, good);
  }
  CHECK(opened > 500);
  CHECK(refused > 500);
}

TEST_CASE("tub: the real drives give the rows and episodes that their records tell") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data beside the checkout");
    return;
  }
  const Opened second = open_tub(shared / "rc-car-drives" / "data_2");
  CHECK(second.error == "");
  CHECK(second.info.records == 2955);
  CHECK(second.info.deleted == 700);
  CHECK(second.info.kept == 2255);
  CHECK(second.episodes.size() == 29);
  CHECK(second.info.fps == 20.0);
  CHECK(skipped(second).empty());
  const Opened third = open_tub(shared / "rc-car-drives" / "data_3");
  CHECK(third.error == "");
  CHECK(third.info.records == 4222);
  CHECK(third.info.deleted == 1222);
  CHECK(third.info.kept == 3000);
  CHECK(third.episodes.size() == 33);
  CHECK(third.info.source == "data_3 2021-12-17T03:27:45Z");
  CHECK(skipped(third).empty());
  CHECK(third.info.notes == Texts{"range/cms: 245 of 3000 values are missing (NaN)"});
  int64_t present = 0;
  for (const EpisodeData& episode : third.episodes)
    for (const double range : episode.columns.at("observation.state"))
      present += !std::isnan(range);
  CHECK(present == 2755);
}
