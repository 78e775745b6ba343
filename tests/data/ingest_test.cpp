#include "data/ingest.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "data/dataset.h"
#include "data/frames_ahead.h"
#include "data/video.h"
#include "program.h"
#include "shared.h"
#include "texts.h"
#include "tub_maker.h"

using namespace argosy;
using test::contains;
using namespace argosy::data;
using test::TubMaker;
namespace fs = std::filesystem;

namespace {

using Paths = std::vector<Path>;

/// What ingest() throws, or "".
std::string error_of(const Paths& sources, const Path& to, const IngestOptions& options = {}) {
  try {
    ingest(sources, to, options);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

/// A made tub in `folder`, whose name in the data set is its own.
Path tub(const Path& folder, int64_t records = 6) {
  TubMaker(records).write(folder);
  return folder;
}

/// All that tells one data set from another: rows, episodes, and the grey of every frame.
std::string content(const Path& folder) {
  const Dataset set = Dataset::open(folder);
  std::string text = fmt::format("{} fps\n", set.fps());
  const auto records = set.column_f64("source_record");
  const auto actions = set.column("action");
  for (const Episode& episode : set.episodes()) {
    text += fmt::format("{} [{}]:", episode.source, fmt::join(episode.tasks, ","));
    const VideoSegment& video = episode.videos.at("observation.images.cam");
    VideoReader reader(video.file);
    for (int64_t i = 0; i < episode.length(); ++i) {
      const Image frame = reader.read(video.first_frame + i);
      text += fmt::format(" {}/{:.2f}/{:.0f}", records[episode.from + i],
                          actions[2 * (episode.from + i)], frame.pixels[1000] / 8.0);
    }
    text += "\n";
  }
  return text;
}

/// Names in a folder, hidden ones too, but not the locks, which stay.
std::vector<std::string> names_in(const Path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() != ".lock") names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// The program with `arguments`, its output thrown away.
pid_t start_program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), test::argosy_program());
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  // not fork(): the child of a program with threads may only call exec
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {1, 2})
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, pointers[0], &actions, nullptr, pointers.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

int exit_code(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("ingest: frames decoded ahead come in order, and an error comes at its own frame") {
  for (const int count : {1, 3}) {
    WorkerThreads threads(count);
    FramesAhead frames(
        threads,
        [](const std::string& camera, int64_t i) {
          if (i == 50) throw Error({.what = "bad", .where = camera, .fix = "none"});
          return Image{1, static_cast<int>(i) + 1, {}};
        },
        200);
    for (int i = 0; i < 200; ++i)
      for (const char* camera : {"left", "right"}) {
        if (i == 50)
          CHECK_THROWS_WITH(frames.next(camera), fmt::format("{}: bad; none", camera).c_str());
        else
          CHECK(frames.next(camera).width == i + 1);
      }
  }
}

TEST_CASE("ingest: two tubs become one data set that holds every row and frame") {
  const test::TemporaryFolder temporary;
  const Path a = temporary.path() / "a", b = temporary.path() / "b", to = temporary.path() / "set";
  TubMaker maker(8);
  maker.deleted = {3};
  for (auto& record : maker.records) record.angle = fmt::format("{}", 0.1 * record.index);
  maker.write(a);
  tub(b, 2);
  const IngestSummary summary = ingest(Paths{a, b}, to, {.task = "follow the line"});
  CHECK(summary.fps == 20);
  CHECK(summary.added_episodes == 3);
  CHECK(summary.episodes == 3);
  CHECK(summary.frames == 9);
  CHECK(content(to) ==
        "20 fps\n"
        "a 2020-09-13T12:26:40Z [follow the line]: 0/0.00/0 1/0.10/1 2/0.20/2\n"
        "a 2020-09-13T12:26:40Z [follow the line]: 4/0.40/4 5/0.50/5 6/0.60/6 7/0.70/7\n"
        "b 2020-09-13T12:26:40Z [follow the line]: 0/0.25/0 1/0.25/1\n");
  CHECK(names_in(temporary.path()) == std::vector<std::string>{"a", "b", "set"});
  const std::string text = summary_text(summary);
  CHECK(contains(text, "8 records, 1 deleted, 0 skipped: 2 episodes, 7 frames"));
  CHECK(contains(text, "next: argosy data info " + to.string()));
  const auto json = nlohmann::json::parse(summary_json(summary));
  CHECK(json["recordings"][0]["deleted"] == 1);
  CHECK(json["added"]["frames"] == 9);
}

TEST_CASE("ingest: adding keeps what is there, and a missing value stays missing") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = temporary.path() / "b",
             to = temporary.path() / "set";
  TubMaker maker(4);
  maker.records[2].range = "";
  maker.write(b);
  ingest(Paths{a}, to, {});
  const std::string before = content(to);
  const IngestSummary summary = ingest(Paths{b}, to, {});
  CHECK(summary.added_frames == 4);
  CHECK(summary.frames == 10);
  CHECK(content(to).starts_with(before));
  const Dataset set = Dataset::open(to);
  CHECK(set.column("observation.state")[7] == 80.5f);
  CHECK(std::isnan(set.column("observation.state")[8]));
}

