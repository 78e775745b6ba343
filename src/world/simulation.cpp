#include "world/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <mutex>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "world/camera.h"
#include "world/scene.h"

namespace argosy::world {
namespace {

constexpr int kSubsteps = 20;
static_assert(kSubsteps * kPhysicsPeriod_s == kControlPeriod_s);

[[noreturn]] void end_on_bug(const char* message) {
  log::write(log::Level::error,
             fmt::format("this is a bug: MuJoCo: {}; please report it", message));
  std::_Exit(70);  // MuJoCo cannot go on, and its frames cannot be unwound
}

/// MuJoCo's own handlers write a file into the working folder.
void quiet_mujoco() {
  static std::once_flag once;
  std::call_once(once, [] {
    mju_user_error = end_on_bug;
    mju_user_warning = [](const char* message) { log::warning("MuJoCo: {}", message); };
  });
}

void refuse_unless(bool holds, const std::string& what, const std::string& fix) {
  if (!holds) throw Error({.what = what, .where = "the simulated world", .fix = fix});
}

const SimulationOptions& checked(const SimulationOptions& options) {
  for (const int side : {options.width, options.height})
    refuse_unless(
        side >= 16 && side <= 1024,
        fmt::format("a picture of {}x{} pixels was asked for", options.width, options.height),
        "ask for 16 to 1024 pixels a side");
  for (const int count : {options.obstacles, options.other_cars})
    refuse_unless(count >= 0 && count <= 20,
                  fmt::format("{} things on the road were asked for", count),
                  "ask for 0 to 20 obstacles and cars");
  return options;
}

std::vector<Obstacle> drawn_obstacles(const SimulationOptions& options, const Track& track) {
  Random random(options.look_seed, hash_of("obstacles"));
  std::vector<Obstacle> all;
  const int total = options.obstacles + options.other_cars;
  for (int i = 0; i < total; ++i) {
    // evenly along the road, the first well ahead of the start
    Obstacle one{.s_m = track.length_m() * (i + 0.6 + random.uniform(-0.2f, 0.2f)) / total};
    const double half = track.at(one.s_m).half_width_m, side = random.below(2) ? 1 : -1;
    if (i < options.obstacles) {
      one.lateral_m = side * (half - 0.06);
    } else {
      one.length_m = 0.38;
      one.width_m = 0.19;
      one.lateral_m = side * random.uniform(0, 0.05f);
      one.speed_mps = random.uniform(0.4f, 0.8f);
    }
    all.push_back(one);
  }
  return all;
}

}  // namespace

struct Simulation::Parts {
  explicit Parts(const SimulationOptions& wanted)
      : options(checked(wanted)), track(Track::generate(options.track_seed, options.difficulty)) {
    quiet_mujoco();
    // everything is drawn for the road as it is, so that a mirrored world is this one mirrored
    look = Look::draw(options.look_seed, track);
    first_obstacles = drawn_obstacles(options, track);
    if (options.mirrored) {
      track = track.mirrored();
      look = look.mirrored();
      for (Obstacle& one : first_obstacles) one.lateral_m = -one.lateral_m;
    }
    obstacles = first_obstacles;
    car = Car(look.car);
    model = build_scene(track, look, obstacles, options.mirrored);
    data.reset(mj_makeData(model.get()));
  }

  void place(const Pose& pose) {
    data->qpos[0] = pose.position.x_m;
    data->qpos[1] = pose.position.y_m;
    data->qpos[2] = pose.heading_rad;
    for (int i = 0; i < 3; ++i) data->qvel[i] = data->qfrc_applied[i] = data->qacc_warmstart[i] = 0;
    car.reset_controls();
  }

  void place_obstacles() {
    for (size_t i = 0; i < obstacles.size(); ++i) {
      const Pose pose = track.pose_at(obstacles[i].s_m, obstacles[i].lateral_m);
      mjtNum* position = &data->mocap_pos[3 * i];
      mjtNum* turn = &data->mocap_quat[4 * i];
      position[0] = pose.position.x_m;
      position[1] = pose.position.y_m;
      position[2] = 0;
      turn[0] = std::cos(pose.heading_rad / 2);
      turn[1] = turn[2] = 0;
      turn[3] = std::sin(pose.heading_rad / 2);
    }
  }

  BodyVelocity velocity() const {
    const Point forward = direction(data->qpos[2]), moved{data->qvel[0], data->qvel[1]};
    return {dot(moved, forward), dot(moved, left_of(forward)), data->qvel[2]};
  }

  /// What follows from where the car is; `projection` says where that is on the road.
  void observe(const Projection& projection) {
    const BodyVelocity v = velocity();
    state.pose = {{data->qpos[0], data->qpos[1]}, wrapped_angle(data->qpos[2])};
    state.speed_mps = v.forward_mps;
    state.sideways_mps = v.sideways_mps;
    state.yaw_rate_radps = v.yaw_radps;
    state.steer_rad = car.steer_rad();
    state.battery_share = car.battery_share();
    state.s_m = projection.s_m;
    state.lateral_m = projection.lateral_m;
    state.heading_error_rad = projection.heading_error_rad;
    state.laps = state.progress_m / track.length_m();
    state.off_road = std::abs(projection.lateral_m) > track.at(projection.s_m).half_width_m;
    state.obstacle_ahead_m = std::numeric_limits<double>::infinity();
    state.obstacle_speed_mps = 0;
    for (const Obstacle& one : obstacles) {
      const double gap =
          track.distance_m(state.s_m, one.s_m) - (one.length_m + look.car.length_m) / 2;
      const double beside = std::abs(one.lateral_m - state.lateral_m);
      if (gap < 0 || beside > (one.width_m + look.car.width_m) / 2 + 0.02) continue;
      if (gap >= state.obstacle_ahead_m) continue;
      state.obstacle_ahead_m = gap;
      state.obstacle_speed_mps = one.speed_mps;
    }
  }

