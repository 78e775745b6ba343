#pragma once
#include <cstdint>
#include <deque>

#include "base/random.h"
#include "world/simulation.h"

namespace argosy::world {

/// How a driver differs from a perfect one; the defaults are a person's, {} of each zero is exact.
struct Habits {
  double reaction_s = 0.05;       ///< what is seen acts so much later
  double steering_noise = 0.03;   ///< deviation of the hand
  double wander_m = 0.06;         ///< deviation of the wanted line from the centre
  double pushes_per_minute = 10;  ///< disturbances of the car, from which the driver recovers
  double top_speed_mps = 2.2;
  double lateral_mps2 = 2.5;  ///< accepted in bends
};
/// Without delay, noise or disturbance: the label that a correct driver would give.
Habits exact_habits();

/// The driver who knows the road: pure pursuit of the centre line with a look-ahead that grows with
/// speed, and a speed chosen from the bends ahead. The same seed drives the same.
class Expert {
 public:
  explicit Expert(uint64_t seed, const Habits& habits = {});
  /// What to do in the simulation's present state; called once per control period. Pushes the car
  /// now and then, as the habits say.
  Controls drive(Simulation& simulation);

  bool disturbed() const { return push_left_ > 0; }  ///< the car is being pushed
  bool recovering() const { return recovering_; }    ///< and not yet back on its line

 private:
  void disturb(Simulation& simulation);

  Habits habits_;
  Random random_;
  double wander_m_ = 0, hand_ = 0;
  std::deque<Controls> decided_;  // and not yet acting
  int push_left_ = 0;             // control periods
  double push_n_ = 0, push_nm_ = 0;
  bool recovering_ = false;
};

/// The exact controls for a state on a road, for any state: what DAgger asks the expert for.
Controls expert_controls(const Track& track, const CarParameters& car, const State& state,
                         const Habits& habits, double line_m = 0);

}  // namespace argosy::world
