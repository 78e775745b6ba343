#pragma once
#include <deque>

namespace argosy::world {

/// What a driver asks for, as Donkey Car has it.
struct Controls {
  double angle = 0;     ///< [-1, 1], negative is left
  double throttle = 0;  ///< [-1, 1], negative brakes, and reverses once the car stands
};

/// A radio-controlled car of scale 1:10, with drive on all wheels.
struct CarParameters {
  double wheelbase_m = 0.26, width_m = 0.19, length_m = 0.38;
  double mass_kg = 1.6, yaw_inertia_kgm2 = 0.022;
  double max_steer_rad = 0.44;    ///< of the virtual middle front wheel, at angle 1
  double steer_rate_radps = 6.0;  ///< the servo's speed
  double steer_trim_rad = 0.0;    ///< where the wheels stand at angle 0; positive is left
  double delay_s = 0.04;          ///< from command to servo and motor
  double friction = 0.9;          ///< tyre on floor: the radius of the friction circle
  double tyre_stiffness = 7.0;    ///< lateral force per load and slip angle, at small slip
  double drive_force_n = 9.0;     ///< at full throttle, standing, battery full
  double brake_force_n = 11.0;    ///< at throttle -1
  double top_speed_mps = 6.0;     ///< where the motor's own voltage meets the battery's
  double rolling_force_n = 0.25;  ///< always against the motion
  double drag_n_per_mps = 0.35;   ///< drive train and air
  double battery_j = 25000;       ///< from full to empty
  double battery_droop = 0.15;    ///< share of the voltage that is gone when it is empty
};

/// Motion in the car's own frame: x forward, y left, at the centre of mass.
struct BodyVelocity {
  double forward_mps = 0, sideways_mps = 0, yaw_radps = 0;
};
struct BodyForce {
  double forward_n = 0, sideways_n = 0, yaw_nm = 0;
};

/// From controls to the forces that the tyres put on the body. Ackermann steering (one virtual
/// wheel per axle), tyres with slip inside a friction circle, motor and servo with delay, rate and
/// limits, a battery that runs down.
class Car {
 public:
  explicit Car(const CarParameters& parameters) : parameters_(parameters) {}
  /// Wheels straight, no command on its way, and the battery full.
  void reset();
  void reset_controls();  ///< the same, the battery as it is
  /// Moves servo, motor and battery on by dt_s and gives the forces at this velocity.
  BodyForce step(const Controls& controls, const BodyVelocity& velocity, double dt_s);

  const CarParameters& parameters() const { return parameters_; }
  double steer_rad() const { return steer_rad_; }  ///< positive is left
  double battery_share() const { return battery_share_; }

 private:
  Controls delayed(const Controls& controls, double dt_s);
  double motor_force_n(double throttle, double forward_mps, double dt_s);

  CarParameters parameters_;
  std::deque<Controls> on_the_way_;
  double steer_rad_ = 0, battery_share_ = 1;
};

}  // namespace argosy::world
