#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "world/car.h"
#include "world/track.h"

namespace argosy::world {

/// Controls are given, pictures taken and records written this often.
inline constexpr double kControlRate_hz = 20;
inline constexpr double kControlPeriod_s = 1 / kControlRate_hz;

struct SimulationOptions {
  uint64_t track_seed = 1;  ///< the road
  uint64_t look_seed = 1;   ///< colours, textures, light, clutter, camera pose, this car's quirks
  Difficulty difficulty = Difficulty::moderate;
  int width = 160, height = 120;  ///< of picture()
  int obstacles = 0;              ///< boxes and cones that stand on the road
  int other_cars = 0;             ///< that drive slowly along it
  bool mirrored = false;          ///< the whole world in a mirror
};

/// Something on the road besides the car itself.
struct Obstacle {
  double s_m = 0, lateral_m = 0;
  double length_m = 0.12, width_m = 0.12;
  double speed_mps = 0;  ///< along the road; what stands has 0
};

/// Where the car is and how it moves. Everything here is known to the world only: a policy sees an
/// Observation.
struct State {
  double time_s = 0;
  Pose pose;
  double speed_mps = 0;  ///< forward; negative in reverse
  double sideways_mps = 0, yaw_rate_radps = 0;
  double longitudinal_mps2 = 0, lateral_mps2 = 0;  ///< mean over the last control period
  double steer_rad = 0, battery_share = 1;
  double s_m = 0, lateral_m = 0, heading_error_rad = 0;  ///< as in Projection
  double progress_m = 0;        ///< along the road since reset(), going back counts back
  double laps = 0;              ///< progress_m over the road's length
  bool off_road = false;        ///< the car's middle is beyond the edge line
  bool collided = false;        ///< touched an obstacle or another car in the last control period
  double obstacle_ahead_m = 0;  ///< along the road, bumper to bumper; infinity where there is none
  double obstacle_speed_mps = 0;  ///< its speed along the road
};

/// What a view shows: the driver's camera, or one for films.
enum class View { driver, chase, bird };

/// One car on one road, alone on its thread: simulations share nothing, so any number may run side
/// by side, each on a thread of its own. The same options and controls give the same states and
/// pictures, bit for bit, on one machine.
class Simulation {
 public:
  /// throws  Error: options out of range, or no road from the seed
  explicit Simulation(const SimulationOptions& options);
  ~Simulation();
  Simulation(Simulation&&) noexcept;
  Simulation& operator=(Simulation&&) noexcept;

  /// Puts the car at rest on the centre line, `s_m` along the road, and the clock to zero.
  void reset(double s_m = 0);
  /// One control period: the controls hold for it. Not finite is 0, out of range is clamped.
  void step(const Controls& controls);
  /// Puts the car at rest back on the nearest point of the centre line; time and progress go on.
  void put_back();
  /// A shove that acts during the next step(): sideways (left is positive) and around the car.
  void push(double sideways_n, double yaw_nm);

  const State& state() const;
  const Track& track() const;
  std::span<const Obstacle> obstacles() const;
  const CarParameters& car() const;
  const SimulationOptions& options() const;
  /// Kinetic energy of the car, joules.
  double energy_j() const;

  /// What the driver's camera sees now: uint8 [height, width, 3], rows from the top, order R G B.
  ///
  /// throws  Error (device): this machine has no OpenGL
  void picture(std::span<uint8_t> rgb);
  /// The same from any view and in any size of 16..1024 pixels a side, with a caption (plain ASCII)
  /// in the upper left corner.
  void picture(View view, int width, int height, std::span<uint8_t> rgb,
               const std::string& caption = {});

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace argosy::world