TEST_CASE("ingest: a recording that is there already is refused, skipped or added, as asked") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = tub(temporary.path() / "b"),
             to = temporary.path() / "set";
  ingest(Paths{a}, to, {});
  const std::string before = content(to);
  CHECK(contains(error_of({b, a}, to),
                 "the recording a 2020-09-13T12:26:40Z is in the data set already; leave it out"));
  CHECK(content(to) == before);
  const IngestSummary skipped = ingest(Paths{a, b}, to, {.known = Known::skip});
  CHECK(skipped.added_episodes == 1);
  CHECK(contains(skipped.recordings[0].left_out, "in the data set already"));
  const IngestSummary nothing = ingest(Paths{a, b}, to, {.known = Known::skip});
  CHECK(nothing.added_episodes == 0);
  CHECK(nothing.frames == 12);
  CHECK(ingest(Paths{a}, to, {.known = Known::again}).episodes == 3);
}

TEST_CASE("ingest: a recording given twice is refused, also through a link or a copy") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), to = temporary.path() / "set";
  fs::create_symlink(a, temporary.path() / "link");
  CHECK(contains(error_of({a, a}, to), "the recording is given twice"));
  CHECK(contains(error_of({a, temporary.path() / "link"}, to), "the recording is given twice"));
  CHECK(contains(error_of({a, tub(temporary.path() / "copy" / "a")}, to), "is given twice"));
  CHECK_FALSE(fs::exists(to));
}

TEST_CASE("ingest: other features leave the recording out, and the difference is named") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = temporary.path() / "b",
             c = temporary.path() / "c", to = temporary.path() / "set";
  TubMaker larger(3), blind(3);
  larger.width = 64;
  larger.write(b);
  blind.inputs = R"(["cam/image_array", "user/angle", "user/throttle", "user/mode"])";
  blind.types = R"(["image_array", "float", "float", "str"])";
  blind.write(c);
  // the features of most rows count, not those of the first recording
  const IngestSummary summary = ingest(Paths{b, c, a}, to, {});
  CHECK(summary.frames == 6);
  CHECK(contains(summary.recordings[0].left_out,
                 "observation.images.cam has shape [24, 32, 3] in the data set, [24, 64, 3] in the "
                 "recording"));
  CHECK(contains(summary.recordings[1].left_out, "the recording has no observation.state"));
  CHECK(contains(error_of({b}, to), "no episode to add: its features are not the data set's"));
  CHECK(
      contains(error_of({b, c}, to), "none of the 2 recordings gives an episode; the first: its"));
  CHECK(contains(error_of({tub(temporary.path() / "d"), b}, to, {.strict = true}), "has shape"));
}

