#include "data/ingest.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/json_output.h"

namespace argosy::cli {
namespace {

struct Options {
  std::vector<std::string> sources;
  std::string to, task = "drive", codec = "h264", known = "refuse", json;
  double gap_s = 1.0;
  int64_t fps = 0, gop = 2, quality = 23;
  bool strict = false;
};

data::Known known(const std::string& text) {
  if (text == "refuse") return data::Known::refuse;
  if (text == "skip") return data::Known::skip;
  if (text == "again") return data::Known::again;
  throw Error({.what = fmt::format("\"{}\" is none of refuse, skip, again", text),
               .where = "--known",
               .fix = "give one of these"});
}

int in_range(const char* flag, int64_t value, int low, int high) {
  if (value < low || value > high)
    throw Error({.what = fmt::format("{} is not in {}..{}", value, low, high),
                 .where = flag,
                 .fix = "give a number in that range"});
  return static_cast<int>(value);
}

int run(const Options& options) {
  data::IngestOptions job;
  job.task = options.task;
  job.import.gap_s = options.gap_s;
  job.fps = in_range("--fps", options.fps, 0, 1000);
  job.video.codec = options.codec;
  job.video.gop = in_range("--gop", options.gop, 1, 10000);
  job.video.quality = in_range("--quality", options.quality, 0, 63);
  job.known = known(options.known);
  job.strict = options.strict;
  job.stop = &stop_asked;
  std::unique_ptr<Progress> bar;  // from when the number of frames is known
  job.progress = [&](int64_t frames, int64_t total) {
    if (!bar) bar = std::make_unique<Progress>("ingest", "frames", total);
    bar->update(frames);
  };
  const std::vector<Path> sources(options.sources.begin(), options.sources.end());
  stop_on_signals();
  const data::IngestSummary summary = data::ingest(sources, options.to, job);
  bar.reset();
  if (!on_standard_output(options.json)) fmt::print("{}", data::summary_text(summary));
  if (!options.json.empty()) write_json(options.json, data::summary_json(summary));
  return summary.interrupted ? kInterruptedExitCode : 0;
}

}  // namespace

std::function<int()> ingest(Arguments& arguments) {
  const auto options = std::make_shared<Options>();
  arguments.positionals("SRC", options->sources, "recordings, or folders with recordings in them");
  arguments.option("--to", options->to, "the data set: made, or added to", true);
  arguments.option("--task", options->task, "what is done in the recordings, in words");
  arguments.option("--gap", options->gap_s, "a pause of more seconds begins a new episode");
  arguments.option("--fps", options->fps, "frames per second; 0: from the time stamps");
  arguments.option("--codec", options->codec, "h264, hevc or av1");
  arguments.option("--gop", options->gop, "frames from one key frame to the next");
  arguments.option("--quality", options->quality,
                   "constant rate factor: less is better and larger");
  arguments.option("--known", options->known,
                   "recordings that the data set holds already: refuse, skip or again");
  arguments.flag("--strict", options->strict, "end at the first thing that would be skipped");
  arguments.option("--json", options->json, kJsonHelp);
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
