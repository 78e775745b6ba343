#include "fleet/improve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "backend/cpu/backend.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/progress.h"
#include "base/random.h"
#include "base/threads.h"
#include "data/ingest.h"
#include "eval/closed_loop.h"
#include "eval/drivers.h"
#include "fleet/measured.h"
#include "fleet/mine.h"
#include "fleet/shadow.h"
#include "run/driving.h"
#include "run/run_folder.h"
#include "run/split_record.h"
#include "train/trainer.h"

namespace argosy::fleet {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
constexpr const char *kSettings = "improve.json", *kMeasured = "measured.json";
constexpr int64_t kDay_ms = int64_t{24} * 3600 * 1000;
constexpr int64_t kFirstDay_ms = 20454 * kDay_ms;  // 2026-01-01, in the fleet's own time

struct Interrupted {};

void check_range(const char* flag, double value, double low, double high) {
  if (value >= low && value <= high) return;
  throw Error({.what = fmt::format("{} is {}; the range is {} to {}", flag, value, low, high),
               .where = "argosy fleet improve",
               .fix = "give a number in that range"});
}

/// All that a call of improve() knows.
class Engine {
 public:
  Engine(const Path& run, const ImproveOptions& options)
      : start_(fs::absolute(run).lexically_normal()),
        options_(options),
        difficulty_(world::difficulty_named(options.difficulty, "--difficulty")),
        recipe_(run::read_run_recipe(run)) {
    check_range("--rounds", static_cast<double>(options.rounds), 1, 100);
    check_range("--drives", static_cast<double>(options.drives), 1, 1000);
    check_range("--tracks", static_cast<double>(options.tracks), 1, 1000);
    check_range("--epochs", options.epochs, 0.01, 1e6);
    check_range("--obstacles", static_cast<double>(options.obstacles), 0, 20);
    check_range("--other-cars", static_cast<double>(options.other_cars), 0, 20);
    eval::control_places(recipe_);
    checkpoint_ = run::find_checkpoint(run, "last");
    run::verify_checkpoint(checkpoint_);
    look_at_data();
    settle_folder();
  }

  ImproveResult run() {
    ImproveResult result{.run = start_.string(),
                         .data = options_.data.string(),
                         .difficulty = options_.difficulty,
                         .seed = options_.seed,
                         .rounds = {},
                         .notes = {},
                         .provenance = provenance(),
                         .recipe_toml = run::to_toml(recipe_)};
    try {
      Path run = start_;
      for (int64_t number = 0; number <= options_.rounds; ++number) {
        Round round{.number = number,
                    .folder = options_.to / fmt::format("round_{}", number),
                    .run = run,
                    .mined = {},
                    .measured = {}};
        make_folders(round.folder);
        if (number > 0 && !learn(round)) {
          result.notes.push_back(
              fmt::format("round {} found nothing to learn from, so it is the last", number));
          break;
        }
        round.measured = measure(round);
        round.training_frames = training_frames(round.run);
        run = round.run;
        result.rounds.push_back(std::move(round));
      }
    } catch (const Interrupted&) {
      result.interrupted = true;
    }
    return result;
  }

 private:
  void look_at_data() {
    const data::Dataset dataset = data::Dataset::open(options_.data);
    const run::DrivingData driving(dataset, recipe_);
    const std::vector<int64_t>& shape = dataset.feature(driving.camera()).shape;
    camera_ = driving.camera().substr(driving.camera().rfind('.') + 1) + "/image_array";
    height_ = static_cast<int>(shape[0]);
    width_ = static_cast<int>(shape[1]);
    if (dataset.fps() != static_cast<int>(world::kControlRate_hz))
      throw Error({.what = fmt::format("the data set has {} frames a second, and the world {}",
                                       dataset.fps(), world::kControlRate_hz),
                   .where = options_.data,
                   .fix = "give a data set of recordings of argosy fleet record"});
  }

