#include "fleet/triggers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"

namespace argosy::fleet {
namespace {

/// A reason that shows in a stretch of moments.
struct Rule {
  Reason reason;
  std::function<double(const ShadowMoment&)> size;
  std::function<bool(double size)> breaks;
  std::function<bool(double a, double b)> worse;
  double least_s = 0;  ///< shorter ones do not count
};

/// Difference of the two angles where it is on `side`, else 0.
double difference(const ShadowMoment& moment, double side) {
  const double apart = moment.angle - moment.driver_angle;
  return side * apart > 0 ? apart : 0;  // NaN too is 0
}

std::vector<Rule> rules_of(const TriggerLimits& limits) {
  const auto larger = [](double a, double b) { return std::abs(a) > std::abs(b); };
  std::vector<Rule> rules = {
      {Reason::collision_course, [](const ShadowMoment& m) { return m.time_to_collision_s; },
       [=](double size) { return size <= limits.time_to_collision_s; }, std::less<>()},
      {Reason::near_edge, [](const ShadowMoment& m) { return m.edge_share; },
       [=](double size) { return size >= limits.edge_share; }, larger}};
  for (const double side : {-1.0, 1.0})
    rules.push_back(
        {Reason::disagreement, [=](const ShadowMoment& m) { return difference(m, side); },
         [=](double size) { return std::abs(size) >= limits.angle; }, larger, limits.angle_s});
  return rules;
}

/// The stretch that begins at `first`, where the rule is broken.
Trigger stretch(const Rule& rule, std::span<const ShadowMoment> moments, size_t first) {
  Trigger found{rule.reason, first, first, first, rule.size(moments[first])};
  for (size_t i = first + 1; i < moments.size() && !moments[i].taken_over; ++i) {
    const double size = rule.size(moments[i]);
    if (!rule.breaks(size)) break;
    found.last = i;
    if (!rule.worse(size, found.size)) continue;
    found.worst = i;
    found.size = size;
  }
  return found;
}

}  // namespace

std::string name_of(Reason reason) {
  switch (reason) {
    case Reason::intervention:
      return "intervention";
    case Reason::collision_course:
      return "collision course";
    case Reason::near_edge:
      return "near the edge";
    case Reason::disagreement:
      return "disagreement";
  }
  return "";
}

std::vector<Trigger> find_triggers(std::span<const ShadowMoment> moments, double period_s,
                                   const TriggerLimits& limits) {
  std::vector<Trigger> found;
  for (size_t i = 1; i < moments.size(); ++i)
    if (moments[i].taken_over)
      found.push_back({Reason::intervention, i - 1, i - 1, i - 1, moments[i - 1].edge_share});
  for (const Rule& rule : rules_of(limits))
    for (size_t i = 0; i < moments.size(); ++i) {
      if (!rule.breaks(rule.size(moments[i]))) continue;
      const Trigger trigger = stretch(rule, moments, i);
      i = trigger.last;
      const double lasted_s = static_cast<double>(trigger.last - trigger.first + 1) * period_s;
      if (lasted_s > rule.least_s - period_s / 2) found.push_back(trigger);
    }
  std::ranges::stable_sort(found, {}, &Trigger::first);
  return found;
}

std::string sentence(const Trigger& trigger, std::span<const ShadowMoment> moments,
                     double period_s) {
  const ShadowMoment& worst = moments[trigger.worst];
  switch (trigger.reason) {
    case Reason::intervention:
      return fmt::format("{}, with the policy steering {:+.2f} and the driver {:+.2f}",
                         worst.edge_share >= 1 ? "off the road" : "a collision or a standstill",
                         worst.angle, worst.driver_angle);
    case Reason::collision_course:
      return fmt::format("{:.1f} s from a collision", trigger.size);
    case Reason::near_edge:
      return fmt::format("{:.0f} % of the way from the centre line to the edge",
                         100 * trigger.size);
    case Reason::disagreement:
      return fmt::format("the policy steered {:+.2f} where the driver steers {:+.2f}, for {:.1f} s",
                         worst.angle, worst.driver_angle,
                         static_cast<double>(trigger.last - trigger.first + 1) * period_s);
  }
  return "";
}

const Trigger& Clip::gravest() const {
  check(!triggers.empty(), "a clip without a trigger");
  return *std::ranges::min_element(triggers, {}, [](const Trigger& trigger) {
    return std::pair(trigger.reason, trigger.first);
  });
}

std::vector<Clip> clips_around(std::span<const Trigger> triggers, size_t moments, size_t before,
                               size_t after) {
  std::vector<Clip> clips;
  for (const Trigger& trigger : triggers) {
    const size_t begin = trigger.first - std::min(trigger.first, before);
    const size_t end = std::min(moments, trigger.last + 1 + after);
    if (!clips.empty() && begin <= clips.back().end) {
      clips.back().end = std::max(clips.back().end, end);
      clips.back().triggers.push_back(trigger);
    } else {
      clips.push_back({begin, end, {trigger}});
    }
  }
  return clips;
}

}  // namespace argosy::fleet
