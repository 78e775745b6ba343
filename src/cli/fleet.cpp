#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "fleet/improve.h"
#include "fleet/improve_report.h"
#include "fleet/record.h"

namespace argosy::cli {
namespace {

struct Options {
  std::string to, difficulty = "moderate", json;
  double minutes = 3, seconds_per_track = 10;
  int64_t cars = 6, width = 160, height = 120, obstacles = 0, other_cars = 0;
  uint64_t seed = 1;
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
  std::unique_ptr<Progress> bar;  // from when the cars drive
  fleet::RecordOptions job{
      .cars = as_int(options.cars),
      .minutes = options.minutes,
      .seconds_per_track = options.seconds_per_track,
      .seed = options.seed,
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

struct ImproveCommand {
  std::string run, data, difficulty = "hard", to, report, json;
  int64_t rounds = 3, drives = 20, tracks = 20, obstacles = 0, other_cars = 0;
  uint64_t seed = 1;
  double epochs = 8;
};

void print_table(const fleet::ImproveResult& result) {
  fmt::print("{}\n\n{:<10}{:>28}{:>15}{:>14}{:>14}{:>14}\n", fleet::verdict(result), "round",
             "m per intervention", "interventions", "completed", "clips mined", "frames mined");
  for (const fleet::Round& round : result.rounds)
    fmt::print("{:<10}{:>28}{:>15}{:>14}{:>14}{:>14}\n",
               round.number == 0 ? "as it was" : fmt::to_string(round.number),
               eval::range_text(round.measured.distance_per_intervention_m),
               round.measured.interventions,
               fmt::format("{} of {}", round.measured.completed, round.measured.tracks.size()),
               round.mined ? fmt::to_string(round.mined->clips.size()) : "",
               round.mined ? fmt::to_string(round.mined->frames()) : "");
  for (const std::string& note : result.notes) fmt::print("note: {}\n", note);
}

int improve(const ImproveCommand& command) {
  const fleet::ImproveOptions job{.data = command.data,
                                  .to = command.to,
                                  .rounds = command.rounds,
                                  .difficulty = command.difficulty,
                                  .seed = command.seed,
                                  .drives = command.drives,
                                  .tracks = command.tracks,
                                  .epochs = command.epochs,
                                  .obstacles = command.obstacles,
                                  .other_cars = command.other_cars,
                                  .stop = &stop_asked};
  if (!command.report.empty()) expect_writable(command.report);
  stop_on_signals();
  fleet::ImproveResult result = fleet::improve(command.run, job);
  result.provenance.insert(result.provenance.begin(), {"argosy", ARGOSY_VERSION});
  if (!command.json.empty()) write_json(command.json, fleet::to_json(result));
  const bool talk = !on_standard_output(command.json);
  if (talk) print_table(result);
  if (!command.report.empty() && !result.rounds.empty()) {
    write_file_atomically(command.report, fleet::report(result));
    if (talk) fmt::print("report: {}\n", command.report);
  }
  if (result.interrupted && talk) fmt::print("stopped; the same command goes on from here\n");
  return result.interrupted ? kInterruptedExitCode : 0;
}

std::function<int()> set_up_improve(Arguments& arguments) {
  const auto command = std::make_shared<ImproveCommand>();
  arguments.positional("RUN", command->run, "the training run to begin with; it stays as it is");
  arguments.option("--data", command->data,
                   "the data set that it learned from; what is mined is added to it", true);
  arguments.option("--to", command->to,
                   "the folder of the rounds; the same command goes on where it was", true);
  arguments.option("--rounds", command->rounds, "how often to drive, mine, train and measure");
  arguments.option("--difficulty", command->difficulty, "of the roads: easy, moderate or hard");
  arguments.option("--seed", command->seed, "of the roads and weathers");
  arguments.option("--drives", command->drives, "to mine in each round, a lap each");
  arguments.option("--tracks", command->tracks, "unseen ones that measure after each round");
  arguments.option("--epochs", command->epochs, "of training in each round");
  arguments.option("--obstacles", command->obstacles, "that stand on every road");
  arguments.option("--other-cars", command->other_cars, "that drive slowly on them");
  arguments.option("--report", command->report, "write a report page (HTML) here");
  arguments.option("--json", command->json, kJsonHelp);
  return [command] { return improve(*command); };
}

}  // namespace

std::function<int()> fleet(Arguments& arguments) {
  arguments.subcommand("record", "let simulated cars drive, and record each as a Donkey Car tub",
                       set_up_record);
  arguments.subcommand("improve",
                       "the data engine: drive, mine what goes wrong, train on, measure, and again",
                       set_up_improve);
  return {};
}

}  // namespace argosy::cli
