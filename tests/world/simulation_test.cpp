#include "world/simulation.h"

#include <doctest/doctest.h>

#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "base/error.h"
#include "world/expert.h"
#include "world/rollout.h"

using namespace argosy::world;

namespace {

/// One drive by the expert without a fault.
Trace expert_drive(Simulation& simulation, double duration_s = 60,
                   const Habits& habits = exact_habits()) {
  Expert expert(1, habits);
  return rollout(simulation, [&](const Observation&) { return expert.drive(simulation); },
                 {.laps = 1, .duration_s = duration_s, .pictures = false, .safety_driver = true});
}

std::vector<uint8_t> picture_of(Simulation& simulation) {
  std::vector<uint8_t> rgb(size_t{3} * simulation.options().width * simulation.options().height);
  simulation.picture(rgb);
  return rgb;
}

}  // namespace

TEST_CASE("simulation: the expert completes every road without leaving it") {
  for (const Difficulty difficulty : {Difficulty::easy, Difficulty::moderate, Difficulty::hard}) {
    for (uint64_t seed = 1000; seed < 1008; ++seed) {
      INFO("seed " << seed << " difficulty " << static_cast<int>(difficulty));
      Simulation simulation({.track_seed = seed, .look_seed = seed, .difficulty = difficulty});
      const Trace trace = expert_drive(simulation);
      CHECK(trace.completed);
      CHECK(trace.interventions == 0);
    }
  }
}

TEST_CASE("simulation: in a mirrored world the expert's drive is the mirror image") {
  SimulationOptions options{.track_seed = 4, .look_seed = 5};
  Simulation plain(options);
  options.mirrored = true;
  Simulation mirrored(options);
  const Trace a = expert_drive(plain, 8), b = expert_drive(mirrored, 8);
  REQUIRE(a.moments.size() == b.moments.size());
  for (size_t i = 0; i < a.moments.size(); ++i) {
    CHECK(a.moments[i].controls.angle ==
          doctest::Approx(-b.moments[i].controls.angle).epsilon(1e-6));
    CHECK(a.moments[i].state.lateral_m ==
          doctest::Approx(-b.moments[i].state.lateral_m).epsilon(1e-6));
  }
  const std::vector<uint8_t> left = picture_of(plain), right = picture_of(mirrored);
  double off = 0;
  for (int y = 0; y < 120; ++y)
    for (int x = 0; x < 160; ++x)
      for (int c = 0; c < 3; ++c)
        off += std::abs(left[(y * 160 + x) * 3 + c] - right[(y * 160 + 159 - x) * 3 + c]);
  CHECK(off / (160 * 120 * 3) < 8);  // the noise differs, and edges are cut at other pixels
}

TEST_CASE("simulation: the same seed gives the same drive and pictures, on whichever thread") {
  const auto drive = [](std::vector<uint8_t>& rgb, State& end) {
    Simulation simulation({.track_seed = 2, .look_seed = 3, .obstacles = 2, .other_cars = 1});
    Expert expert(9);
    for (int i = 0; i < 60; ++i) simulation.step(expert.drive(simulation));
    rgb = picture_of(simulation);
    end = simulation.state();
  };
  std::vector<uint8_t> here, there, beside;
  State a, b, c;
  {
    std::jthread one([&] { drive(there, b); }), two([&] { drive(beside, c); });
    drive(here, a);
  }
  CHECK(here == there);
  CHECK(here == beside);
  CHECK(a.pose.position.x_m == b.pose.position.x_m);
  CHECK(a.pose.heading_rad == c.pose.heading_rad);
}

TEST_CASE("simulation: reset leads back to the first picture") {
  Simulation simulation({.track_seed = 2, .look_seed = 3});
  const std::vector<uint8_t> before = picture_of(simulation);
  for (int i = 0; i < 20; ++i) simulation.step({0.2, 0.5});
  CHECK(picture_of(simulation) != before);
  simulation.reset();
  CHECK(picture_of(simulation) == before);
}

TEST_CASE("simulation: a coasting car's energy never rises on its own") {
  Simulation simulation({.track_seed = 1, .look_seed = 1});
  for (int i = 0; i < 30; ++i) simulation.step({0.3, 0.8});
  for (int i = 0; i < 3; ++i) simulation.step({0.3, 0});  // what was on the way has arrived
  double before = simulation.energy_j();
  for (int i = 0; i < 60; ++i) {
    simulation.step({0.3, 0});
    CHECK(simulation.energy_j() <= before + 1e-9);
    before = simulation.energy_j();
  }
}

TEST_CASE("rollout: the safety driver takes over off the road, puts the car back and gives back") {
  Simulation simulation({.track_seed = 1, .look_seed = 1});
  const Trace trace = rollout(simulation, [](const Observation&) { return Controls{0, 0.4}; },
                              {.laps = 1, .duration_s = 40, .pictures = false});
  CHECK(trace.interventions > 2);
  int taken_over = 0;
  for (const Moment& moment : trace.moments) {
    if (!moment.taken_over) continue;
    ++taken_over;
    CHECK(moment.state.lateral_m == doctest::Approx(0).epsilon(1e-3));
    CHECK(moment.state.speed_mps == 0);
  }
  CHECK(taken_over >= trace.interventions - 1);
}

TEST_CASE("simulation: an obstacle that is hit is a collision, and one ahead is seen coming") {
  Simulation simulation({.track_seed = 1, .look_seed = 1, .other_cars = 1});
  bool ahead = false, collided = false;
  Habits blind = exact_habits();
  for (int i = 0; i < 1200 && !collided; ++i) {
    State state = simulation.state();
    ahead |= state.obstacle_ahead_m < 1;
    state.obstacle_ahead_m = std::numeric_limits<double>::infinity();
    simulation.step(expert_controls(simulation.track(), simulation.car(), state, blind));
    collided = simulation.state().collided;
  }
  CHECK(ahead);
  CHECK(collided);
}

TEST_CASE("simulation: a picture of no pixels, or a crowd on the road, is refused with the range") {
  CHECK_THROWS_WITH_AS(
      Simulation({.width = 0}),
      "the simulated world: a picture of 0x120 pixels was asked for; ask for 16 to "
      "1024 pixels a side",
      argosy::Error);
  CHECK_THROWS_AS(Simulation({.other_cars = 1000}), argosy::Error);
}
