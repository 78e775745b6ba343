#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "fleet/record.h"

namespace argosy::cli {
namespace {

struct Options {
  std::string to, difficulty = "moderate", json;
  double minutes = 3, seconds_per_track = 10;
  int64_t cars = 6, seed = 1, width = 160, height = 120, obstacles = 0, other_cars = 0;
};

/// Within an int; what makes sense is for the job to say.
int as_int(int64_t value) { return static_cast<int>(std::clamp<int64_t>(value, -1, 1 << 30)); }

std::string to_json(const fleet::RecordSummary& summary) {
  const nlohmann::ordered_json json = {
      {"cars", summary.cars},
      {"records", summary.records},
      {"tracks", summary.tracks},
      {"put_back", summary.put_back},
      {"driven_m", summary.driven_m},
      {"simulated_s", summary.simulated_s},
      {"wall_s", summary.wall_s},
      {"simulated_s_per_s", summary.simulated_s / std::max(summary.wall_s, 1e-9)},
      {"interrupted", summary.interrupted}};
  return json.dump(2);
}

int record(const Options& options) {
  if (options.seed < 0)
    throw Error({.what = fmt::format("the seed {} is negative", options.seed),
                 .where = "--seed",
                 .fix = "give a number of 0 or more"});
  std::unique_ptr<Progress> bar;  // from when the cars drive
  fleet::RecordOptions job{
      .cars = as_int(options.cars),
      .minutes = options.minutes,
      .seconds_per_track = options.seconds_per_track,
      .seed = static_cast<uint64_t>(options.seed),
      .difficulty = world::difficulty_named(options.difficulty, "--difficulty"),
      .width = as_int(options.width),
      .height = as_int(options.height),
      .obstacles = as_int(options.obstacles),
      .other_cars = as_int(options.other_cars),
      .stop = &stop_asked,
      .progress = [&](int64_t done, int64_t total) {
        if (!bar) bar = std::make_unique<Progress>("record", "pictures", total);
        bar->update(done);
      }};
  stop_on_signals();
  const fleet::RecordSummary summary = fleet::record(options.to, job);
  bar.reset();
  if (!on_standard_output(options.json)) fmt::print("{}", fleet::summary_text(summary, options.to));
  if (!options.json.empty()) write_json(options.json, to_json(summary));
  return summary.interrupted ? kInterruptedExitCode : 0;
}

std::function<int()> set_up_record(Arguments& arguments) {
  const auto options = std::make_shared<Options>();
  arguments.option("--to", options->to, "the folder to make: a Donkey Car tub for each car", true);
  arguments.option("--cars", options->cars, "how many cars record");
  arguments.option("--minutes", options->minutes, "of driving, each car");
  arguments.option("--seconds-per-track", options->seconds_per_track,
                   "then a car goes on on another road, in other weather");
  arguments.option("--seed", options->seed, "same seed, same recordings");
  arguments.option("--difficulty", options->difficulty, "of the roads: easy, moderate or hard");
  arguments.option("--width", options->width, "of the pictures");
  arguments.option("--height", options->height, "of the pictures");
  arguments.option("--obstacles", options->obstacles, "that stand on every road");
  arguments.option("--other-cars", options->other_cars, "that drive slowly on every road");
  arguments.option("--json", options->json, kJsonHelp);
  return [options] { return record(*options); };
}

}  // namespace

std::function<int()> fleet(Arguments& arguments) {
  arguments.subcommand("record", "let simulated cars drive, and record each as a Donkey Car tub",
                       set_up_record);
  return {};
}

}  // namespace argosy::cli
