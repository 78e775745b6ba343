#include "fleet/mine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/progress.h"
#include "base/threads.h"
#include "data/donkey_tub_writer.h"
#include "eval/drivers.h"
#include "eval/film.h"
#include "eval/world_drive.h"
#include "fleet/car_inputs.h"
#include "fleet/triggers.h"
#include "world/expert.h"
#include "world/rollout.h"
#include "world/seeds.h"

namespace argosy::fleet {
namespace {

constexpr double kBefore_s = 2, kAfter_s = 1.5;  // of a trigger, in its clip
constexpr double kFilmBefore_s = 2.5, kFilmAfter_s = 1.5;
constexpr double kSlowest_mps = 0.5;  // a drive that takes longer than at this speed is over
constexpr int64_t kCars = 4;          // recordings, so that each has episodes to hold out
constexpr int64_t kPause_ms = 5000;   // between two clips: an episode ends there
constexpr int64_t kPeriod_ms = std::lround(1000 * world::kControlPeriod_s);

size_t periods(double seconds) {
  return static_cast<size_t>(std::lround(seconds * world::kControlRate_hz));
}

/// One lap with all that was said about it.
struct Ride {
  world::SimulationOptions world;
  world::Trace trace;
  std::vector<ShadowMoment> moments;
  std::vector<Clip> clips;
  eval::DriveTrace drive;
};

Ride ride(const world::SimulationOptions& options, eval::PolicyDriver& policy,
          const std::atomic<bool>* stop) {
  Ride ride{.world = options, .trace = {}, .moments = {}, .clips = {}, .drive = {}};
  world::Simulation simulation(options);
  const double lap_m = simulation.track().length_m();
  const auto listen = [&](const world::Moment& moment, const world::Observation&) {
    const world::State& state = moment.state;
    const world::Controls expert =
        world::expert_controls(simulation.track(), simulation.car(), state, world::exact_habits());
    ShadowMoment heard{.angle = moment.controls.angle,
                       .throttle = moment.controls.throttle,
                       .driver_angle = expert.angle,
                       .driver_throttle = expert.throttle};
    heard.edge_share = std::abs(state.lateral_m) / simulation.track().at(state.s_m).half_width_m;
    if (const auto left_s = eval::time_to_collision_s(state)) heard.time_to_collision_s = *left_s;
    heard.taken_over = moment.taken_over;
    ride.moments.push_back(heard);
    return !(stop && *stop);
  };
  ride.trace = world::rollout(
      simulation, [&](const world::Observation& seen) { return policy.drive(seen); },
      {.laps = 1, .duration_s = lap_m / kSlowest_mps}, listen);
  ride.moments.resize(ride.trace.moments.size());
  ride.drive = eval::trace_of(ride.trace, simulation.track(), 1);
  ride.clips = clips_around(find_triggers(ride.moments, world::kControlPeriod_s),
                            ride.moments.size(), periods(kBefore_s), periods(kAfter_s));
  return ride;
}

/// The recording of one car: the clips of its rides, each an episode or, where the safety driver
/// put the car back, several.
class ClipRecording {
 public:
  ClipRecording(Path folder, std::string camera, int64_t created_ms)
      : folder_(std::move(folder)), camera_(std::move(camera)), clock_ms_(created_ms) {}

  /// Drives the ride again, as it was, and takes the pictures of its clips.
  void add(const Ride& ride) {
    world::Simulation again(ride.world);
    data::Image picture{ride.world.height, ride.world.width,
                        std::vector<uint8_t>(size_t{3} * ride.world.height * ride.world.width)};
    size_t at = 0;
    const auto advance = [&] {
      again.step(ride.trace.moments[at++].controls);
      if (at < ride.moments.size() && ride.moments[at].taken_over) {
        again.put_back();
        clock_ms_ += kPause_ms;
      }
    };
    for (const Clip& clip : ride.clips) {
      while (at < clip.begin) advance();
      clock_ms_ += kPause_ms;
      for (; at < clip.end; advance()) {
        again.picture(picture.pixels);
        write(picture, ride.moments[at], again.state().speed_mps, clip);
      }
    }
  }

  void close() {
    if (writer_) writer_->close();
  }

 private:
  void write(const data::Image& picture, const ShadowMoment& moment, double speed_mps,
             const Clip& clip) {
    if (!writer_) {
      auto inputs = car_inputs();
      inputs.front().name = camera_;
      inputs.push_back({"pilot/angle", "float"});
      inputs.push_back({"pilot/throttle", "float"});
      inputs.push_back({"fleet/trigger", "str"});
      writer_.emplace(folder_, data::TubWriterOptions{.inputs = inputs, .created_ms = clock_ms_});
    }
    const data::TubValue values[] = {&picture,
                                     moment.driver_angle,
                                     moment.driver_throttle,
                                     "user",
                                     "track",
                                     speed_mps,
                                     false,
                                     true,
                                     moment.angle,
                                     moment.throttle,
                                     name_of(clip.gravest().reason)};
    writer_->write(clock_ms_, values);
    clock_ms_ += kPeriod_ms;
  }

