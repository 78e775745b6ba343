#include <fmt/format.h>

#include <chrono>
#include <limits>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "drive/control_lines.h"
#include "drive/drive.h"
#include "drive/recorder.h"
#include "drive/stream_source.h"
#ifdef ARGOSY_WITH_WORLD
#include "drive/film.h"
#include "drive/world_source.h"
#endif

namespace argosy::cli {
namespace {

using namespace argosy::drive;

struct Options {
  std::string run, input, format, output, record, checkpoint = "best";
  std::string world, difficulty = "moderate", film;
  uint64_t seed = 1;
  double laps = 1;
  bool realtime = false;
  double rate = 20, throttle = 0;
  Limits limits;
};

void require(bool truth, const char* flag, double value, const char* limits) {
  if (!truth)
    throw Error({.what = fmt::format("{} is {}, it may be {}", flag, value, limits),
                 .where = "argosy drive",
                 .fix = "give another value"});
}

void check_options(const Options& options) {
  require(options.rate >= 1 && options.rate <= 1000, "--rate", options.rate,
          "1 to 1000 per second");
  require(options.throttle >= -1 && options.throttle <= 1, "--throttle", options.throttle,
          "-1 to 1");
  const Limits& limits = options.limits;
  require(limits.age_s > 0 && limits.age_s <= 10, "--max-age", limits.age_s, "above 0, up to 10 s");
  require(limits.frozen_s > 0, "--max-frozen", limits.frozen_s, "above 0 s");
  require(limits.output >= 1, "--max-output", limits.output, "1 or more");
}

void print(const DriveResult& result, const FrameSource& source, const Recorder* recorder) {
  fmt::print(stderr, "{} frames, {} seen by the policy, {} controls in {}", result.frames,
             result.driven, result.controls, duration_text(result.seconds));
  std::string faults;
  for (const auto& [state, count] : result.faults)
    faults += fmt::format("{}{} {} x", faults.empty() ? "" : ", ", name_of(state), count);
  if (!faults.empty()) fmt::print(stderr, "; {} of them the safe one: {}", result.safe, faults);
  const Latency& latency = result.latency;
  fmt::print(stderr,
             "\nfrom frame to control: median {:.2f} ms, 99 % within {:.2f} ms, at most {:.2f} ms\n"
             "  {}\n",
             1e3 * latency.quantile_s(0.5), 1e3 * latency.quantile_s(0.99), 1e3 * latency.max_s(),
             latency.histogram());
  for (const std::string& note : source.notes()) fmt::print(stderr, "note: {}\n", note);
  if (recorder && recorder->left_out() > 0)
    fmt::print(stderr, "note: {} frames were not recorded, the disk was too slow\n",
               recorder->left_out());
}

/// Live numbers beside the bar.
std::string live(const Status& status) {
  const Controls& c = status.last;
  return fmt::format("angle {:+.2f}  throttle {:+.2f}{}  latency {:.1f} ms  {}", c.angle,
                     c.throttle, c.brake ? "  brake" : "", 1e3 * status.latency_s,
                     name_of(status.state));
}

[[noreturn]] void refuse(const std::string& what, const std::string& fix) {
  throw Error({.what = what, .where = "argosy drive", .fix = fix});
}

/// Drives by a source that is open. `more` are told too, after the lines and the recording.
int drive_by(FrameSource& source, bool realtime, const Limits& limits, const Options& options,
             std::span<ControlSink* const> more = {}) {
  Pilot pilot(options.run, options.checkpoint, options.throttle, source.fps());
  source.deliver_as(pilot.delivery(), !options.record.empty());
  std::optional<ControlLines> lines;
  if (!options.output.empty()) lines.emplace(options.output);
  std::optional<Recorder> recorder;
  const auto began = std::chrono::system_clock::now().time_since_epoch();
  if (!options.record.empty())
    recorder.emplace(options.record,
                     std::chrono::duration_cast<std::chrono::milliseconds>(began).count(),
                     !realtime);
  std::vector<ControlSink*> sinks;
  if (lines) sinks.push_back(&*lines);
  if (recorder) sinks.push_back(&*recorder);
  sinks.insert(sinks.end(), more.begin(), more.end());

  stop_on_signals();
  Progress progress("drive", "frames", 0);
  const DriveOptions how = {
      .rate = options.rate,
      .limits = limits,
      .stop = &stop_asked,
      .show = [&](const Status& status) { progress.update(status.frames, live(status)); }};
  const Predict predict = [&](const Frame& frame) { return pilot.predict(frame); };
  const DriveResult result =
      (realtime ? drive_in_real_time : drive_step_by_step)(source, predict, sinks, how);
  progress.finish();
  print(result, source, recorder ? &*recorder : nullptr);
  if (result.frames == 0)
    throw Error({.what = "it gave no frame",
                 .where = options.input,
                 .fix = "check that it is a whole video",
                 .kind = ErrorKind::file});
  if (recorder) recorder->finish();
  return 0;
}

int drive_stream(const Options& options) {
  StreamSource source(options.input, options.format, options.realtime);
  const double period_s = source.fps() > 0 ? 1 / source.fps() : 0;
  if (source.realtime() && period_s >= options.limits.age_s)
    throw Error({.what = fmt::format("the source gives a frame each {:.3f} s, and --max-age allows "
                                     "controls to rest on frames of up to {:.3f} s",
                                     period_s, options.limits.age_s),
                 .where = options.input,
                 .fix = fmt::format("give --max-age {:.2f} or more", 1.6 * period_s)});
  return drive_by(source, source.realtime(), options.limits, options);
}

#ifdef ARGOSY_WITH_WORLD
int drive_world(const Options& options) {
  if (options.world != "track")
    refuse(fmt::format("there is no world {}", options.world), "the one there is: --world track");
  if (options.realtime)
    refuse("--realtime is for videos, a world waits for its driver", "leave it out");
  require(options.laps > 0 && options.laps <= 1000, "--laps", options.laps, "above 0, up to 1000");
  WorldSource source(
      {.simulation = {.track_seed = options.seed,
                      .look_seed = options.seed,
                      .difficulty = world::difficulty_named(options.difficulty, "--difficulty")},
       .laps = options.laps,
       .duration_s = 120 * options.laps});
  Limits limits = options.limits;
  limits.frozen_s = std::numeric_limits<double>::infinity();  // a car at rest sees one picture
  std::optional<Film> film;
  if (!options.film.empty()) film.emplace(options.film, source.simulation());
  std::vector<ControlSink*> sinks;
  if (film) sinks.push_back(&*film);  // before the controls act
  sinks.push_back(&source);
  const int code = drive_by(source, false, limits, options, sinks);
  if (film) film->finish();
  return code;
}
#else
int drive_world(const Options&) {
  refuse("this program was built without the simulated world",
         "run scripts/setup and scripts/build");
}
#endif

int run(const Options& options) {
  check_options(options);
  if (options.input.empty() == options.world.empty())
    refuse("it needs something to drive by", "give either --input or --world");
  if (options.world.empty() && !options.film.empty())
    refuse("--film is for a world", "give --world track, or leave it out");
  return options.world.empty() ? drive_stream(options) : drive_world(options);
}

}  // namespace

std::function<int()> drive(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.positional("RUN", options->run, "the folder of a training run");
  arguments.option("--input", options->input,
                   "a video file, a camera (/dev/video0), a stream (udp://..., rtsp://...); "
                   "-: standard input");
  arguments.option("--world", options->world, "drive a simulated car instead: track");
  arguments.option("--seed", options->seed, "of the road and the weather");
  arguments.option("--difficulty", options->difficulty, "of the road: easy, moderate or hard");
  arguments.option("--laps", options->laps, "to drive; it ends after two minutes for each");
  arguments.option("--film", options->film, "film the drive in the world here (mp4)");
  arguments.option("--output", options->output,
                   "write each control as a line of JSON here; -: to standard output");
  arguments.option("--record", options->record,
                   "record the drive here, as a Donkey Car v4 tub for argosy ingest");
  arguments.option("--checkpoint", options->checkpoint, "last, best or a step");
  arguments.option("--format", options->format, "FFmpeg's name of the input's format, e.g. v4l2");
  arguments.flag("--realtime", options->realtime,
                 "play a file at its own pace, as a camera; cameras and streams always are");
  arguments.option("--rate", options->rate, "controls per second, in real time");
  arguments.option("--throttle", options->throttle, "for a policy that has none");
  arguments.option("--max-age", options->limits.age_s,
                   "brake where the newest frame is older, seconds");
  arguments.option("--max-frozen", options->limits.frozen_s,
                   "brake where pictures stay the same so long, seconds");
  arguments.option("--max-output", options->limits.output,
                   "brake where the policy says more than this; up to here it counts as 1");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
