#include "eval/closed_loop.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "eval/drivers.h"
#include "eval/film.h"
#include "program.h"
#include "run/run_folder.h"
#include "shared.h"
#include "texts.h"
#include "tiny_drives.h"
#include "tiny_fleet.h"
#include "world/gl.h"

using namespace argosy;
using test::contains;
using Json = nlohmann::json;

namespace {

bool draws() {
  try {
    world::gl_description();
    return true;
  } catch (const Error& error) {
    MESSAGE("left out, nothing draws here: ", error.what());
    return false;
  }
}

/// A run trained for a few steps on `data`.
void train(const Path& folder, const Path& data, const std::vector<std::string>& more = {}) {
  setenv("ARGOSY_THREADS", "1", 1);
  write_file(folder / "tiny.toml", "");
  std::vector<std::string> list = {"train", (folder / "tiny.toml").string()};
  for (const std::string& setting : test::tiny_settings(data, "pilotnet")) list.push_back(setting);
  list.insert(list.end(), more.begin(), more.end());
  list.insert(list.end(), {"--to", (folder / "run").string(), "--quiet"});
  const test::Ended ended = test::run_program(folder, list);
  INFO(ended.err);
  REQUIRE(ended.code == 0);
}

test::Ended drive(const Path& folder, const std::vector<std::string>& more) {
  std::vector<std::string> list = {"eval", (folder / "run").string(), "--world", "track",
                                   "--quiet"};
  list.insert(list.end(), more.begin(), more.end());
  return test::run_program(folder, list);
}

/// The figures, but for what is measured in seconds.
Json figures(const std::string& text) {
  Json json = Json::parse(text);
  json.erase("provenance");
  for (auto& [name, driver] : json["drivers"].items())
    driver["latency_s"] = driver["latency_p99_s"] = nullptr;
  for (Json& episode : json["episodes"])
    for (auto& [name, driver] : episode["drivers"].items())
      driver["latency_s"] = driver["latency_p99_s"] = nullptr;
  return json;
}

}  // namespace

TEST_CASE("closed loop: the same seed gives the same drives, on one thread and on two" *
          doctest::test_suite("slow")) {
  if (!draws()) return;
  const test::TemporaryFolder folder;
  const Path& at = folder.path();
  test::write_fleet(at / "data", 1, 3, 3, 80, 64);
  train(at, at / "data");
  const std::vector<std::string> small = {"--tracks", "1", "--difficulty", "easy", "--json", "-"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> list = small;
    list.insert(list.end(), more.begin(), more.end());
    const test::Ended ended = drive(at, list);
    INFO(ended.err);
    REQUIRE(ended.code == 0);
    return figures(ended.out);
  };
  const Json one = with({"--threads", "1"});
  const Json two = with({"--threads", "2", "--report", (at / "page.html").string(), "--film",
                         (at / "film.mp4").string()});
  CHECK(one == two);
  CHECK(one["drivers"]["expert"]["completed_episodes"] == 1);
  CHECK(one["drivers"]["straight"]["completed_episodes"] == 0);
  CHECK(one["episodes"].size() == 1);
  for (const Json& episode : one["episodes"]) CHECK(episode["track_seed"].get<uint64_t>() % 2 == 1);
  CHECK(one != with({"--seed", "2"}));
  CHECK(data::VideoReader(at / "film.mp4").width() == 3 * 320);
  CHECK(contains(read_file(at / "page.html"), "data:video/mp4;base64,"));
}