  Path folder_;
  std::string camera_;
  int64_t clock_ms_;
  std::optional<data::DonkeyTubWriter> writer_;
};

MinedClip described(const Ride& ride, int64_t drive, const Clip& clip) {
  const Trigger& gravest = clip.gravest();
  const auto seconds = [](size_t moment) {
    return static_cast<double>(moment) * world::kControlPeriod_s;
  };
  return {.drive = drive,
          .track_seed = ride.world.track_seed,
          .look_seed = ride.world.look_seed,
          .from_s = seconds(clip.begin),
          .to_s = seconds(clip.end),
          .frames = static_cast<int64_t>(clip.end - clip.begin),
          .triggers = static_cast<int64_t>(clip.triggers.size()),
          .reason = name_of(gravest.reason),
          .at_s = seconds(gravest.worst),
          .why = sentence(gravest, ride.moments, world::kControlPeriod_s),
          .film = {}};
}

/// Films of one clip for each reason, then of the gravest; one a ride.
void add_films(const Path& folder, const std::vector<Ride>& rides, int64_t most, Mined& mined) {
  std::vector<MinedClip*> chosen;
  const auto choose = [&](Reason reason, size_t count) {
    for (MinedClip& clip : mined.clips) {
      const bool known = std::ranges::any_of(
          chosen, [&](const MinedClip* other) { return other->drive == clip.drive; });
      if (clip.reason != name_of(reason) || known || count == 0) continue;
      if (chosen.size() == static_cast<size_t>(most)) return;
      chosen.push_back(&clip);
      --count;
    }
  };
  for (const Reason reason : kReasons) choose(reason, 1);
  for (const Reason reason : kReasons) choose(reason, mined.clips.size());
  if (chosen.empty()) return;
  make_folders(folder / "films");
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i]->film = fmt::format("films/{}.mp4", i + 1);
  parallel_tasks(static_cast<int64_t>(chosen.size()), [&](int64_t i) {
    const MinedClip& clip = *chosen[static_cast<size_t>(i)];
    const Ride& ride = rides[static_cast<size_t>(clip.drive)];
    const eval::Filmed filmed{ride.world, &ride.drive};
    write_file(folder / clip.film,
               eval::film({&filmed, 1}, std::max(0.0, clip.at_s - kFilmBefore_s),
                          clip.at_s + kFilmAfter_s));
  });
}

}  // namespace

Mined mine(const Path& folder, const run::Recipe& recipe, const Path& state_file,
           const MineOptions& options) {
  std::vector<Ride> rides(static_cast<size_t>(options.drives));
  std::atomic<int64_t> done = 0;
  Progress progress(fmt::format("round {}: drive and mine", options.round), "drives",
                    options.drives);
  const auto stopped = [&] { return options.stop && *options.stop; };
  const auto record = [&](int64_t car) {
    ClipRecording recording(folder / kTubs / fmt::format("round_{}_car_{}", options.round, car + 1),
                            options.camera, options.created_ms + 1000 * car);
    for (int64_t i = car; i < options.drives && !stopped(); i += kCars) {
      const auto number = static_cast<uint64_t>(2 * i);
      eval::PolicyDriver policy(recipe, state_file, options.height, options.width);
      Ride& one = rides[static_cast<size_t>(i)];
      one = ride({.track_seed = world::recording_seed(options.seed, number),
                  .look_seed = world::recording_seed(options.seed, number + 1),
                  .difficulty = options.difficulty,
                  .width = options.width,
                  .height = options.height,
                  .obstacles = options.obstacles,
                  .other_cars = options.other_cars},
                 policy, options.stop);
      recording.add(one);
      ++done;
    }
    recording.close();
  };
  make_folders(folder / kTubs);
  parallel_tasks(std::min(kCars, options.drives), record, [&] { progress.update(done); });
  progress.update(done);
  progress.finish();

  Mined mined{.drives = options.drives, .clips = {}, .recorded = {}};
  for (int64_t i = 0; i < options.drives; ++i) {
    const Ride& one = rides[static_cast<size_t>(i)];
    mined.driven_frames += static_cast<int64_t>(one.moments.size());
    mined.interventions += one.trace.interventions;
    for (const Clip& clip : one.clips) mined.clips.push_back(described(one, i, clip));
  }
  if (!stopped()) add_films(folder, rides, options.films, mined);
  return mined;
}

}  // namespace argosy::fleet
