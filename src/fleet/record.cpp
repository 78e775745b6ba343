#include "fleet/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/threads.h"
#include "data/donkey_tub_writer.h"
#include "fleet/car_inputs.h"
#include "world/expert.h"
#include "world/rollout.h"
#include "world/seeds.h"

namespace argosy::fleet {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kPeriod_ms = std::lround(1000 * world::kControlPeriod_s);
constexpr int64_t kDay_ms = int64_t{24} * 3600 * 1000;
constexpr int64_t kFirstDay_ms = 20454 * kDay_ms;  // 2026-01-01, in the fleet's own time
// Carrying a car back to the road, or to another one, takes its time: ingest sees a pause there.
constexpr int64_t kPutBack_ms = 3000, kNextTrack_ms = 60000;

/// What the cars share while they drive.
struct Shared {
  const RecordOptions& options;
  std::atomic<int64_t> records{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of what follows
  RecordSummary summary;

  bool over() const { return failed || (options.stop && *options.stop); }
};

/// One car's whole recording.
void record_car(const Path& folder, int car, int64_t records, Shared& shared) {
  const RecordOptions& options = shared.options;
  const uint64_t seed = mix(options.seed, static_cast<uint64_t>(car));
  int64_t clock_ms =
      kFirstDay_ms + static_cast<int64_t>(options.seed % 3650) * kDay_ms + 1000 * car;
  const data::TubWriterOptions tub{.inputs = car_inputs(), .created_ms = clock_ms};
  data::Image picture{.height = options.height, .width = options.width, .pixels = {}};
  const double per_track_s = options.seconds_per_track;
  for (uint64_t drive = 0; records > 0 && !shared.over(); ++drive) {
    world::Simulation simulation({.track_seed = world::recording_seed(seed, 2 * drive),
                                  .look_seed = world::recording_seed(seed, 2 * drive + 1),
                                  .difficulty = options.difficulty,
                                  .width = options.width,
                                  .height = options.height,
                                  .obstacles = options.obstacles,
                                  .other_cars = options.other_cars});
    world::Expert expert(mix(seed, drive));
    data::DonkeyTubWriter writer(folder, tub);  // a new session of the tub
    const double duration_s =
        std::min(per_track_s, static_cast<double>(records) * world::kControlPeriod_s);
    const world::Trace trace = world::rollout(
        simulation, [&](const world::Observation&) { return expert.drive(simulation); },
        {.laps = std::numeric_limits<double>::infinity(), .duration_s = duration_s},
        [&](const world::Moment& moment, const world::Observation& seen) {
          if (shared.over()) return false;
          if (moment.taken_over) clock_ms += kPutBack_ms;
          picture.pixels.assign(seen.picture.begin(), seen.picture.end());
          const data::TubValue values[] = {
              &picture, moment.controls.angle,  moment.controls.throttle, "user",
              "track",  moment.state.speed_mps, expert.disturbed(),       expert.recovering()};
          writer.write(clock_ms, values);
          clock_ms += kPeriod_ms;
          ++shared.records;
          --records;
          return true;
        });
    writer.close();
    clock_ms += kNextTrack_ms;
    const std::scoped_lock lock(shared.mutex);
    shared.summary.tracks += 1;
    shared.summary.put_back += trace.interventions;
    shared.summary.driven_m += trace.end.progress_m;
  }
}

void check_range(const char* what, double value, double low, double high) {
  if (value >= low && value <= high) return;
  throw Error({.what = fmt::format("{} {}; the range is {} to {}", value, what, low, high),
               .where = "fleet record",
               .fix = "give a number in that range"});
}

}  // namespace

RecordSummary record(const Path& to, const RecordOptions& options) {
  check_range("cars", options.cars, 1, 1000);
  check_range("minutes", options.minutes, 0.01, 6000);
  check_range("seconds per track", options.seconds_per_track, 1, 36000);
  check_range("pixels wide", options.width, 16, 1024);
  check_range("pixels high", options.height, 16, 1024);
  check_range("obstacles", options.obstacles, 0, 20);
  check_range("other cars", options.other_cars, 0, 20);

  Path place = fs::absolute(to).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();
  make_folders(place.parent_path());
  const FileLock lock(place.parent_path() / fmt::format(".{}.lock", place.filename().string()),
                      "is being recorded to", place);
  expect_vacant(place);
  PartialFolder partial(place);

  const auto start = std::chrono::steady_clock::now();
  const int64_t per_car = std::llround(60 * options.minutes * world::kControlRate_hz);
  const int64_t total = per_car * options.cars;
  Shared shared{.options = options, .mutex = {}, .summary = {}};
  std::atomic<int> begun{0};
  const auto record_one = [&](int64_t i) {
    if (shared.over()) return;
    const auto car = static_cast<int>(i);
    ++begun;
    try {
      record_car(partial.path() / fmt::format("car_{:02}", car + 1), car, per_car, shared);
    } catch (...) {
      shared.failed = true;  // ends the cars that are on their way
      throw;
    }
  };
  parallel_tasks(options.cars, record_one, [&] {
    if (options.progress) options.progress(shared.records, total);
  });
  if (options.progress) options.progress(shared.records, total);

  RecordSummary summary = shared.summary;
  summary.cars = begun;
  summary.records = shared.records;
  summary.interrupted = summary.records < total;
  summary.simulated_s = static_cast<double>(summary.records) * world::kControlPeriod_s;
  if (summary.records > 0) partial.commit();
  summary.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

std::string summary_text(const RecordSummary& summary, const Path& to) {
  std::string text = fmt::format(
      "{}: {} cars, {} of driving on {} roads, {:.1f} km, {} records\n"
      "put back on the road {} times; {:.1f} simulated seconds per second\n",
      to.string(), summary.cars, duration_text(summary.simulated_s), summary.tracks,
      summary.driven_m / 1000, summary.records, summary.put_back,
      summary.simulated_s / std::max(summary.wall_s, 1e-9));
  if (summary.interrupted) text += "stopped before the end; what was recorded is kept\n";
  return text;
}

}  // namespace argosy::fleet
