#include "eval/closed_loop.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>

#include "backend/cpu/backend.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/progress.h"
#include "base/threads.h"
#include "eval/baselines.h"
#include "eval/drivers.h"
#include "eval/film.h"
#include "eval/world_drive.h"
#include "run/driving.h"
#include "run/run_folder.h"
#include "run/split_record.h"
#include "world/expert.h"
#include "world/rollout.h"
#include "world/seeds.h"

namespace argosy::eval {
namespace {

constexpr const char* kWorld = "track";
constexpr double kCarScale = 0.1;  // of the world's car, as it is sold
// A drive that takes longer than at this speed is over; behind another car it may.
constexpr double kSlowest_mps = 0.5, kSlowestInTraffic_mps = 0.3;
constexpr double kBefore_s = 3, kAfter_s = 1.5;  // shown of a worst moment
constexpr double kLongestFilm_s = 60;

/// What the run learned from, and the drivers that follow from it.
struct Learned {
  data::Dataset dataset;
  run::DrivingData driving;
  std::vector<int64_t> training;
  int height = 0, width = 0;  ///< of its camera

  Learned(const Path& folder, const run::Recipe& recipe)
      : dataset(data::Dataset::open(folder)), driving(dataset, recipe) {
    const std::vector<int64_t>& shape = dataset.feature(driving.camera()).shape;
    height = static_cast<int>(shape[0]);
    width = static_cast<int>(shape[1]);
  }
  int64_t frames() const {
    int64_t count = 0;
    for (const int64_t index : training)
      count += dataset.episodes()[static_cast<size_t>(index)].length();
    return count;
  }
};

/// Which world a data set was recorded in, as argosy fleet record says; empty for the real one.
std::string world_of(const data::Dataset& dataset) {
  const auto features = dataset.features();
  const auto says = [](const data::Feature& f) { return f.name == "world" && f.dtype == "string"; };
  if (dataset.frames() == 0 || std::ranges::none_of(features, says)) return "";
  return dataset.texts("world").front();
}

std::unique_ptr<Learned> what_it_learned(const Path& run, const run::Recipe& recipe,
                                         const Path& data) {
  const auto record = run::read_split(run);
  if (!record)
    throw Error({.what = "split.json is missing, so nobody knows what the run learned from",
                 .where = run,
                 .fix = "restore the file from a copy of the run, or train again",
                 .kind = ErrorKind::file});
  const Path folder = data.empty() ? Path(record->dataset) : data;
  auto learned = std::make_unique<Learned>(folder, recipe);
  auto seen =
      seen_episodes(*record, run::mark_episodes(learned->dataset, learned->driving.outputs()));
  if (!seen.all_trained)
    throw Error({.what = "the run learned from other episodes than are here, so its camera and the "
                         "baselines are not known",
                 .where = folder,
                 .fix = "give the data set that it learned from with --data"});
  learned->training = std::move(seen.trained);
  const std::string world = world_of(learned->dataset);
  if (world != kWorld)
    throw Error({.what = world.empty() ? "the run did not learn from a simulated world's recordings"
                                       : fmt::format("the run learned from the world {}", world),
                 .where = folder,
                 .fix = "train on recordings of argosy fleet record, or measure on recordings with "
                        "--data alone"});
  if (learned->dataset.fps() != static_cast<int>(world::kControlRate_hz))
    throw Error(
        {.what = fmt::format("the run learned from {} frames a second, and the world has {}",
                             learned->dataset.fps(), world::kControlRate_hz),
         .where = folder,
         .fix = "train on recordings of argosy fleet record"});
  return learned;
}

/// Makes the driver of one drive.
using MakeDriver = std::function<world::Driver(world::Simulation&)>;

struct Row {
  DriverResult result;
  MakeDriver make;
  bool eyes = false;  ///< needs pictures
};

MakeDriver constant(double angle, double throttle) {
  return [=](world::Simulation&) -> world::Driver {
    return [=](const world::Observation&) { return world::Controls{angle, throttle}; };
  };
}

Row policy_row(const run::Recipe& recipe, const Path& state_file, const Learned& learned) {
  const int height = learned.height, width = learned.width;
  return {{.name = "policy", .title = "policy", .rule = "the run, by its camera alone"},
          [&recipe, state_file, height, width](world::Simulation&) -> world::Driver {
            const auto policy = std::make_shared<PolicyDriver>(recipe, state_file, height, width);
            return [policy](const auto& seen) { return policy->drive(seen); };
          },
          true};
}

/// Whom the policy is compared with.
void add_baselines(std::vector<Row>& rows, const ControlPlaces& places, const Baselines& baselines,
                   uint64_t seed) {
  const double angle = baselines.means[places.angle], throttle = baselines.means[places.throttle];
  rows.push_back({{.name = "ridge",
                   .title = "ridge regression",
                   .rule = "linear in 32 x 24 grey pixels of the same picture, fitted to what the "
                           "run learned from"},
                  [&baselines, places](world::Simulation&) -> world::Driver {
                    return [&baselines, places](const auto& seen) {
                      return drive(baselines.ridge, places, seen);
                    };
                  },
                  true});
  rows.push_back(
      {{.name = "constant",
        .title = "constant curvature",
        .rule = fmt::format("the training mean: angle {:.3f}, throttle {:.3f}", angle, throttle)},
       constant(angle, throttle)});
  rows.push_back({{.name = "straight",
                   .title = "straight on",
                   .rule = fmt::format("angle 0, throttle {:.3f}", throttle)},
                  constant(0, throttle)});
  rows.push_back({{.name = "expert",
                   .title = "recording driver",
                   .rule = "knows the road; with the hand and the delay of the recordings, but "
                           "nobody pushes the car"},
                  [seed](world::Simulation& simulation) -> world::Driver {
                    const auto expert =
                        std::make_shared<world::Expert>(mix(seed, simulation.options().track_seed),
                                                        world::Habits{.pushes_per_minute = 0});
                    return [expert, &simulation](const auto&) { return expert->drive(simulation); };
                  }});
}

DriveTrace drive(const Row& row, const world::SimulationOptions& options, int64_t laps,
                 const std::atomic<bool>& stop) {
  using Clock = std::chrono::steady_clock;
  world::Simulation simulation(options);
  const world::Driver driver = row.make(simulation);
  std::vector<double> latencies_s;
  const world::Driver timed = [&](const world::Observation& seen) {
    const auto start = Clock::now();
    const world::Controls controls = driver(seen);
    latencies_s.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    return controls;
  };
  const double length_m = simulation.track().length_m(), wanted = static_cast<double>(laps);
  const double slowest_mps = options.other_cars > 0 ? kSlowestInTraffic_mps : kSlowest_mps;
  const world::Trace trace =
      rollout(simulation, timed,
              {.laps = wanted, .duration_s = wanted * length_m / slowest_mps, .pictures = row.eyes},
              [&](const world::Moment&, const world::Observation&) { return !stop; });
  DriveTrace drive = trace_of(trace, simulation.track(), laps);
  if (row.eyes)
    for (size_t i = 0; i < latencies_s.size(); ++i) drive.steps[i].latency_s = latencies_s[i];
  return drive;
}

void check_limits(const ClosedLoopOptions& options) {
  const auto within = [](int64_t value, int64_t least, int64_t most, const char* flag) {
    if (value < least || value > most)
      throw Error({.what = fmt::format("{} is {}", flag, value),
                   .where = "argosy eval",
                   .fix = fmt::format("give a number from {} to {}", least, most)});
  };
  within(options.tracks, 1, 1000, "--tracks");
  within(options.laps, 1, 100, "--laps");
  within(options.obstacles, 0, 20, "--obstacles");
  within(options.other_cars, 0, 20, "--other-cars");
  world::difficulty_named(options.difficulty, "--difficulty");
}

std::vector<world::SimulationOptions> worlds_of(const ClosedLoopOptions& options,
                                                const Learned& learned) {
  std::vector<world::SimulationOptions> worlds;
  for (int64_t t = 0; t < options.tracks; ++t) {
    const auto i = static_cast<uint64_t>(2 * t);
    worlds.push_back({.track_seed = world::evaluation_seed(options.seed, i),
                      .look_seed = world::evaluation_seed(options.seed, i + 1),
                      .difficulty = world::difficulty_named(options.difficulty, "--difficulty"),
                      .width = learned.width,
                      .height = learned.height,
                      .obstacles = static_cast<int>(options.obstacles),
                      .other_cars = static_cast<int>(options.other_cars)});
  }
  return worlds;
}

/// Runs tasks under a progress bar, one unit each.
void with_progress(const std::string& label, const std::string& unit, size_t count,
                   const std::function<void(size_t)>& task) {
  Progress progress(label, unit, static_cast<int64_t>(count));
  std::atomic<int64_t> done = 0;
  parallel_tasks(
      static_cast<int64_t>(count),
      [&](int64_t i) {
        task(static_cast<size_t>(i));
        ++done;
      },
      [&] { progress.update(done); });
  progress.update(done);
  progress.finish();
}

/// The first track that shows what learning was good for: the policy completes it, ridge regression
/// does not.
size_t telling_track(const ClosedLoopResult& result) {
  const DriverResult *policy = result.driver("policy"), *ridge = result.driver("ridge");
  for (size_t t = 0; t < result.tracks.size(); ++t)
    if (policy->metrics[t].completed && !ridge->metrics[t].completed) return t;
  return 0;
}

void add_films(const ClosedLoopOptions& options,
               const std::vector<world::SimulationOptions>& worlds, ClosedLoopResult& result) {
  result.moments = worst_drives(result, static_cast<size_t>(std::max<int64_t>(0, options.moments)));
  std::vector<std::function<void()>> films;
  if (options.film) {
    result.film_track = telling_track(result);
    std::vector<Filmed> side_by_side;
    for (const char* name : {"policy", "ridge", "expert"}) {
      const DriverResult* driver = result.driver(name);
      result.film_drivers.push_back(driver->title);
      side_by_side.push_back(
          {worlds[result.film_track], &driver->drives[result.film_track], driver->title});
    }
    films.emplace_back(
        [&result, side_by_side] { result.film = film(side_by_side, 0, kLongestFilm_s); });
  }
  for (FilmedMoment& moment : result.moments)
    films.emplace_back([&] {
      const Filmed filmed{worlds[moment.track], &result.driver("policy")->drives[moment.track],
                          fmt::format("track {}", moment.track + 1)};
      moment.mp4 =
          film({&filmed, 1}, std::max(0.0, moment.time_s - kBefore_s), moment.time_s + kAfter_s);
    });
  if (!films.empty()) with_progress("film", "films", films.size(), [&](size_t i) { films[i](); });
}

void add_provenance(ClosedLoopResult& result) {
  const Machine machine = this_machine();
  result.provenance = {{"CPU", machine.cpu},
                       {"instruction set", cpu::instruction_set()},
                       {"threads", fmt::to_string(thread_count())},
                       {"system", machine.system},
                       {"oneDNN", cpu::onednn_version()}};
}

}  // namespace

ClosedLoopResult evaluate_closed_loop(const Path& run, const ClosedLoopOptions& options) {
  check_limits(options);
  const run::Recipe recipe = run::read_run_recipe(run);
  control_places(recipe);
  const run::Checkpoint checkpoint = run::find_checkpoint(run, options.checkpoint);
  run::verify_checkpoint(checkpoint);
  const auto learned = what_it_learned(run, recipe, options.data);
  const std::vector<world::SimulationOptions> worlds = worlds_of(options, *learned);

  ClosedLoopResult result;
  result.run = run;
  result.checkpoint = options.checkpoint;
  result.step = checkpoint.step;
  result.dataset = learned->dataset.folder();
  result.world = kWorld;
  result.difficulty = options.difficulty;
  result.seed = options.seed;
  result.laps = options.laps;
  result.obstacles = options.obstacles;
  result.other_cars = options.other_cars;
  result.car_scale = kCarScale;
  for (const world::SimulationOptions& world : worlds) result.tracks.push_back(shape_of(world));

  std::vector<Row> rows = {policy_row(recipe, checkpoint.folder / run::kStateFile, *learned)};
  std::optional<Baselines> baselines;
  if (options.baselines) {
    Progress fitting("baselines", "frames", learned->frames());
    int64_t fitted = 0;
    baselines.emplace(fit_baselines(learned->dataset, learned->driving, learned->training,
                                    [&](int64_t frames) { fitting.update(fitted += frames); }));
    fitting.finish();
    add_baselines(rows, control_places(recipe), *baselines, options.seed);
  }
  for (Row& row : rows) row.result.drives.resize(worlds.size());
  const std::atomic<bool> never = false;
  const std::atomic<bool>& stop = options.stop ? *options.stop : never;
  with_progress("closed loop", "drives", rows.size() * worlds.size(), [&](size_t i) {
    Row& row = rows[i % rows.size()];
    const size_t track = i / rows.size();
    if (!stop) row.result.drives[track] = drive(row, worlds[track], options.laps, stop);
  });
  if (stop) return result;
  for (Row& row : rows) result.drivers.push_back(std::move(row.result));
  score(result);
  add_films(options, worlds, result);
  add_provenance(result);
  result.curves = run::read_events(run);
  result.recipe_toml = run::to_toml(recipe);
  return result;
}

}  // namespace argosy::eval