  SimulationOptions options;
  Track track;
  Look look;
  std::vector<Obstacle> first_obstacles, obstacles;
  Car car{CarParameters{}};
  ModelHolder model;
  DataHolder data;
  State state;
  double push_n = 0, push_nm = 0;
  uint64_t periods = 0;            // since reset
  std::unique_ptr<Camera> camera;  // made for the first picture
};

Simulation::Simulation(const SimulationOptions& options)
    : parts_(std::make_unique<Parts>(options)) {
  reset();
}
Simulation::~Simulation() = default;
Simulation::Simulation(Simulation&&) noexcept = default;
Simulation& Simulation::operator=(Simulation&&) noexcept = default;

void Simulation::reset(double s_m) {
  Parts& p = *parts_;
  mj_resetData(p.model.get(), p.data.get());
  p.car.reset();
  p.state = {};
  p.periods = 0;
  p.push_n = p.push_nm = 0;
  p.obstacles = p.first_obstacles;
  for (Obstacle& one : p.obstacles) one.s_m += s_m;
  p.place(p.track.pose_at(s_m));
  p.place_obstacles();
  p.observe(p.track.project(p.track.pose_at(s_m)));
}

void Simulation::put_back() {
  Parts& p = *parts_;
  double s_m = p.state.s_m;
  // not into an obstacle
  for (const Obstacle& one : p.obstacles)
    if (std::abs(p.track.distance_m(one.s_m, s_m)) < 0.5)
      s_m = one.s_m + (one.speed_mps > 0 ? -0.8 : 0.5);
  p.state.progress_m += p.track.distance_m(p.state.s_m, s_m);
  p.place(p.track.pose_at(s_m));
  p.state.longitudinal_mps2 = p.state.lateral_mps2 = 0;
  p.observe(p.track.project(p.track.pose_at(s_m), s_m, 0.5));
}

void Simulation::push(double sideways_n, double yaw_nm) {
  parts_->push_n = sideways_n;
  parts_->push_nm = yaw_nm;
}

void Simulation::step(const Controls& controls) {
  Parts& p = *parts_;
  const double before_mps = p.velocity().forward_mps;
  double turned = 0;
  p.state.collided = false;
  for (int i = 0; i < kSubsteps; ++i) {
    const BodyVelocity v = p.velocity();
    BodyForce force = p.car.step(controls, v, kPhysicsPeriod_s);
    force.sideways_n += p.push_n;
    force.yaw_nm += p.push_nm;
    const Point forward = direction(p.data->qpos[2]);
    const Point pulled = force.forward_n * forward + force.sideways_n * left_of(forward);
    p.data->qfrc_applied[0] = pulled.x_m;
    p.data->qfrc_applied[1] = pulled.y_m;
    p.data->qfrc_applied[2] = force.yaw_nm;
    for (Obstacle& one : p.obstacles) one.s_m += one.speed_mps * kPhysicsPeriod_s;
    p.place_obstacles();
    mj_step(p.model.get(), p.data.get());
    p.state.collided |= p.data->ncon > 0;
    turned += force.sideways_n / p.look.car.mass_kg;
  }
  p.push_n = p.push_nm = 0;
  ++p.periods;
  p.state.time_s = static_cast<double>(p.periods) * kControlPeriod_s;
  p.state.longitudinal_mps2 = (p.velocity().forward_mps - before_mps) / kControlPeriod_s;
  p.state.lateral_mps2 = turned / kSubsteps;
  const Pose pose{{p.data->qpos[0], p.data->qpos[1]}, p.data->qpos[2]};
  const Projection projection = p.track.project(pose, p.state.s_m, 1.0);
  p.state.progress_m += p.track.distance_m(p.state.s_m, projection.s_m);
  p.observe(projection);
}

const State& Simulation::state() const { return parts_->state; }
const Track& Simulation::track() const { return parts_->track; }
std::span<const Obstacle> Simulation::obstacles() const { return parts_->obstacles; }
const CarParameters& Simulation::car() const { return parts_->look.car; }
const SimulationOptions& Simulation::options() const { return parts_->options; }

double Simulation::energy_j() const {
  const CarParameters& car = parts_->look.car;
  const mjtNum* v = parts_->data->qvel;
  return (car.mass_kg * (v[0] * v[0] + v[1] * v[1]) + car.yaw_inertia_kgm2 * v[2] * v[2]) / 2;
}

void Simulation::picture(std::span<uint8_t> rgb) {
  picture(View::driver, parts_->options.width, parts_->options.height, rgb);
}

void Simulation::picture(View view, int width, int height, std::span<uint8_t> rgb,
                         const std::string& caption) {
  Parts& p = *parts_;
  for (const int side : {width, height})
    refuse_unless(side >= 16 && side <= 1024,
                  fmt::format("a picture of {}x{} pixels was asked for", width, height),
                  "ask for 16 to 1024 pixels a side");
  check(rgb.size() == size_t{3} * width * height, "a buffer of {} bytes for {}x{}", rgb.size(),
        width, height);
  if (!p.camera) p.camera = std::make_unique<Camera>(p.model.get());
  // poses of the geoms follow the joints only after this
  mj_kinematics(p.model.get(), p.data.get());
  p.camera->take(p.data.get(), view, p.track, p.look, mix(p.options.look_seed, p.periods), width,
                 height, caption, rgb);
}

}  // namespace argosy::world