TEST_CASE("ingest: what a recording has beyond the data set's features is left out of it") {
  const test::TemporaryFolder temporary;
  const Path a = temporary.path() / "a", b = tub(temporary.path() / "b"),
             to = temporary.path() / "set";
  TubMaker blind(3);
  blind.inputs = R"(["cam/image_array", "user/angle", "user/throttle"])";
  blind.types = R"(["image_array", "float", "float"])";
  blind.write(a);
  ingest(Paths{a}, to, {});
  const IngestSummary summary = ingest(Paths{b}, to, {});
  CHECK(summary.added_frames > 0);
  const auto& notes = summary.recordings[0].info.notes;
  for (const char* name : {"observation.state", "user.mode"})
    CHECK(std::any_of(notes.begin(), notes.end(), [&](const std::string& note) {
      return contains(note, fmt::format("{} is left out: the data set has no", name));
    }));
  CHECK(Dataset::open(to).frames() == summary.frames);
}

TEST_CASE("ingest: frame rates a little apart are one, far apart leave the recording out") {
  const test::TemporaryFolder temporary;
  Paths tubs;
  for (const auto& [name, step_ms, count] :
       std::vector<std::tuple<std::string, int, int>>{{"a", 50, 9}, {"b", 55, 4}, {"c", 100, 4}}) {
    TubMaker maker(count);
    for (auto& record : maker.records) record.time_ms = 1'600'000'000'000 + record.index * step_ms;
    maker.write(temporary.path() / name);
    tubs.push_back(temporary.path() / name);
  }
  const Path to = temporary.path() / "set";
  const IngestSummary summary = ingest(tubs, to, {});
  CHECK(summary.fps == 20);
  CHECK(summary.frames == 13);
  CHECK(contains(summary.recordings[2].left_out,
                 "its time stamps give 10.0 frames/s, the data set has 20"));
  CHECK(contains(error_of({tubs[2]}, to, {.fps = 10}), "--fps is 10 but the data set has 20"));
  CHECK(ingest(Paths{tubs[2]}, to, {.fps = 20}).added_frames == 4);
  CHECK(ingest(tubs, temporary.path() / "other", {.fps = 15}).frames == 17);
}

TEST_CASE("ingest: without an interval the frame rate must be given") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a", 1), to = temporary.path() / "set";
  CHECK(contains(error_of({a}, to), "the time stamps give no frame rate; give --fps"));
  CHECK(ingest(Paths{a}, to, {.fps = 20}).frames == 1);
}

TEST_CASE("ingest: broken images cut the episode there, and are counted") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a", 30), to = temporary.path() / "set";
  const std::string whole = TubMaker(1).jpeg(1);
  for (const int bad : {0, 7, 8, 20})
    test::put_file(a / "images" / fmt::format("{}_cam_image_array_.jpg", bad),
                   bad == 7 ? "hello" : whole.substr(0, whole.size() / 2));
  const IngestSummary summary = ingest(Paths{a}, to, {});
  CHECK(summary.frames == 26);
  REQUIRE(summary.recordings[0].info.skipped.size() == 1);
  CHECK(summary.recordings[0].info.skipped[0].count == 4);
  std::vector<int64_t> lengths;
  const Dataset set = Dataset::open(to);
  for (const Episode& episode : set.episodes()) lengths.push_back(episode.length());
  CHECK(lengths == std::vector<int64_t>{6, 11, 9});
  CHECK(set.column_f64("source_record")[6] == 9);
  CHECK(contains(error_of({a}, temporary.path() / "strict", {.strict = true}),
                 "0_cam_image_array_.jpg"));
  CHECK_FALSE(fs::exists(temporary.path() / "strict"));
}

