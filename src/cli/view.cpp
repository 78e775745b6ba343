#include "eval/view.h"

#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <sstream>

#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"

namespace argosy::cli {
namespace {

struct Options {
  std::string folder, episodes, columns, run, to, checkpoint = "last";
  int64_t film_megabytes = 48, film_height = 240;
};

constexpr int64_t kFirstEpisodes = 6;  // without --episodes

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

/// "0-5,9" of `count` episodes.
std::vector<int64_t> read_episodes(const std::string& text, int64_t count) {
  std::vector<int64_t> episodes;
  for (const std::string& part : split(text)) {
    int64_t first = 0, last = 0;
    const char* const end = part.data() + part.size();
    auto [rest, error] = std::from_chars(part.data(), end, first);
    last = first;
    if (error == std::errc{} && rest != end && *rest == '-')
      std::tie(rest, error) = [&] {
        const auto read = std::from_chars(rest + 1, end, last);
        return std::pair(read.ptr, read.ec);
      }();
    if (error != std::errc{} || rest != end || first < 0 || last < first)
      throw Error({.what = fmt::format("\"{}\" is no episode and no range of episodes", part),
                   .where = "--episodes",
                   .fix = "give numbers and ranges, as in 0-5,9"});
    if (last >= count)
      throw Error({.what = fmt::format("there is no episode {}, the data set has {}", last, count),
                   .where = "--episodes",
                   .fix = fmt::format("ask for episodes in 0..{}", count - 1)});
    for (; first <= last; ++first) episodes.push_back(first);
  }
  return episodes;
}

int64_t in_range(const char* flag, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    throw Error({.what = fmt::format("{} is not in {}..{}", value, low, high),
                 .where = flag,
                 .fix = "give a number in that range"});
  return value;
}

int run(const Options& options) {
  const data::Dataset dataset = data::Dataset::open(options.folder);
  const auto count = static_cast<int64_t>(dataset.episodes().size());
  eval::ViewOptions job{.columns = split(options.columns), .run = options.run};
  job.episodes = read_episodes(options.episodes.empty()
                                   ? fmt::format("0-{}", std::min(count, kFirstEpisodes) - 1)
                                   : options.episodes,
                               count);
  job.checkpoint = options.checkpoint;
  job.film_bytes = in_range("--film-megabytes", options.film_megabytes, 0, 1024) << 20;
  job.film_height = static_cast<int>(in_range("--film-height", options.film_height, 16, 2160));
  job.stop = &stop_asked;
  stop_on_signals();
  const Path page(options.to);
  if (page.has_parent_path()) make_folders(page.parent_path());
  const PartialFolder work(page.string() + ".films");  // never committed: gone at the end
  job.work = work.path();
  std::unique_ptr<Progress> bar;
  job.progress = [&](int64_t done, int64_t total) {
    if (!bar) bar = std::make_unique<Progress>("view", "frames", total);
    bar->update(done);
  };
  const eval::ShownEpisodes shown = eval::view_episodes(dataset, job);
  bar.reset();
  if (stop_asked) return kInterruptedExitCode;
  const std::string html = eval::episodes_page(shown);
  write_file_atomically(page, html);
  for (const std::string& note : shown.notes) fmt::print("note: {}\n", note);
  fmt::print("page: {} ({} episodes, {:.1f} MB)\n", options.to, shown.episodes.size(),
             static_cast<double>(html.size()) / 1e6);
  return 0;
}

}  // namespace

std::function<int()> data_view(Arguments& arguments) {
  const auto options = std::make_shared<Options>();
  arguments.positional("FOLDER", options->folder, "a data set (LeRobotDataset v3.0)");
  arguments.option("--to", options->to, "the page (HTML)", true);
  arguments.option("--episodes", options->episodes, "which, as in 0-5,9; the first 6 if not given");
  arguments.option("--run", options->run, "a training run: its outputs beside the recorded ones");
  arguments.option("--checkpoint", options->checkpoint, "of the run: last, best or a step");
  arguments.option("--columns", options->columns,
                   "what is drawn, with commas between; the policy's outputs always are");
  arguments.option("--film-megabytes", options->film_megabytes,
                   "all films together; the rest of the episodes then has none");
  arguments.option("--film-height", options->film_height, "pixels; larger films are made smaller");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
