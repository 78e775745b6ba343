#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "base/error.h"
#include "program.h"
#include "run/run_folder.h"
#include "shared.h"
#include "texts.h"
#include "tiny_drives.h"

using namespace argosy;
using test::contains;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kKills = 5, kSlower = 10;
#else
constexpr int kKills = 50, kSlower = 1;
#endif

/// A data set, an empty recipe, and the program that trains with tiny settings.
struct Place {
  test::TemporaryFolder temporary;
  Path data = temporary.path() / "data", recipe = temporary.path() / "tiny.toml";

  Place() {
    setenv("ARGOSY_THREADS", "1", 1);
    test::write_drives(data);
    write_file(recipe, "");
  }
  Path folder(const std::string& name) const { return temporary.path() / name; }

  std::vector<std::string> arguments(const Path& to, const std::vector<std::string>& more = {},
                                     const std::string& model = "pilotnet") const {
    std::vector<std::string> list = {"train", recipe.string()};
    for (const std::string& setting : test::tiny_settings(data, model)) list.push_back(setting);
    list.insert(list.end(), more.begin(), more.end());
    list.insert(list.end(), {"--to", to.string(), "--quiet"});
    return list;
  }
  test::Ended train(const Path& to, const std::vector<std::string>& more = {},
                    const std::string& model = "pilotnet") const {
    return test::run_program(temporary.path(), arguments(to, more, model));
  }
  std::string line(const Path& to, const std::vector<std::string>& more = {}) const {
    std::string text = "\"$ARGOSY\"";
    for (const std::string& argument : arguments(to, more)) text += " '" + argument + "'";
    return text;
  }
};

std::string weights(const Path& run) {
  return read_file(run::find_checkpoint(run, "last").folder / "state.safetensors");
}

void flip(const Path& file, size_t at) {
  std::string bytes = read_file(file);
  bytes[at % bytes.size()] ^= 0x10;
  write_file(file, bytes);
}

/// The words that every error is made of, on one line.
void check_sentence(const test::Ended& ended, int code, const std::string& part) {
  INFO(ended.err);
  CHECK(ended.code == code);
  CHECK(contains(ended.err, "error: "));
  CHECK(contains(ended.err, part));
  const size_t begin = ended.err.find("error: ");
  if (begin != std::string::npos) CHECK(ended.err.find('\n', begin) == ended.err.size() - 1);
}

}  // namespace

TEST_CASE("train: killed at random moments, a run ends with the weights of one that never was" *
          doctest::test_suite("slow")) {
  const Place place;
  const std::vector<std::string> more = {"training.steps=40", "training.checkpoint_every_steps=4",
                                         "training.evaluate_every_steps=20"};
  const Path whole = place.folder("whole");
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(place.train(whole, more).code == 0);
  const std::chrono::duration<double> length = std::chrono::steady_clock::now() - start;
  const std::string expected = weights(whole);

  std::mt19937 random(11);
  std::uniform_real_distribution<double> moment(0.02, std::max(0.1, 0.4 * length.count()));
  int kills = 0;
  for (int round = 0; kills < kKills && round < 100; ++round) {
    const Path run = place.folder(fmt::format("killed-{}", round));
    for (int attempt = 0; attempt < 100; ++attempt) {
      test::Program program(place.temporary.path(), place.arguments(run, more));
      if (kills < kKills) {
        std::this_thread::sleep_for(std::chrono::duration<double>(moment(random)));
        program.signal(SIGKILL);
      }
      const test::Ended ended = program.wait();
      if (ended.code == 0) break;
      INFO(ended.err);
      REQUIRE(ended.code == -SIGKILL);
      ++kills;
      for (const run::Checkpoint& checkpoint : run::list_checkpoints(run)) {
        CHECK_NOTHROW(run::verify_checkpoint(checkpoint));
        CHECK(run::read_position(checkpoint).step == checkpoint.step);
      }
    }
    CHECK(weights(run) == expected);
  }
  CHECK(kills == kKills);
}

TEST_CASE(
    "train: SIGINT leaves a checkpoint and code 130, and the run goes on to the same weights") {
  const Place place;
  const std::vector<std::string> more = {"training.steps=100", "training.checkpoint_every_steps=0"};
  const Path whole = place.folder("whole"), run = place.folder("run");
  REQUIRE(place.train(whole, more).code == 0);
  test::Program program(place.temporary.path(), place.arguments(run, more));
  while (!std::filesystem::exists(run / "split.json"))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(100 * kSlower));
  program.signal(SIGINT);
  const test::Ended ended = program.wait();
  CHECK(ended.code == 130);
  CHECK(contains(ended.out, "the same command goes on from here"));
  REQUIRE(run::list_checkpoints(run).size() >= 1);
  CHECK(place.train(run, more).code == 0);
  CHECK(weights(run) == weights(whole));

  const test::Ended again = place.train(run, more);
  CHECK(again.code == 0);
  CHECK(contains(again.out, "is complete with 100 steps"));
  CHECK(weights(run) == weights(whole));
  CHECK(place.train(run, {"training.steps=104"}).code == 0);
  CHECK(run::find_checkpoint(run, "last").step == 104);
}