TEST_CASE("closed loop: other cars on the road are met, and the recording driver keeps off them" *
          doctest::test_suite("slow")) {
  if (!draws()) return;
  const test::TemporaryFolder folder;
  const Path& at = folder.path();
  test::write_fleet(at / "data", 1, 3, 3, 80, 64);
  train(at, at / "data");
  const test::Ended ended =
      drive(at, {"--tracks", "1", "--difficulty", "easy", "--obstacles", "1", "--other-cars", "2",
                 "--json", "-", "--report", (at / "page.html").string()});
  INFO(ended.err);
  REQUIRE(ended.code == 0);
  const Json found = Json::parse(ended.out);
  CHECK(found["other_cars"] == 2);
  CHECK(contains(found["verdict"].get<std::string>(), "with 1 obstacle and 2 other cars"));
  const Json& expert = found["drivers"]["expert"];
  CHECK(expert["completed_episodes"] == 1);
  CHECK(expert["collisions"] == 0);
  CHECK(expert["time_to_collision_s"].get<double>() > 0);
  // slowed down by the car ahead
  CHECK(expert["mean_speed_mps"]["value"].get<double>() < 1.7);  // 2.1 alone
  CHECK(contains(read_file(at / "page.html"), "least time to"));
}

TEST_CASE("closed loop: a policy of several frames sees them as in training" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder folder;
  const Path& at = folder.path();
  test::write_drives(at / "data");
  train(at, at / "data", {"model.frames=3", "model.frame_interval_s=0.1", "data.crop_top=4"});
  const run::Recipe recipe = run::read_run_recipe(at / "run");
  const Path state = run::find_checkpoint(at / "run", "last").folder / run::kStateFile;
  eval::PolicyDriver driver(recipe, state, 32, 40);
  run::Policy policy(recipe, 1);
  policy.load(state);
  data::PictureDelivery delivery(32, 40, {.height = 61, .width = 61, .top = 4});
  std::vector<std::vector<uint8_t>> seen;
  for (int i = 0; i < 7; ++i) {
    const data::Image picture = test::tiny_picture(0.2 * i - 0.5);
    const world::Controls controls = driver.drive({.picture = picture.pixels,
                                                   .width = 40,
                                                   .height = 32,
                                                   .time_s = i * world::kControlPeriod_s});
    seen.emplace_back(delivery.bytes());
    delivery.deliver(picture.pixels, seen.back());
    std::vector<uint8_t> clip;
    for (const int back : {4, 2, 0}) {  // 0.1 s is two control periods
      const auto& frame = seen[static_cast<size_t>(std::max(0, i - back))];
      clip.insert(clip.end(), frame.begin(), frame.end());
    }
    const auto wanted = policy.predict(clip, 1);
    CHECK(controls.angle == wanted[0]);
    CHECK(controls.throttle == wanted[1]);
  }
}

TEST_CASE("closed loop: recordings and evaluation have no road or look in common") {
  for (uint64_t i = 0; i < 1000; ++i) {
    CHECK(world::recording_seed(7, i) % 2 == 0);
    CHECK(world::evaluation_seed(7, i) % 2 == 1);
  }
}

TEST_CASE(
    "closed loop: a run that knows no simulated world, and other mistakes, end in one sentence" *
    doctest::test_suite("slow")) {
  const test::TemporaryFolder folder;
  const Path& at = folder.path();
  test::write_drives(at / "data");
  train(at, at / "data");
  const auto fails = [&](const std::vector<std::string>& more, int code, const std::string& part) {
    const test::Ended ended = drive(at, more);
    INFO(ended.err);
    CHECK(ended.code == code);
    CHECK(contains(ended.err, part));
  };
  fails({}, 2, "did not learn from a simulated world's recordings");
  fails({"--difficulty", "absurd"}, 2, "absurd");
  fails({"--tracks", "0"}, 2, "from 1 to 1000");
  fails({"--other-cars", "21"}, 2, "from 0 to 20");
  fails({"--seed", "-1"}, 2, "-1 is negative; give a number from 0 on");
  fails({"--data", "/nowhere"}, 2, "/nowhere");
  fails({"--film", at.string()}, 3, at.string());
  fails({"--checkpoint", "5"}, 2, "no whole checkpoint 5");
  const test::Ended moon =
      test::run_program(at, {"eval", (at / "run").string(), "--world", "moon"});
  CHECK(moon.code == 2);
  CHECK(contains(moon.err, "there is no world moon"));
  const test::Ended neither = test::run_program(at, {"eval", (at / "run").string()});
  CHECK(neither.code == 2);
  CHECK(contains(neither.err, "there is nothing to measure on"));
}
