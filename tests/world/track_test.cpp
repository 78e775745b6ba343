#include "world/track.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace argosy::world;

namespace {
constexpr Difficulty kAll[] = {Difficulty::easy, Difficulty::moderate, Difficulty::hard};
}

TEST_CASE(
    "track: every road closes, turns once, and never bends tighter than its difficulty allows") {
  const double tightest_m[] = {1.6, 1.1, 0.85};
  for (const Difficulty difficulty : kAll) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Track track = Track::generate(seed, difficulty);
      double turned = 0;
      for (const Station& station : track.stations())
        turned += station.curvature_per_m * track.spacing_m();
      CHECK(std::abs(turned) == doctest::Approx(2 * std::numbers::pi).epsilon(0.01));
      CHECK(track.min_radius_m() >= tightest_m[static_cast<int>(difficulty)]);
    }
  }
}

TEST_CASE("track: two stretches of road keep their edges apart") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Track track = Track::generate(seed, Difficulty::hard);
    const auto& all = track.stations();
    for (size_t i = 0; i < all.size(); i += 5) {
      for (size_t j = 0; j < all.size(); j += 5) {
        const double along = std::abs(track.distance_m(static_cast<double>(i) * track.spacing_m(),
                                                       static_cast<double>(j) * track.spacing_m()));
        if (along > 2.7)
          CHECK(length(all[i].position - all[j].position) >
                all[i].half_width_m + all[j].half_width_m);
      }
    }
  }
}

TEST_CASE("track: a pose beside the road projects back to where it was taken") {
  const Track track = Track::generate(3, Difficulty::moderate);
  for (double s = 0; s < track.length_m(); s += 0.37) {
    Pose pose = track.pose_at(s, 0.2);
    pose.heading_rad += 0.3;
    const Projection found = track.project(pose);
    CHECK(std::abs(track.distance_m(found.s_m, s)) < 0.02);
    CHECK(found.lateral_m == doctest::Approx(0.2).epsilon(0.02));
    CHECK(found.heading_error_rad == doctest::Approx(0.3).epsilon(0.03));
  }
}

TEST_CASE("track: the same seed gives the same road, another seed another") {
  const auto first = [](uint64_t seed) {
    return Track::generate(seed, Difficulty::moderate).stations().front().position;
  };
  CHECK(first(5).x_m == first(5).x_m);
  CHECK(first(5).x_m != first(6).x_m);
}

TEST_CASE("track: an unknown difficulty names those that exist") {
  CHECK_THROWS_WITH_AS(difficulty_named("wild", "--difficulty"),
                       "--difficulty: \"wild\" is none of easy, moderate, hard; give one of these",
                       argosy::Error);
}
