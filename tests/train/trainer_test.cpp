#include "train/trainer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/threads.h"
#include "engine/safetensors.h"
#include "run/policy.h"
#include "run/run_folder.h"
#include "shared.h"
#include "tiny_drives.h"

using namespace argosy;
using test::tiny_recipe;

namespace {

struct Drives {
  test::TemporaryFolder temporary;
  Path data = temporary.path() / "data";
  Drives() {
    log::set_level(log::Level::warning);
    set_thread_count(1);  // tiny work: a second thread only waits
    test::write_drives(data);
  }
  Path folder(const std::string& name) const { return temporary.path() / name; }
};

std::string weights(const Path& run) {
  return read_file(run::find_checkpoint(run, "last").folder / "state.safetensors");
}

run::Position position(const Path& run) {
  run::Position found = run::read_position(run::find_checkpoint(run, "last"));
  found.seconds = 0;  // the only part that may differ
  return found;
}

}  // namespace

TEST_CASE("train: the loss of a task that can be learned falls") {
  const Drives drives;
  for (const char* model : {"pilotnet", "clip_transformer"}) {
    CAPTURE(model);
    const auto one = tiny_recipe(drives.data, model, {"training.steps=1"});
    const auto many = tiny_recipe(drives.data, model,
                                  {"training.steps=40", "training.evaluate_every_steps=0",
                                   "training.checkpoint_every_steps=0", "model.dropout=0"});
    const train::TrainResult first = train::train(one, drives.folder(fmt::format("one-{}", model)));
    const train::TrainResult last =
        train::train(many, drives.folder(fmt::format("many-{}", model)));
    CHECK(last.steps == 40);
    CHECK(first.loss > 0.5);
    CHECK(last.loss < 0.35 * first.loss);
    CHECK(last.held_out_loss < 0.6);  // 1 is what the best constant has
    CHECK(last.gflops > 0);
  }
}

TEST_CASE("train: interrupted and resumed, the weights are those of an uninterrupted run") {
  const Drives drives;
  for (const char* model : {"pilotnet", "clip_transformer"})
    for (const char* order : {"shuffled", "windowed"}) {
      CAPTURE(model);
      CAPTURE(order);
      const auto recipe = [&](int64_t steps, int threads) {
        return tiny_recipe(
            drives.data, model,
            {std::string("data.order=") + order, "schedule.name=constant",
             fmt::format("training.steps={}", steps), fmt::format("data.threads={}", threads)});
      };
      const std::string name = fmt::format("{}-{}", model, order);
      const Path whole = drives.folder(name), parts = drives.folder(name + "-parts");
      train::train(recipe(12, 1), whole);
      // step 3 is no multiple of the checkpoints' 4, step 7 ends an epoch, 9 is inside the next
      for (const int64_t steps : {3, 7, 9, 12}) {
        const train::TrainResult result = train::train(recipe(steps, 3), parts);
        CHECK(result.steps == steps);
        CHECK(!result.stopped);
      }
      CHECK(weights(parts) == weights(whole));
      run::Position expected = position(whole), found = position(parts);
      expected.best = found.best = 0;  // more evaluations, so perhaps another best
      CHECK(found == expected);
      CHECK(found.samples_seen == 12 * 8);
    }
}

TEST_CASE("train: accumulated batches and 8-bit states, interrupted and resumed, end the same") {
  const Drives drives;
  const auto recipe = [&](int64_t steps) {
    return tiny_recipe(drives.data, "pilotnet",
                       {"training.accumulate=3", "optimizer.state=int8", "schedule.name=constant",
                        fmt::format("training.steps={}", steps)});
  };
  const Path whole = drives.folder("whole"), parts = drives.folder("parts");
  train::train(recipe(7), whole);
  for (const int64_t steps : {2, 5, 7}) CHECK(train::train(recipe(steps), parts).steps == steps);
  CHECK(weights(parts) == weights(whole));
  CHECK(position(parts).step == 7);
  CHECK(position(parts).samples_seen == 7 * 3 * 8);
  CHECK(position(parts).epoch * 56 + position(parts).sample == 7 * 3 * 8);
}

