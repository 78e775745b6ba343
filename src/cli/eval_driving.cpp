#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/eval.h"
#include "cli/json_output.h"
#include "eval/closed_loop.h"
#include "eval/closed_loop_report.h"
#include "eval/evaluate.h"
#include "eval/report.h"

namespace argosy::cli {
namespace {

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : std::string("-");
}

#ifdef ARGOSY_WITH_WORLD
void print_table(const eval::ClosedLoopResult& result) {
  fmt::print("{}\n\n", eval::verdict(result));
  fmt::print("{:<20}{:>11}{:>11}{:>15}{:>28}{:>28}{:>12}\n", "driver", "completed", "off road",
             "interventions", "m per intervention", "mean distance, m", "speed, m/s");
  for (const eval::DriverResult& driver : result.drivers) {
    const eval::DriverScores& s = driver.scores;
    fmt::print("{:<20}{:>11}{:>11}{:>15}{:>28}{:>28}{:>12.2f}\n", driver.title,
               fmt::format("{} of {}", s.completed_episodes, s.episodes), s.off_road,
               s.interventions, eval::range_text(s.distance_per_intervention_m, "-"),
               eval::range_text(s.mean_distance_m, "-"), s.mean_speed_mps.value.value_or(0));
  }
  for (const std::string& note : result.notes) fmt::print("note: {}\n", note);
}
#endif

void print_table(const eval::EvaluationResult& result) {
  fmt::print("{}\n\n", eval::verdict(result));
  fmt::print("{:<24}{:>8}{:>8}{:>8}{:>13}\n", "on held-out episodes", "MAE", "RMSE", "R2",
             "correlation");
  const auto row = [](const std::string& name, const eval::Scores& s) {
    fmt::print("{:<24}{:>8.3f}{:>8.3f}{:>8}{:>13}\n", name, s.mae, s.rmse, cell(s.r2),
               cell(s.correlation));
  };
  for (const eval::OutputResult& output : result.outputs) {
    row(output.name, output.model);
    if (output.ridge) row("  ridge regression", *output.ridge);
    row("  best constant", output.constant);
    if (output.noise && output.noise->r2_limit)
      fmt::print("{:<24}{:>8.3f}{:>8.3f}{:>8}\n", "  a smooth driver", output.noise->mae,
                 output.noise->rmse, cell(output.noise->r2_limit));
  }
  for (const std::string& note : result.notes) fmt::print("note: {}\n", note);
}

/// What both kinds of evaluation write and say.
template <typename Result>
int deliver(Result& result, const EvalOptions& options, const std::string& film) {
  result.provenance.insert(result.provenance.begin(), {"argosy", ARGOSY_VERSION});
  if (!options.json.empty()) write_json(options.json, eval::to_json(result));
  const bool talk = !on_standard_output(options.json);
  if (talk) print_table(result);
  if (!options.film.empty()) {
    write_file_atomically(options.film, film);
    if (talk) fmt::print("film: {}\n", options.film);
  }
  if (!options.report.empty()) {
    write_file_atomically(options.report, eval::report(result));
    if (talk) fmt::print("report: {}\n", options.report);
  }
  return 0;
}

int evaluate_on_recordings(const EvalOptions& options) {
  if (options.data.empty())
    throw Error({.what = "there is nothing to measure on",
                 .where = "argosy eval",
                 .fix = "give --data FOLDER for recordings, or --world track for the closed loop"});
  if (!options.film.empty())
    throw Error({.what = "--film is of drives in the world",
                 .where = "argosy eval",
                 .fix = "give --world track too, or leave it out"});
  eval::EvaluationResult result =
      eval::evaluate(options.run, options.data, {.checkpoint = options.checkpoint});
  return deliver(result, options, "");
}

#ifdef ARGOSY_WITH_WORLD
int evaluate_in_world(const EvalOptions& options) {
  if (options.world != "track")
    throw Error({.what = fmt::format("there is no world {}", options.world),
                 .where = "--world",
                 .fix = "give --world track"});
  const bool films = !options.report.empty() || !options.film.empty();
  eval::ClosedLoopResult result =
      eval::evaluate_closed_loop(options.run, {.checkpoint = options.checkpoint,
                                               .data = options.data,
                                               .difficulty = options.difficulty,
                                               .tracks = options.tracks,
                                               .seed = options.seed,
                                               .laps = options.laps,
                                               .obstacles = options.obstacles,
                                               .other_cars = options.other_cars,
                                               .film = films,
                                               .moments = options.report.empty() ? 0 : 4});
  return deliver(result, options, result.film);
}
#else
int evaluate_in_world(const EvalOptions&) {
  throw Error({.what = "this program was built without the simulated world",
               .where = "--world",
               .fix = "run scripts/setup, which fetches MuJoCo, and build again"});
}
#endif

}  // namespace

int evaluate_policy(const EvalOptions& options) {
  for (const std::string& file : {options.report, options.film})
    if (!file.empty()) expect_writable(file);
  return options.world.empty() ? evaluate_on_recordings(options) : evaluate_in_world(options);
}

}  // namespace argosy::cli
