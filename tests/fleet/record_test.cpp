#include "fleet/record.h"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "data/ingest.h"
#include "program.h"
#include "shared.h"

using namespace argosy;
namespace fs = std::filesystem;

namespace {

fleet::RecordOptions two_short_drives() {
  return {.cars = 2, .minutes = 0.05, .seconds_per_track = 2, .width = 64, .height = 48};
}

/// Every file below a folder, by its name there.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    all[entry.path().lexically_relative(folder)] = text.str();
  }
  return all;
}

}  // namespace

TEST_CASE("fleet record: its tubs become a data set with every record, a track an episode") {
  const test::TemporaryFolder folder;
  const fleet::RecordSummary summary = fleet::record(folder.path() / "tubs", two_short_drives());
  CHECK(summary.records == 2 * 60);
  CHECK(summary.tracks == 2 * 2);
  CHECK_FALSE(summary.interrupted);
  const Path sources[] = {folder.path() / "tubs/car_01", folder.path() / "tubs/car_02"};
  data::ingest(sources, folder.path() / "set", {});
  const data::Dataset set = data::Dataset::open(folder.path() / "set");
  CHECK(set.frames() == 2 * 60);
  CHECK(set.episodes().size() == 4);
}

TEST_CASE("fleet record: the same seed gives the same bytes, on one thread and on two") {
  const test::TemporaryFolder folder;
  const int threads = thread_count();
  set_thread_count(1);
  fleet::record(folder.path() / "a", two_short_drives());
  set_thread_count(2);
  fleet::record(folder.path() / "b", two_short_drives());
  set_thread_count(threads);
  CHECK(contents(folder.path() / "a") == contents(folder.path() / "b"));
}

TEST_CASE(
    "fleet record: zero cars and an existing folder are refused, and nothing is left behind") {
  const test::TemporaryFolder folder;
  fleet::RecordOptions options = two_short_drives();
  options.cars = 0;
  CHECK_THROWS_WITH_AS(fleet::record(folder.path() / "x", options),
                       "fleet record: 0 cars; the range is 1 to 1000; give a number in that range",
                       Error);
  CHECK(fs::is_empty(folder.path()));
  fs::create_directories(folder.path() / "y" / "mine");
  CHECK_THROWS_AS(fleet::record(folder.path() / "y", two_short_drives()), Error);
  CHECK(fs::exists(folder.path() / "y" / "mine"));
}

TEST_CASE("fleet record: asked to stop, it keeps what was recorded") {
  const test::TemporaryFolder folder;
  std::atomic<bool> stop{false};
  fleet::RecordOptions options = two_short_drives();
  options.minutes = 60;
  options.stop = &stop;
  options.progress = [&](int64_t done, int64_t) { stop = done > 5; };
  const fleet::RecordSummary summary = fleet::record(folder.path() / "tubs", options);
  CHECK(summary.interrupted);
  CHECK(summary.records > 5);
  CHECK(fs::exists(folder.path() / "tubs/car_01/manifest.json"));
}

TEST_CASE("fleet record: a full disk is one clear sentence, and nothing is left behind") {
  const test::TemporaryFolder folder;
  // the limit of a file's size ends writing as a full disk does
  const test::Ended ended =
      test::Program(folder.path(),
                    "ulimit -f 1; exec \"$ARGOSY\" fleet record --cars 1 --minutes 0.05 --to " +
                        (folder.path() / "tubs").string())
          .wait();
  CHECK(ended.code == 3);
  CHECK(ended.err.find("bug") == std::string::npos);
  CHECK_FALSE(fs::exists(folder.path() / "tubs"));
}