TEST_CASE(
    "train: asked to stop, it saves and goes on later to the same weights and the same best") {
  const Drives drives;
  const auto recipe = tiny_recipe(drives.data, "pilotnet", {"training.steps=60"});
  const Path whole = drives.folder("whole"), parts = drives.folder("parts");
  train::train(recipe, whole);
  std::mt19937 random(7);
  int stops = 0;
  for (train::TrainResult result{.stopped = true}; result.stopped;) {
    std::atomic<bool> stop = false;
    const auto wait = std::chrono::milliseconds(20 + random() % 150);
    std::jthread watcher([&](const std::stop_token& token) {
      const auto end = std::chrono::steady_clock::now() + wait;
      while (!token.stop_requested() && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      stop = true;
    });
    result = train::train(recipe, parts, {.stop = &stop});
    stops += result.stopped;
    if (result.steps > 0 && result.stopped)
      CHECK(run::find_checkpoint(parts, "last").step == result.steps);
  }
  CHECK(stops > 0);
  CHECK(weights(parts) == weights(whole));
  CHECK(position(parts) == position(whole));
}

TEST_CASE("train: values that were not recorded, or are infinite, are left out of the loss") {
  const Drives drives;
  const Path holes = drives.folder("holes");
  test::write_drives(holes, {{"a", {30, 12}}}, [](int64_t row, double& angle, double& throttle) {
    if (row % 3 == 0) angle = std::numeric_limits<double>::quiet_NaN();
    if (row % 7 == 0) throttle = std::numeric_limits<double>::infinity();
    if (row < 8) angle = throttle = std::numeric_limits<double>::quiet_NaN();
  });
  const Path run = drives.folder("run");
  const auto recipe = tiny_recipe(
      holes, "pilotnet", {"training.steps=40", "data.order=sequential", "augmentation.mirror=0"});
  const train::TrainResult result = train::train(recipe, run);
  CHECK(result.skipped == 0);
  CHECK(result.held_out_loss < 0.7);
  const SafetensorsFile state(run::find_checkpoint(run, "last").folder / "state.safetensors");
  for (const NamedTensor& tensor : state.tensors())
    for (size_t i = 0; i < tensor.bytes.size() / 4; ++i) {
      float value = 0;
      std::memcpy(&value, tensor.bytes.data() + 4 * i, 4);
      REQUIRE(std::isfinite(value));
    }
}

TEST_CASE("train: a step that is not finite changes no bit of the state") {
  const Drives drives;
  const auto recipe = tiny_recipe(drives.data);
  Session session = run::training_session(recipe, {{0, 0}, {1, 1}});
  const auto step = [&](float target) {
    std::ranges::fill(session.input("images").as<uint8_t>(), uint8_t{90});
    std::ranges::fill(session.input("target").as(), target);
    session.input("learning_rate").as()[0] = 0.01F;
    session.run();
    std::string all;
    for (const TensorView& view : session.state())
      all.append(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
    return all;
  };
  const std::string first = step(0.5F);
  CHECK(session.output("applied").as()[0] == 1);
  for (const float bad : {std::numeric_limits<float>::infinity(), 1e30F}) {
    CHECK(step(bad) == first);
    CHECK(session.output("applied").as()[0] == 0);
  }
  CHECK(step(0.5F) != first);
  CHECK(session.output("applied").as()[0] == 1);
}

TEST_CASE(
    "train: too many skipped steps in a row end the run; position and checkpoints stay right") {
  const Drives drives;
  const Path run = drives.folder("run");
  const auto recipe =
      tiny_recipe(drives.data, "pilotnet",
                  {"optimizer.name=sgd", "optimizer.learning_rate=100", "optimizer.clip_norm=0",
                   "schedule.warmup_steps=0", "schedule.name=constant", "training.steps=60",
                   "training.checkpoint_every_steps=1", "training.keep_checkpoints=100",
                   "training.evaluate_every_steps=0", "training.skip_limit=3"});
  std::string message;
  try {
    train::train(recipe, run);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find("4 steps in a row were not finite, the limit is 3") != std::string::npos);
  const auto checkpoints = run::list_checkpoints(run);  // the newest first
  REQUIRE(checkpoints.size() > 3);
  const auto state = [](const run::Checkpoint& checkpoint) {
    return read_file(checkpoint.folder / "state.safetensors");
  };
  for (size_t i = 0; i < checkpoints.size(); ++i) {
    run::verify_checkpoint(checkpoints[i]);
    const run::Position at = run::read_position(checkpoints[i]);
    CHECK(at.samples_seen == 8 * at.step);
    CHECK(at.epoch * 56 + at.sample == 8 * at.step);
  }
  for (size_t i = 0; i < 3; ++i) {  // these three were skipped
    CHECK(run::read_position(checkpoints[i]).skipped_in_row == static_cast<int64_t>(3 - i));
    CHECK(state(checkpoints[i]) == state(checkpoints[3]));
  }
  CHECK_THROWS_AS(train::train(recipe, run), Error);  // it does not go on as if nothing were
  run::Policy policy(recipe, 1);
  CHECK_NOTHROW(policy.load(checkpoints[0].folder / "state.safetensors"));
}

TEST_CASE("train: a run that starts from another has its weights before it has learned anything") {
  const Drives drives;
  const Path first = drives.folder("first"), second = drives.folder("second");
  const std::vector<std::string> averaged = {"training.steps=4", "average.decay=0.5"};
  train::train(tiny_recipe(drives.data, "pilotnet", averaged), first);
  const auto outputs = [&](const Path& folder) {
    const run::Recipe recipe = run::read_run_recipe(folder);
    run::Policy policy(recipe, 1);
    policy.load(run::find_checkpoint(folder, "last").folder / run::kStateFile);
    const std::vector<uint8_t> image(policy.session().input("images").bytes.size(), 77);
    const auto predicted = policy.predict(image, 1);
    return std::vector<float>(predicted.begin(), predicted.end());
  };
  train::train(tiny_recipe(drives.data, "pilotnet",
                           {"training.steps=1", "training.start_from=" + first.string(),
                            "optimizer.learning_rate=1e-30"}),
               second);
  CHECK(outputs(second) == outputs(first));
}

TEST_CASE("train: a run does not start from one of another model") {
  const Drives drives;
  const Path first = drives.folder("first"), second = drives.folder("second");
  train::train(tiny_recipe(drives.data, "pilotnet", {"training.steps=1"}), first);
  CHECK_THROWS_WITH_AS(train::train(tiny_recipe(drives.data, "clip_transformer",
                                                {"training.start_from=" + first.string()}),
                                    second),
                       doctest::Contains("training.start_from: the run"), Error);
  CHECK_FALSE(std::filesystem::exists(second));
}