  /// The folder belongs to one set of options, and to one process at a time.
  void settle_folder() {
    const Json settings = {{"run", start_.string()},
                           {"checkpoint_crc32c", checkpoint_crc32c()},
                           {"data", fs::absolute(options_.data).lexically_normal().string()},
                           {"difficulty", options_.difficulty},
                           {"seed", options_.seed},
                           {"drives", options_.drives},
                           {"tracks", options_.tracks},
                           {"epochs", options_.epochs},
                           {"obstacles", options_.obstacles},
                           {"other_cars", options_.other_cars}};
    const Path file = options_.to / kSettings;
    std::error_code ignored;
    if (!fs::exists(file, ignored)) expect_vacant(options_.to);
    make_folders(options_.to);
    if (fs::exists(file, ignored)) {
      const Json known = Json::parse(read_file(file, 1 << 20), nullptr, false);
      for (const auto& [name, value] : settings.items())
        if (!known.is_object() || known.value(name, Json()) != value)
          throw Error(
              {.what = fmt::format("this was begun with another {}: {}, now {}", name,
                                   known.is_object() ? known.value(name, Json()).dump() : "unknown",
                                   value.dump()),
               .where = options_.to,
               .fix = "give what it was begun with, or another folder (--to)"});
    } else {
      write_file_atomically(file, settings.dump(1) + "\n");
    }
    lock_.emplace(options_.to / ".lock", "is being worked on", options_.to);
  }

  uint32_t checkpoint_crc32c() const {
    return crc32c_of_file(checkpoint_.folder / run::kStateFile);
  }

  /// Mines, adds to the data set and trains. False where nothing was mined.
  bool learn(Round& round) {
    const run::Checkpoint teacher = run::find_checkpoint(round.run, "last");
    const Path mined = round.folder / "mined";
    std::error_code ignored;
    if (!fs::exists(mined, ignored)) {
      PartialFolder partial(mined);
      write_mined(partial.path(), mine_with(teacher, round, partial.path()));
      stop_if_asked();
      partial.commit();
    }
    round.mined = read_mined(mined);
    if (round.mined->clips.empty()) return false;
    const Path begin =
        std::exchange(round.run, fs::absolute(round.folder / "run").lexically_normal());
    if (fs::exists(round.folder / kMeasured, ignored)) return true;  // it has learned
    add_to_data(mined / kTubs, round);
    train_from(begin, round.run);
    return true;
  }

  Mined mine_with(const run::Checkpoint& policy, const Round& round, const Path& to) {
    const Path state = policy.folder / run::kStateFile;
    const uint64_t seed =
        mix(mix(options_.seed, hash_of("fleet improve")), static_cast<uint64_t>(round.number));
    // a name of its own for every run, seed and round, so that the data set knows them apart
    const auto second = static_cast<int64_t>(mix(seed, checkpoint_crc32c()) % (3650 * 86400));
    Mined mined = mine(to, recipe_, state,
                       {.round = round.number,
                        .seed = seed,
                        .drives = options_.drives,
                        .created_ms = kFirstDay_ms + 1000 * second,
                        .difficulty = difficulty_,
                        .camera = camera_,
                        .width = width_,
                        .height = height_,
                        .obstacles = static_cast<int>(options_.obstacles),
                        .other_cars = static_cast<int>(options_.other_cars),
                        .stop = options_.stop});
    stop_if_asked();
    ride_along(data::Dataset::open(options_.data), recipe_, state, to, mined);
    return mined;
  }

  void add_to_data(const Path& tubs, Round& round) {
    Progress progress(fmt::format("round {}: ingest", round.number), "frames",
                      round.mined->frames());
    const data::IngestSummary summary =
        data::ingest(std::span(&tubs, 1), options_.data,
                     {.import = {},
                      .video = {},
                      .known = data::Known::skip,
                      .stop = options_.stop,
                      .progress = [&](int64_t frames, int64_t) { progress.update(frames); }});
    if (summary.interrupted) throw Interrupted{};
    progress.update(round.mined->frames());
    progress.finish();
    for (const data::IngestedRecording& recording : summary.recordings)
      if (!recording.left_out.empty() && summary.added_frames > 0)
        log::warning("{} is left out: {}", recording.path.string(), recording.left_out);
  }

  void train_from(const Path& begin, const Path& to) {
    run::Recipe recipe = recipe_;
    recipe.data.path = fs::absolute(options_.data).lexically_normal().string();
    recipe.training.start_from = begin.string();
    recipe.training.steps = 0;
    recipe.training.epochs = options_.epochs;
    if (train::train(recipe, to, {.stop = options_.stop}).stopped) throw Interrupted{};
  }

