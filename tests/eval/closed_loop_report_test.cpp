#include "eval/closed_loop_report.h"
#include "texts.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

using namespace argosy::eval;
using argosy::test::contains;

namespace {

/// A ring of 2 m, driven `lateral_m` off its centre; with faults the car is put back once.
DriveTrace ring(double lateral_m, bool faults) {
  DriveTrace drive{.track_length_m = 4 * std::numbers::pi, .steps = {}};
  for (int i = 0; i <= 200; ++i) {
    const double turned = 0.032 * i, off = faults && i > 80 && i < 90 ? 0.6 : lateral_m;
    drive.steps.push_back({.time_s = i * drive.step_s,
                           .x_m = (2 - off) * std::cos(turned),
                           .y_m = (2 - off) * std::sin(turned),
                           .heading_rad = turned + std::numbers::pi / 2,
                           .speed_mps = 1.3,
                           .progress_m = 2 * turned,
                           .lateral_m = off,
                           .half_width_m = 0.4,
                           .off_road = off > 0.4,
                           .intervention = faults && i == 90,
                           .latency_s = 1e-3});
  }
  return drive;
}

/// Three rings; the policy keeps to all but the last.
ClosedLoopResult sample() {
  ClosedLoopResult result{.run = "runs/<fleet>",
                          .checkpoint = "last",
                          .step = 400,
                          .dataset = "out/fleet",
                          .world = "track",
                          .difficulty = "moderate",
                          .seed = 3,
                          .car_scale = 0.1};
  for (uint64_t seed : {11, 13, 15}) {
    TrackShape track{.seed = seed, .length_m = 4 * std::numbers::pi, .left = {}, .right = {}};
    for (int i = 0; i < 60; ++i) {
      const double turned = i * std::numbers::pi / 30;
      track.left.push_back({1.6 * std::cos(turned), 1.6 * std::sin(turned)});
      track.right.push_back({2.4 * std::cos(turned), 2.4 * std::sin(turned)});
    }
    result.tracks.push_back(track);
  }
  result.drivers = {{.name = "policy",
                     .title = "policy",
                     .rule = "the run",
                     .drives = {ring(0.05, false), ring(0.3, false), ring(0, true)}},
                    {.name = "ridge",
                     .title = "ridge regression",
                     .rule = "linear",
                     .drives = {ring(0, true), ring(0.1, false), ring(0, true)}},
                    {.name = "expert",
                     .title = "recording driver",
                     .rule = "knows",
                     .drives = {ring(0, false), ring(0, false), ring(0, false)}}};
  score(result);
  return result;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE(
    "closed loop report: the verdict says who completes how many tracks, and how sure that is") {
  ClosedLoopResult result = sample();
  CHECK(verdict(result) ==
        "The policy completes 2 of 3 unseen tracks of moderate difficulty without leaving the road "
        "(21 to 94 % with 95 % confidence); ridge regression 1, recording driver 3.");
  CHECK(beats_trivial_drivers(result));
  std::swap(result.drivers[0].drives, result.drivers[1].drives);
  score(result);
  CHECK_FALSE(beats_trivial_drivers(result));
  CHECK(contains(verdict(result), "It has not learned"));
  CHECK(contains(verdict({}), "Nothing was driven"));
}

TEST_CASE(
    "closed loop report: the worst drives are those that needed help, then the farthest off") {
  const auto worst = worst_drives(sample(), 2);
  REQUIRE(worst.size() == 2);
  CHECK(worst[0].track == 2);
  CHECK(worst[0].time_s == doctest::Approx(4.5));
  CHECK(worst[0].caption == "the safety driver has taken over");
  CHECK(worst[1].track == 1);
}

TEST_CASE("closed loop report: the page has every driver, every track and the films in itself") {
  ClosedLoopResult result = sample();
  result.film = "film";
  result.film_drivers = {"policy", "ridge regression"};
  result.moments = worst_drives(result, 2);
  for (FilmedMoment& moment : result.moments) moment.mp4 = "moment";
  const std::string page = report(result);
  CHECK(contains(page, "runs/&lt;fleet&gt;"));
  CHECK_FALSE(contains(page, "<fleet>"));
  CHECK_FALSE(contains(page, "http"));
  CHECK_FALSE(contains(page, "nan"));
  CHECK_FALSE(contains(page, "inf"));
  CHECK(count(page, "<svg class=\"map\"") == 3);
  CHECK(count(page, "class=\"taken-over\"") == 1);
  CHECK(count(page, "data:video/mp4;base64,") == 3);
  for (const DriverResult& driver : result.drivers) CHECK(contains(page, driver.rule));
  CHECK(count(page, "<section>") == count(page, "</section>"));
}

TEST_CASE("closed loop report: the JSON has figures with intervals, and every drive's own") {
  const auto json = nlohmann::json::parse(to_json(sample()));
  const auto& policy = json["drivers"]["policy"];
  CHECK(policy["completed_episodes"] == 2);
  CHECK(policy["completed"]["value"].get<double>() == doctest::Approx(2.0 / 3));
  CHECK(policy["interventions"] == 1);
  CHECK(json["drivers"]["expert"]["distance_per_intervention_m"]["value"].is_null());
  CHECK(json["drivers"]["expert"]["distance_per_intervention_m"]["low"].is_number());
  CHECK(json["episodes"].size() == 3);
  CHECK(json["episodes"][2]["drivers"]["policy"]["off_road"] == 1);
  CHECK(json["episodes"][1]["track_seed"] == 13);
  CHECK(json["confidence"] == 0.95);
  CHECK(json["comfort_limits"]["lateral_mps2"] == 4.89);
}
