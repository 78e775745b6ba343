#pragma once
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace argosy::fleet {

/// One frame that two drivers saw: the policy, and the one it learns from (the expert who rides
/// along, or the driver who recorded it).
struct ShadowMoment {
  double angle = 0, throttle = 0;                ///< the policy's
  double driver_angle = 0, driver_throttle = 0;  ///< the other's; NaN where none was recorded
  /// Distance from the centre line as a share of the way to the road's edge; 0 where unknown.
  double edge_share = 0;
  double time_to_collision_s = std::numeric_limits<double>::infinity();
  bool taken_over = false;  ///< the safety driver has just put the car here
};

/// Why a moment is worth learning from, the gravest first.
enum class Reason { intervention, collision_course, near_edge, disagreement };
inline constexpr Reason kReasons[] = {Reason::intervention, Reason::collision_course,
                                      Reason::near_edge, Reason::disagreement};
std::string name_of(Reason reason);

struct TriggerLimits {
  double angle = 0.25;    ///< the two angles are at least so far apart
  double angle_s = 0.25;  ///< for at least so long, to the same side
  double edge_share = 0.8;
  double time_to_collision_s = 0.8;
};

struct Trigger {
  Reason reason;
  size_t first = 0, last = 0;  ///< moments
  size_t worst = 0;            ///< among them
  double size = 0;  ///< there: seconds to a collision, share of the way to the edge, difference of
                    ///< angles (the policy's minus the driver's)
};

/// Every stretch of moments that breaks a limit, by its first moment; an intervention is the last
/// moment before it. `period_s` lies between two moments. No stretch goes on over an intervention.
std::vector<Trigger> find_triggers(std::span<const ShadowMoment> moments, double period_s,
                                   const TriggerLimits& limits = {});

/// Why, in a sentence.
std::string sentence(const Trigger& trigger, std::span<const ShadowMoment> moments,
                     double period_s);

/// Moments [begin, end) with the triggers inside, at least one.
struct Clip {
  size_t begin = 0, end = 0;
  std::vector<Trigger> triggers;
  const Trigger& gravest() const;
};

/// The triggers with `before` and `after` moments around each, clips that overlap made one.
std::vector<Clip> clips_around(std::span<const Trigger> triggers, size_t moments, size_t before,
                               size_t after);

}  // namespace argosy::fleet
