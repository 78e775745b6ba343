#include "cli/eval.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "run/language_model.h"
#include "run/recipe.h"
#include "run/run_folder.h"
#include "run/text_scores.h"

namespace argosy::cli {
namespace {

int evaluate_language_model(const EvalOptions& options) {
  if (options.data.empty())
    throw Error({.what = "there is nothing to measure on",
                 .where = "argosy eval",
                 .fix = "give --data FILE, a text"});
  for (const auto& [flag, value] : {std::pair("--world", options.world),
                                    {"--film", options.film},
                                    {"--report", options.report}})
    if (!value.empty())
      throw Error({.what = fmt::format("{} is of policies, and this is a language model", flag),
                   .where = "argosy eval",
                   .fix = "leave it out"});
  const bool trained = run::is_run(options.run);
  if (!trained && options.checkpoint != "last")
    throw Error({.what = "--checkpoint is of runs, and this is a model in files",
                 .where = "argosy eval",
                 .fix = "leave it out"});
  const run::TextScores scores =
      trained ? run::score_text(options.run, options.data, options.checkpoint)
              : run::score_model(options.run, options.data);
  if (!options.json.empty())
    write_json(options.json, nlohmann::ordered_json{{"argosy", ARGOSY_VERSION},
                                                    {"run", options.run},
                                                    {"step", scores.step},
                                                    {"text", options.data},
                                                    {"held_out", scores.held_out},
                                                    {"tokens", scores.tokens},
                                                    {"bytes", scores.bytes},
                                                    {"loss", scores.loss},
                                                    {"perplexity", scores.perplexity},
                                                    {"bits_per_byte", scores.bits_per_byte}}
                                 .dump(2));
  if (!on_standard_output(options.json))
    fmt::print(
        "{}{} of {}: {} tokens, {} bytes\n"
        "loss {:.4f} nats a token, perplexity {:.3f}, {:.4f} bits per byte\n",
        trained ? fmt::format("step {}, ", scores.step) : "",
        scores.held_out ? "the held-out end" : "all", options.data, scores.tokens, scores.bytes,
        scores.loss, scores.perplexity, scores.bits_per_byte);
  return 0;
}

int run(const EvalOptions& options) {
  if (run::is_run(options.run) ? run::is_language_recipe(run::read_run_recipe(options.run))
                               : run::is_model_in_files(options.run))
    return evaluate_language_model(options);
#ifdef ARGOSY_WITH_DATA
  return evaluate_policy(options);
#else
  throw Error({.what = "this program was built without what policies are measured on",
               .where = options.run,
               .fix = "run scripts/setup and build again, or name a run of a language model"});
#endif
}

}  // namespace

std::function<int()> eval(Arguments& arguments) {
  auto options = std::make_shared<EvalOptions>();
  arguments.positional("RUN", options->run,
                       "the folder of a training run, or a language model as chat takes it");
  arguments.option(
      "--data", options->data,
      "the data set to measure on, or for a language model the text; with --world, what the run "
      "learned from, if it is no longer where it was");
  arguments.option("--world", options->world, "drive in a simulated world instead: track");
  arguments.option("--tracks", options->tracks, "unseen tracks to drive");
  arguments.option("--difficulty", options->difficulty, "of the tracks: easy, moderate or hard");
  arguments.option("--laps", options->laps, "on each track");
  arguments.option("--obstacles", options->obstacles, "that stand on each track");
  arguments.option("--other-cars", options->other_cars, "that drive slowly on each track");
  arguments.option("--seed", options->seed, "another seed, other tracks and weathers");
  arguments.option(
      "--film", options->film,
      "write a film (mp4) here: the policy, ridge regression and the recording driver");
  arguments.option("--report", options->report, "write a report page (HTML) here");
  arguments.option("--json", options->json, kJsonHelp);
  arguments.option("--checkpoint", options->checkpoint, "last, best or a step");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
