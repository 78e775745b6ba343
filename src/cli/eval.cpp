#include <fmt/format.h>

#include <memory>

#include "base/files.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "eval/evaluate.h"
#include "eval/report.h"

namespace argosy::cli {
namespace {

struct Options {
  std::string run, data, report, json, checkpoint = "last";
};

std::string cell(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : std::string("-");
}

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

int run(const Options& options) {
  eval::EvaluationResult result =
      eval::evaluate(options.run, options.data, {.checkpoint = options.checkpoint});
  result.provenance.insert(result.provenance.begin(), {"argosy", ARGOSY_VERSION});
  if (!options.json.empty()) write_json(options.json, eval::to_json(result));
  const bool talk = !on_standard_output(options.json);
  if (talk) print_table(result);
  if (!options.report.empty()) {
    const Path report(options.report);
    if (report.has_parent_path()) make_folders(report.parent_path());
    write_file_atomically(report, eval::report(result));
    if (talk) fmt::print("report: {}\n", options.report);
  }
  return 0;
}

}  // namespace

std::function<int()> eval(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  arguments.positional("RUN", options->run, "the folder of a training run");
  arguments.option("--data", options->data, "the data set to measure on", true);
  arguments.option("--report", options->report, "write a report page (HTML) here");
  arguments.option("--json", options->json, kJsonHelp);
  arguments.option("--checkpoint", options->checkpoint, "last, best or a step");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
