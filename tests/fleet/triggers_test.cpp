#include "fleet/triggers.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace argosy::fleet;

namespace {

constexpr double kPeriod_s = 0.05;

/// Both drivers agree, in the middle of the road.
std::vector<ShadowMoment> calm(size_t count) { return std::vector<ShadowMoment>(count); }

std::vector<Trigger> triggers(const std::vector<ShadowMoment>& moments) {
  return find_triggers(
      moments, kPeriod_s,
      {.angle = 0.25, .angle_s = 0.25, .edge_share = 0.8, .time_to_collision_s = 0.8});
}

}  // namespace

TEST_CASE("triggers: a drive on which all is well has none") { CHECK(triggers(calm(50)).empty()); }

TEST_CASE("triggers: a disagreement counts only when it lasts, and to one side") {
  auto moments = calm(50);
  for (size_t i = 10; i < 14; ++i) moments[i].angle = 0.4;  // 0.2 s
  CHECK(triggers(moments).empty());
  moments[14].angle = -0.4;
  CHECK(triggers(moments).empty());
  moments[14].angle = 0.5;
  const auto found = triggers(moments);
  REQUIRE(found.size() == 1);
  CHECK(found[0].reason == Reason::disagreement);
  CHECK(found[0].first == 10);
  CHECK(found[0].last == 14);
  CHECK(found[0].worst == 14);
  CHECK(found[0].size == doctest::Approx(0.5));
  CHECK(sentence(found[0], moments, kPeriod_s) ==
        "the policy steered +0.50 where the driver steers +0.00, for 0.2 s");
}

TEST_CASE("triggers: where the driver recorded nothing there is no disagreement") {
  auto moments = calm(50);
  for (ShadowMoment& moment : moments) {
    moment.angle = 1;
    moment.driver_angle = std::numeric_limits<double>::quiet_NaN();
  }
  CHECK(triggers(moments).empty());
}

TEST_CASE("triggers: an intervention is the moment before it, and ends what went before") {
  auto moments = calm(50);
  for (size_t i = 18; i < 26; ++i) moments[i].edge_share = 0.9 + 0.01 * static_cast<double>(i);
  moments[20].taken_over = true;
  const auto found = triggers(moments);
  REQUIRE(found.size() == 3);
  CHECK(found[0].reason == Reason::near_edge);
  CHECK(found[0].last == 19);
  CHECK(found[1].reason == Reason::intervention);
  CHECK(found[1].worst == 19);
  CHECK(found[2].reason == Reason::near_edge);
  CHECK(found[2].first == 20);
}

TEST_CASE("triggers: the worst of a collision course is its shortest time") {
  auto moments = calm(10);
  moments[4].time_to_collision_s = 0.5;
  moments[5].time_to_collision_s = 0.3;
  moments[6].time_to_collision_s = 0.7;
  moments[7].time_to_collision_s = 0.9;
  const auto found = triggers(moments);
  REQUIRE(found.size() == 1);
  CHECK(found[0].reason == Reason::collision_course);
  CHECK(found[0].worst == 5);
  CHECK(found[0].last == 6);
}

TEST_CASE("triggers: clips that overlap are one, kept inside the drive, the gravest reason first") {
  const std::vector<Trigger> found = {{Reason::disagreement, 5, 8, 6, 0.4},
                                      {Reason::intervention, 30, 30, 30, 1.1},
                                      {Reason::near_edge, 90, 98, 95, 0.9}};
  const auto clips = clips_around(found, 100, 20, 10);
  REQUIRE(clips.size() == 2);
  CHECK(clips[0].begin == 0);
  CHECK(clips[0].end == 41);
  CHECK(clips[0].gravest().reason == Reason::intervention);
  CHECK(clips[1].begin == 70);
  CHECK(clips[1].end == 100);
}
