#include "train/trainer.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
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

int run(const Options& options) {
  const run::Recipe recipe = run::load_recipe(options.recipe, options.overrides);
  if (options.dump_program) {
    fmt::print("{}", train::dump_program(recipe));
    return 0;
  }
  if (options.to.empty())
    throw Error(
        {.what = "no folder is given for the run", .where = "--to", .fix = "add --to runs/NAME"});
  stop_on_signals();
  const train::TrainResult result = train::train(recipe, options.to, {.stop = &stop_asked});
  fmt::print(
      "{} of {} steps in {}, {:.0f} samples/s, {:.1f} GFLOP/s, waited for data {:.1f} % of the "
      "time\n",
      result.steps, result.total_steps, duration_text(result.seconds), result.samples_per_second,
      result.gflops, 100 * result.data_wait_share);
  fmt::print("loss {:.4f}, on held-out episodes {:.4f}{}\n", result.loss, result.held_out_loss,
             result.skipped ? fmt::format("; {} steps were skipped because they were not finite",
                                          result.skipped)
                            : "");
  if (result.stopped) {
    fmt::print("stopped; the same command goes on from here\n");
    return kInterruptedExitCode;
  }
  fmt::print("next: argosy eval {} --data {} --report report.html\n", options.to, recipe.data.path);
  return 0;
}

}  // namespace

std::function<int()> train(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.positional("RECIPE", options->recipe, "a training recipe, e.g. recipes/drive.toml");
  arguments.positionals("KEY=VALUE", options->overrides,
                        "changes to the recipe, e.g. data.path=out/drives", false);
  arguments.option("--to", options->to,
                   "the run's folder; an existing run goes on from its last checkpoint");
  arguments.flag("--dump-program", options->dump_program,
                 "print the compiled training step and end");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