TEST_CASE("ingest: a bad recording among good ones is named; alone it is the error") {
  const test::TemporaryFolder temporary;
  const Path bad = tub(temporary.path() / "bad"), good = tub(temporary.path() / "good"),
             to = temporary.path() / "set";
  test::put_file(bad / "manifest.json", "hello\n");
  CHECK(contains(error_of({bad}, to), "manifest.json line 1: this is not JSON"));
  CHECK(contains(error_of({good, bad}, to, {.strict = true}), "this is not JSON"));
  CHECK_FALSE(fs::exists(to));
  const IngestSummary summary = ingest(Paths{bad, good}, to, {});
  CHECK(summary.frames == 6);
  CHECK(contains(summary.recordings[0].left_out, "this is not JSON"));
  CHECK(contains(summary_text(summary), "added 1 of 2 recordings"));
}

TEST_CASE("ingest: sources may be a folder of recordings; anything else is refused by name") {
  const test::TemporaryFolder temporary;
  const Path many = temporary.path() / "many", to = temporary.path() / "set";
  tub(many / "a");
  tub(many / "b");
  test::put_file(many / "notes.txt", "x");
  CHECK(ingest(Paths{many}, to, {}).episodes == 2);
  CHECK(contains(error_of({temporary.path() / "none"}, to), "cannot open the recording"));
  CHECK(contains(error_of({many / "notes.txt"}, to), "this is no recording"));
  CHECK(contains(error_of({many / "a" / "images"}, to), "Donkey Car v4 tub"));
}

TEST_CASE("ingest: a destination that is something else stays as it is") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), other = temporary.path() / "other",
             file = temporary.path() / "file";
  fs::create_directory(other);
  test::put_file(other / "thesis.txt", "x");
  test::put_file(file, "x");
  CHECK(error_of({a}, other) != "");
  CHECK(error_of({a}, file) != "");
  CHECK(error_of({a}, "/proc/set") != "");
  CHECK(error_of({a}, "/dev/null/set") != "");
  CHECK(fs::exists(other / "thesis.txt"));
  CHECK(names_in(temporary.path()) == std::vector<std::string>{"a", "file", "other"});
}

TEST_CASE("ingest: asked to stop, it ends soon and changes nothing") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = tub(temporary.path() / "b", 40),
             to = temporary.path() / "set";
  ingest(Paths{a}, to, {});
  const std::string before = content(to);
  std::atomic<bool> stop{false};
  IngestOptions options{.stop = &stop};
  options.progress = [&](int64_t frames, int64_t total) {
    CHECK(total == 40);
    CHECK(frames <= 10);
    stop = frames == 10;
  };
  const IngestSummary summary = ingest(Paths{b}, to, options);
  CHECK(summary.interrupted);
  CHECK(summary.added_frames == 0);
  CHECK(content(to) == before);
  CHECK(names_in(temporary.path()).size() == 3);
}

TEST_CASE("ingest: a disk that is full is an error and changes nothing") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = temporary.path() / "b",
             to = temporary.path() / "set";
  ingest(Paths{a}, to, {});
  const std::string before = content(to);
  TubMaker(200).write(b);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  for (const rlim_t limit_bytes : {500, 2000, 4000}) {
    CAPTURE(limit_bytes);
    const rlimit small{limit_bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    std::string error;
    ErrorKind kind = ErrorKind::input;
    try {
      ingest(Paths{b}, to, {});
    } catch (const Error& caught) {
      error = caught.what();
      kind = caught.kind();
    }
    setrlimit(RLIMIT_FSIZE, &old);
    CAPTURE(error);
    CHECK(error != "");
    CHECK(kind == ErrorKind::file);
    CHECK(content(to) == before);
    CHECK(names_in(temporary.path()).size() == 3);
  }
}

