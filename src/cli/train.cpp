#include "train/trainer.h"

#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "base/files.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "run/recipe.h"

namespace argosy::cli {
namespace {

struct Options {
  std::string recipe, to;
  std::vector<std::string> overrides;
  bool dump_program = false;
};

void print(const train::TrainResult& result) {
  fmt::print("{} of {} steps done, this time in {}", result.steps, result.total_steps,
             duration_text(result.seconds));
  if (result.samples_per_second > 0)
    fmt::print(": {:.0f} {}/s, {:.1f} GFLOP/s{}, waited for data {:.1f} % of the time",
               result.samples_per_second, result.unit, result.gflops,
               result.peak_share > 0
                   ? fmt::format(" ({:.0f} % of the peak)", 100 * result.peak_share)
                   : "",
               100 * result.data_wait_share);
  std::string scores;
  if (!std::isnan(result.loss)) scores = fmt::format("loss {:.4f}", result.loss);
  if (!std::isnan(result.held_out_loss))
    scores += fmt::format(", on what is held out {:.4f}", result.held_out_loss);
  if (result.skipped > 0)
    scores += fmt::format("; {} steps were skipped because they were not finite", result.skipped);
  fmt::print("\n{}{}", scores, scores.empty() ? "" : "\n");
}

int run(const Options& options) {
  const run::Recipe recipe = run::load_recipe(options.recipe, options.overrides);
  if (options.dump_program) {
    fmt::print("{}", train::dump_program(recipe));
    return 0;
  }
  const std::string to =
      options.to.empty() ? (Path("runs") / Path(options.recipe).stem()).string() : options.to;
  stop_on_signals();
  const train::TrainResult result = train::train(recipe, to, {.stop = &stop_asked});
  if (result.complete_already)
    fmt::print(
        "{} is complete with {} steps; raise training.{} to go on, or begin another with --to\n",
        to, result.steps, recipe.training.steps > 0 ? "steps" : "epochs");
  else
    print(result);
  if (result.stopped) {
    fmt::print("stopped; the same command goes on from here\n");
    return kInterruptedExitCode;
  }
  const bool language = run::is_language_recipe(recipe);
  fmt::print("next: argosy eval {} --data {}{}\n", to, recipe.data.path,
             language ? "" : " --report report.html");
  if (language)
    fmt::print("      argosy chat {}, or --complete with the beginning of a text\n", to);
  return 0;
}

}  // namespace

std::function<int()> train(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.positional("RECIPE", options->recipe, "a training recipe, e.g. recipes/drive.toml");
  arguments.positionals("KEY=VALUE", options->overrides,
                        "changes to the recipe, e.g. data.path=out/drives", false);
  arguments.option(
      "--to", options->to,
      "the run's folder (default: runs/ and the recipe's name); an existing run goes on "
      "from its last checkpoint");
  arguments.flag("--dump-program", options->dump_program,
                 "print the compiled training step and end");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
