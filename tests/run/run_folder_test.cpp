#include "run/run_folder.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "shared.h"
#include "texts.h"

using namespace argosy;
using test::contains;
using test::error_text;
using namespace argosy::run;
namespace fs = std::filesystem;

namespace {

Recipe recipe(const std::vector<std::string>& overrides = {}) {
  return parse_recipe("data.path = \"d\"", "r.toml", overrides);
}

void save(RunWriter& run, int64_t step, bool best = false, const std::string& weights = "weights") {
  Position position;
  position.step = step;
  run.save(position, [&](const Path& to) { write_file(to / "state.safetensors", weights); }, best);
}

std::vector<int64_t> steps(const Path& run) {
  std::vector<int64_t> found;
  for (const Checkpoint& checkpoint : list_checkpoints(run)) found.push_back(checkpoint.step);
  return found;
}

struct Quiet {  // warnings are expected here
  Quiet() { log::set_level(static_cast<log::Level>(static_cast<int>(log::Level::warning) + 1)); }
  ~Quiet() { log::set_level(log::Level::info); }
};

}  // namespace

TEST_CASE("run: a checkpoint keeps its position and files, and last and best point to it") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "a/run";
  RunWriter run(folder, recipe());
  CHECK_FALSE(run.resume_point());
  const Position position{.step = 40,
                          .epoch = 2,
                          .sample = 128,
                          .skipped = 3,
                          .skipped_in_row = 1,
                          .samples_seen = 2560,
                          .seconds = 1.0 / 3,
                          .best = 0.1,
                          .counters = {{"frames", 7}}};
  run.save(position, [](const Path& to) { write_file(to / "state.safetensors", "w"); }, true);
  const auto found = run.resume_point();
  REQUIRE(found);
  CHECK(found->step == 40);
  CHECK(read_position(*found) == position);
  CHECK(read_file(folder / "best/state.safetensors") == "w");
  CHECK(find_checkpoint(folder, "last").folder == found->folder);
  CHECK(read_run_recipe(folder) == recipe());
}

TEST_CASE("run: old checkpoints go, but never last or best") {
  const test::TemporaryFolder temporary;
  RunWriter run(temporary.path() / "run", recipe({"training.keep_checkpoints=2"}));
  save(run, 9);
  save(run, 10, true);
  for (const int64_t step : {11, 12, 100}) save(run, step);
  CHECK(steps(run.folder()) == std::vector<int64_t>{100, 12, 10});
  CHECK(find_checkpoint(run.folder(), "best").step == 10);
  CHECK(find_checkpoint(run.folder(), "last").step == 100);
  CHECK(find_checkpoint(run.folder(), "12").step == 12);
  CHECK(contains(error_text([&] { find_checkpoint(run.folder(), "13"); }),
                 "ask for last, best or one of 100, 12, 10"));
  save(run, 200, true);
  CHECK(steps(run.folder()) == std::vector<int64_t>{200, 100});
}

TEST_CASE("run: a checkpoint with a file missing, cut or added by hand is never taken") {
  const test::TemporaryFolder temporary;
  RunWriter run(temporary.path() / "run", recipe());
  save(run, 1);
  for (const char* file : {"state.safetensors", "position.json", "files.json"}) {
    save(run, 2);
    CHECK(steps(run.folder()).front() == 2);
    fs::resize_file(run.folder() / "checkpoints/2" / file, 3);
    CHECK(steps(run.folder()) == std::vector<int64_t>{1});
    fs::remove(run.folder() / "checkpoints/2" / file);
    CHECK(steps(run.folder()) == std::vector<int64_t>{1});
    CHECK(find_checkpoint(run.folder(), "last").step == 1);
  }
  fs::create_directories(run.folder() / "checkpoints/7");
  fs::create_directories(run.folder() / "checkpoints/007");
  write_file(run.folder() / "checkpoints/8", "");
  CHECK(steps(run.folder()) == std::vector<int64_t>{1});
}

TEST_CASE("run: a flipped bit is found, named, and the checkpoint before is taken") {
  const Quiet quiet;
  const test::TemporaryFolder temporary;
  RunWriter run(temporary.path() / "run", recipe());
  save(run, 1);
  save(run, 2);
  write_file(run.folder() / "checkpoints/2/state.safetensors", "weightz");
  CHECK(contains(error_text([&] { verify_checkpoint(list_checkpoints(run.folder()).front()); }),
                 "2/state.safetensors: the file has changed since it was written"));
  CHECK(run.resume_point()->step == 1);
  save(run, 2, false, "again");  // trained again from there
  CHECK(run.resume_point()->step == 2);
  save(run, 2, true, "not written, for the one there is sound");
  CHECK(read_file(run.folder() / "best/state.safetensors") == "again");
}

TEST_CASE("run: a list of files that points outside or is nonsense is refused") {
  const test::TemporaryFolder temporary;
  RunWriter run(temporary.path() / "run", recipe());
  save(run, 1);
  const Path list = run.folder() / "checkpoints/1/files.json";
  for (const char* text : {"", "[]", "{}", "{\"position.json\": 3}",
                           "{\"../x/position.json\": {\"bytes\": 1, \"crc32c\": 1}}",
                           "{\"/position.json\": {\"bytes\": 1, \"crc32c\": 1}}",
                           "{\"position.json\": {\"bytes\": -1, \"crc32c\": 1}}"}) {
    write_file(list, text);
    CHECK(steps(run.folder()).empty());
    CHECK_THROWS_AS(verify_checkpoint({1, run.folder() / "checkpoints/1"}), Error);
  }
}