TEST_CASE("ingest: a second job on the same data set is refused while the first one writes") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = tub(temporary.path() / "b"),
             to = temporary.path() / "set";
  for (const bool existing : {false, true}) {
    CAPTURE(existing);
    std::string second;
    IngestOptions options{.known = Known::again};
    options.progress = [&](int64_t, int64_t) {
      if (second.empty()) second = error_of({b}, to);
    };
    CHECK(ingest(Paths{a}, to, options).added_frames == 6);
    CHECK(contains(second, "another process"));
  }
}

TEST_CASE("ingest: options out of range are refused by the flag's name") {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), to = temporary.path() / "set";
  CHECK(contains(error_of({a}, to, {.import = {.gap_s = 0}}), "--gap"));
  CHECK(contains(error_of({a}, to, {.fps = -1}), "--fps"));
  CHECK(contains(error_of({a}, to, {.task = ""}), "--task"));
}

TEST_CASE("ingest: the program killed at any moment leaves the old data set or the new one" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  const Path a = tub(temporary.path() / "a"), b = tub(temporary.path() / "b", 12),
             original = temporary.path() / "original", folder = temporary.path() / "in",
             to = folder / "set";
  ingest(Paths{a}, original, {});
  const auto reset = [&] {
    fs::remove_all(to);
    fs::create_directories(folder);
    fs::copy(original, to, fs::copy_options::recursive);
  };
  const std::vector<std::string> arguments = {"ingest", b.string(), "--to", to.string()};
  reset();
  const std::string old_content = content(to);
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(exit_code(start_program(arguments)) == 0);
  const auto whole = std::chrono::steady_clock::now() - start;
  const std::string new_content = content(to);
  CHECK(new_content != old_content);
  reset();
  Random random(5);
  int kept = 0, changed = 0;
  for (int round = 0; round < 60; ++round) {
    const pid_t child = start_program(arguments);
    std::this_thread::sleep_for(whole * random.uniform(0.0f, 1.1f));
    kill(child, SIGKILL);
    exit_code(child);
    const std::string after = content(to);
    CHECK((after == old_content || after == new_content));
    (after == old_content ? kept : changed) += 1;
    if (after != old_content) reset();
  }
  MESSAGE(
      fmt::format("killed 60 times: {} times the old data set, {} times the new", kept, changed));
  CHECK(kept > 0);
  reset();
  CHECK(exit_code(start_program(arguments)) == 0);
  CHECK(content(to) == new_content);
  for (const std::string& name : names_in(folder)) CHECK_FALSE(contains(name, "partial"));
}

TEST_CASE("ingest: the program ended by SIGINT or SIGTERM says 130 and changes nothing") {
  const test::TemporaryFolder temporary;
  const Path b = tub(temporary.path() / "b", 3000), folder = temporary.path() / "in",
             to = folder / "set";
  fs::create_directories(folder);
  for (const int number : {SIGINT, SIGTERM}) {
    const pid_t child = start_program({"ingest", b.string(), "--to", to.string()});
    for (int i = 0; i < 500 && names_in(folder).empty(); ++i)  // until it has begun to write
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kill(child, number);
    CHECK(exit_code(child) == 130);
    CHECK_FALSE(fs::exists(to));
    for (const std::string& name : names_in(folder)) CHECK_FALSE(contains(name, "partial"));
  }
}

TEST_CASE("ingest: the real drives become one data set with all their rows") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data beside the checkout");
    return;
  }
  const test::TemporaryFolder temporary;
  const Path to = temporary.path() / "set";
  const IngestSummary summary = ingest(Paths{shared / "rc-car-drives"}, to, {});
  CHECK(summary.fps == 20);
  CHECK(summary.episodes == 62);
  CHECK(summary.frames == 5255);
  const Dataset set = Dataset::open(to);
  CHECK(set.frames() == 5255);
  int64_t present = 0;
  for (const float range : set.column("observation.state")) present += !std::isnan(range);
  CHECK(present == 2255 + 2755);
  MESSAGE(fmt::format("{:.0f} frames/s", 5255 / summary.seconds));
}