TEST_CASE("train: a damaged newest checkpoint is named, and the run goes on from the one before") {
  const Place place;
  const std::vector<std::string> more = {"schedule.name=constant"};
  const Path run = place.folder("run");
  REQUIRE(place.train(run, more).code == 0);
  const std::string expected = weights(run);
  for (const char* file : {"state.safetensors", "position.json", "files.json"}) {
    CAPTURE(file);
    flip(run / "checkpoints/12" / file, 9);
    const test::Ended ended = place.train(run, more);
    CHECK(ended.code == 0);
    if (std::string(file) != "files.json") CHECK(contains(ended.err, "passed over"));
    CHECK(weights(run) == expected);
    CHECK_NOTHROW(run::verify_checkpoint(run::find_checkpoint(run, "last")));
  }
}

TEST_CASE("train: a full disk ends the run with the checkpoint before it intact") {
  const Place place;
  const Path run = place.folder("run");
  REQUIRE(place.train(run, {"training.steps=4", "schedule.name=constant"}).code == 0);
  const std::string before = weights(run);
  // files may have 1000 blocks of 512 bytes, the weights have more
  const test::Ended ended =
      test::Program(place.temporary.path(),
                    "ulimit -f 1000; exec " + place.line(run, {"schedule.name=constant"}))
          .wait();
  check_sentence(ended, 3, "state.safetensors");
  CHECK(run::list_checkpoints(run).size() == 1);
  CHECK(weights(run) == before);
  CHECK(place.train(run, {"schedule.name=constant"}).code == 0);
  CHECK(run::find_checkpoint(run, "last").step == 12);
}

TEST_CASE("train: mistakes end in one sentence and leave no run behind") {
  const Place place;
  const Path run = place.folder("run");
  const auto fails = [&](int code, const std::string& part, std::vector<std::string> more) {
    CAPTURE(part);
    check_sentence(place.train(run, more), code, part);
    CHECK(!std::filesystem::exists(run));
  };
  fails(2, "training.batch_size is", {"training.batch_size=many"});
  fails(2, "there is no key training.batchsize", {"training.batchsize=4"});
  fails(2, "too small for the convolutions", {"model.height=20"});
  fails(2, "model.height is", {"model.height=1000000"});
  fails(2, "batch_size is 64, but an epoch has only 60", {"training.batch_size=64"});
  fails(2, "no camera rear", {"data.camera=rear"});
  fails(2, "no number named user/angel", {"data.outputs=user/angel"});
  fails(2, "crop", {"data.crop_top=31", "data.crop_bottom=31"});
  fails(2, "/nowhere: there is no such folder", {"data.path=/nowhere"});
  fails(2, "GiB", {"training.batch_size=65536", "model.height=2048", "model.width=2048"});
  fails(2, "learning_rate", {"optimizer.learning_rate=1e30"});

  const test::Ended missing =
      test::run_program(place.temporary.path(), {"train", "/nowhere.toml", "--to", run.string()});
  check_sentence(missing, 3, "/nowhere.toml");
  check_sentence(place.train("/proc/nobody/run"), 3, "/proc/nobody");
  write_file(place.folder("file"), "text");
  check_sentence(place.train(place.folder("file")), 3, "file");
  CHECK(read_file(place.folder("file")) == "text");
}

TEST_CASE("train: a folder that belongs to another recipe or another process stays as it is") {
  const Place place;
  const Path run = place.folder("run");
  REQUIRE(place.train(run).code == 0);
  const std::string before = weights(run);
  check_sentence(place.train(run, {"training.batch_size=4"}), 2,
                 "training.batch_size was 8 and is now 4");
  check_sentence(place.train(run, {}, "clip_transformer"), 2, "model.name was");
  CHECK(weights(run) == before);
  {
    const run::RunWriter other(run, run::read_run_recipe(run));
    check_sentence(place.train(run, {"training.steps=20"}), 3, "is being trained");
  }
  CHECK(weights(run) == before);
}

TEST_CASE("train: a run goes on beside new episodes, and stops where its own have changed") {
  const Place place;
  const std::vector<std::string> half = {"training.steps=6", "schedule.name=constant"},
                                 all = {"schedule.name=constant"};
  const Path whole = place.folder("whole"), run = place.folder("run");
  REQUIRE(place.train(whole, all).code == 0);
  REQUIRE(place.train(run, half).code == 0);
  test::write_drives(place.data, {{"tuesday", {10}}, {"wednesday", {12, 14}}}, {}, 500);
  CHECK(place.train(run, all).code == 0);
  CHECK(weights(run) == weights(whole));

  const Path changed = place.folder("changed");
  test::write_drives(changed, {{"monday", {14, 16, 12}}, {"tuesday", {18, 12, 12}}},
                     [](int64_t row, double& angle, double&) { angle += row == 20 ? 0.125 : 0; });
  std::vector<std::string> more = {"training.steps=20", "schedule.name=constant",
                                   "data.path=" + changed.string()};
  check_sentence(place.train(run, more), 2, "episode 1 of monday (16 frames)");
  CHECK(weights(run) == weights(whole));
}

TEST_CASE("train: the compiled step is shown without a data set") {
  const Place place;
  const test::Ended ended =
      test::run_program(place.temporary.path(),
                        {"train", place.recipe.string(), "data.path=/nowhere", "--dump-program"});
  CHECK(ended.code == 0);
  CHECK(contains(ended.out, "convolution"));
}