  Measured measure(const Round& round) {
    stop_if_asked();
    const Path file = round.folder / kMeasured;
    std::error_code ignored;
    if (!fs::exists(file, ignored)) {
      const eval::ClosedLoopResult result =
          eval::evaluate_closed_loop(round.run, {.data = options_.data,
                                                 .difficulty = options_.difficulty,
                                                 .tracks = options_.tracks,
                                                 .seed = options_.seed,
                                                 .obstacles = options_.obstacles,
                                                 .other_cars = options_.other_cars,
                                                 .baselines = false,
                                                 .film = false,
                                                 .moments = 0,
                                                 .stop = options_.stop});
      stop_if_asked();
      write_measured(file, measured_of(result));
    }
    return read_measured(file);
  }

  static int64_t training_frames(const Path& run) {
    int64_t frames = 0;
    if (const auto split = run::read_split(run))
      for (const run::EpisodeMark& mark : split->training) frames += mark.frames;
    return frames;
  }

  void stop_if_asked() const {
    if (options_.stop && *options_.stop) throw Interrupted{};
  }

  std::vector<std::pair<std::string, std::string>> provenance() const {
    const Machine machine = this_machine();
    return {{"run", start_.string()},
            {"checkpoint", fmt::format("step {}", checkpoint_.step)},
            {"folder", options_.to.string()},
            {"mined in each round", fmt::format("{} drives", options_.drives)},
            {"trained in each round", fmt::format("{} epochs", options_.epochs)},
            {"CPU", machine.cpu},
            {"instruction set", cpu::instruction_set()},
            {"threads", fmt::to_string(thread_count())},
            {"system", machine.system}};
  }

  Path start_;
  ImproveOptions options_;
  world::Difficulty difficulty_;
  run::Recipe recipe_;
  run::Checkpoint checkpoint_;
  std::string camera_;  ///< as a tub calls it
  int height_ = 0, width_ = 0;
  std::optional<FileLock> lock_;
};

/// What is known of an interval in one number: its value, else its low end.
double best_known(const eval::Interval& interval) {
  return interval.value.value_or(interval.low.value_or(0));
}

}  // namespace

ImproveResult improve(const Path& run, const ImproveOptions& options) {
  return Engine(run, options).run();
}

int64_t rounds_that_rose(const ImproveResult& result) {
  int64_t count = 0;
  for (size_t i = 1; i < result.rounds.size(); ++i)
    count += best_known(result.rounds[i].measured.distance_per_intervention_m) >
             best_known(result.rounds[i - 1].measured.distance_per_intervention_m);
  return count;
}

std::string verdict(const ImproveResult& result) {
  if (result.rounds.empty()) return "Nothing has been measured yet.";
  const Measured &first = result.rounds.front().measured, &last = result.rounds.back().measured;
  const size_t tracks = last.tracks.size();
  if (result.rounds.size() == 1)
    return fmt::format("The run drives {} m per intervention on {} unseen {} tracks.",
                       range_text(first.distance_per_intervention_m), tracks, result.difficulty);
  return fmt::format(
      "After {} round{} the policy drives {} m per intervention on {} unseen {} tracks, {} before; "
      "it rose in {} of them. {} tracks are completed without help, {} before.",
      result.rounds.size() - 1, result.rounds.size() == 2 ? "" : "s",
      range_text(last.distance_per_intervention_m), tracks, result.difficulty,
      range_text(first.distance_per_intervention_m), rounds_that_rose(result), last.completed,
      first.completed);
}

std::string to_json(const ImproveResult& result) {
  Json rounds = Json::array();
  for (const Round& round : result.rounds) {
    Json entry = {{"round", round.number},
                  {"run", round.run.string()},
                  {"training_frames", round.training_frames}};
    entry["measured"] = json_of(round.measured);
    for (Json& track : entry["measured"]["tracks"]) track.erase("map");
    if (round.mined) {
      std::map<std::string, int64_t> reasons;
      for (const MinedClip& clip : round.mined->clips) ++reasons[clip.reason];
      entry["mined"] = {{"drives", round.mined->drives},
                        {"driven_frames", round.mined->driven_frames},
                        {"interventions", round.mined->interventions},
                        {"clips", round.mined->clips.size()},
                        {"frames", round.mined->frames()},
                        {"reasons", reasons},
                        {"recorded_frames", round.mined->recorded_frames},
                        {"recorded_triggers", round.mined->recorded_triggers}};
    }
    rounds.push_back(std::move(entry));
  }
  const Json json = {
      {"run", result.run},   {"data", result.data},        {"difficulty", result.difficulty},
      {"seed", result.seed}, {"verdict", verdict(result)}, {"interrupted", result.interrupted},
      {"rounds", rounds},    {"notes", result.notes}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace argosy::fleet