TEST_CASE("run: a damaged position is one clear sentence") {
  const test::TemporaryFolder temporary;
  RunWriter run(temporary.path() / "run", recipe());
  save(run, 1);
  const Checkpoint checkpoint = list_checkpoints(run.folder()).front();
  const Path file = checkpoint.folder / "position.json";
  const std::string whole = read_file(file);
  for (size_t size = 0; size + 2 < whole.size(); size += 7) {
    write_file(file, whole.substr(0, size));
    CHECK_THROWS_AS(read_position(checkpoint), Error);
  }
  write_file(file, "{\"step\": \"x\"}");
  CHECK(contains(error_text([&] { read_position(checkpoint); }),
                 "position.json: this is no position of a run"));
}

TEST_CASE("run: two trainers cannot share a run, and a killed one leaves it free") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "run";
  {
    RunWriter run(folder, recipe());
    CHECK(contains(error_text([&] { RunWriter second(folder, recipe()); }),
                   "run: it is being trained by another process"));
  }
  if (const pid_t child = fork(); child == 0) {
    new RunWriter(folder, recipe());
    kill(getpid(), SIGKILL);
  } else {
    waitpid(child, nullptr, 0);
  }
  RunWriter run(folder, recipe());
}

TEST_CASE("run: going on with another recipe names the fixed keys that differ; others may change") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "run";
  {
    RunWriter run(folder, recipe());
  }
  CHECK(contains(
      error_text([&] { RunWriter run(folder, recipe({"training.seed=2", "model.width=96"})); }),
      "begun with another recipe: model.width was 128 and is now 96; training.seed was 1 and is "
      "now 2"));
  CHECK(read_run_recipe(folder).training.seed == 1);
  {
    RunWriter run(folder, recipe({"training.steps=500"}));
  }
  CHECK(read_run_recipe(folder).training.steps == 500);
}

TEST_CASE("run: a folder with other things in it is left alone") {
  const test::TemporaryFolder temporary;
  write_file(temporary.path() / "letter.txt", "dear");
  CHECK(contains(error_text([&] { RunWriter run(temporary.path(), recipe()); }),
                 "not empty and holds no run"));
  CHECK(std::distance(fs::directory_iterator(temporary.path()), {}) == 1);
  CHECK(contains(error_text([&] { read_run_recipe(temporary.path()); }), "there is no run here"));
  CHECK(contains(error_text([&] { find_checkpoint(temporary.path() / "none", "last"); }),
                 "there is no run here"));
}

TEST_CASE("run: killed at any moment of saving, the newest whole checkpoint is there and right") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "run";
  int64_t newest = 0;
  // so that the kills fall on every part of a save, however slow this disk is
  const auto start = std::chrono::steady_clock::now();
  {
    RunWriter run(temporary.path() / "timed", recipe());
    save(run, 1);
  }
  const std::chrono::duration<double, std::micro> one_save =
      std::chrono::steady_clock::now() - start;
  constexpr int kRounds = 24;
  for (int round = 0; round < kRounds; ++round) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    if (child == 0) {
      RunWriter run(folder, recipe({"training.keep_checkpoints=1"}));
      const auto from = run.resume_point();
      if (write(ready[1], "", 1) != 1) _exit(1);
      for (int64_t step = from ? from->step + 1 : 1;; ++step)
        save(run, step, step % 3 == 0, std::string(1000, 'a' + static_cast<char>(step % 26)));
    }
    char byte;
    REQUIRE(read(ready[0], &byte, 1) == 1);
    usleep(static_cast<useconds_t>(one_save.count() * 3 * round / kRounds));
    // the last ones go on from each other, however slow the machine
    const auto newest_now = [&] {
      const auto all = list_checkpoints(folder);
      return all.empty() ? 0 : all.front().step;
    };
    for (int i = 0; round >= kRounds - 2 && newest_now() <= newest && i < 60'000; ++i) usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    const auto all = list_checkpoints(folder);
    if (all.empty()) {
      CHECK(newest == 0);
      continue;
    }
    CHECK(all.front().step >= newest);
    newest = all.front().step;
    for (const Checkpoint& checkpoint : all) {
      verify_checkpoint(checkpoint);
      CHECK(read_position(checkpoint).step == checkpoint.step);
      CHECK(read_file(checkpoint.folder / "state.safetensors") ==
            std::string(1000, 'a' + static_cast<char>(checkpoint.step % 26)));
    }
    {
      RunWriter next(folder, recipe({"training.keep_checkpoints=1"}));
    }  // mends the marks
    if (newest >= 4) CHECK(find_checkpoint(folder, "best").step % 3 == 0);
  }
  CHECK(newest > 1);
}

TEST_CASE("run: a save that finds the disk full leaves the checkpoint before it") {
  const test::TemporaryFolder temporary;
  RunWriter run(temporary.path() / "run", recipe());
  save(run, 1);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 1000;
  setrlimit(RLIMIT_FSIZE, &small);
  CHECK_THROWS_AS(save(run, 2, false, std::string(5000, 'x')), Error);
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(steps(run.folder()) == std::vector<int64_t>{1});
  CHECK(std::distance(fs::directory_iterator(run.folder() / "checkpoints"), {}) == 1);
}
