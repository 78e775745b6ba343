#include "data/ingest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <set>

#include "base/error.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "data/frames_ahead.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

constexpr double kMaxFpsDifference = 0.2;  // as share of the data set's

struct Source {
  Path path;
  const Importer* importer;
};

struct Interrupted {};

/// A recording and all that the job knows about it.
struct Item {
  Source source;
  IngestedRecording report;
  std::vector<Feature> features;
  bool taken() const { return report.left_out.empty(); }
};

std::string known_formats() {
  std::vector<std::string> all;
  for (const Importer& importer : importers()) all.emplace_back(importer.summary);
  return fmt::format("{}", fmt::join(all, ", "));
}

/// The recordings right in `folder`, by name.
std::vector<Source> recordings_in(const Path& folder) {
  std::vector<Source> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (const Importer* importer = importer_for(entry->path()))
      found.push_back({entry->path(), importer});
  if (error) throw file_error("read the folder", folder, error.value());
  std::sort(found.begin(), found.end(),
            [](const Source& a, const Source& b) { return a.path < b.path; });
  return found;
}

std::vector<Source> find_sources(std::span<const Path> paths) {
  std::vector<Source> all;
  for (const Path& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found)
      throw file_error("open the recording", path, ENOENT);
    if (error) throw file_error("open the recording", path, error.value());
    if (const Importer* importer = importer_for(path)) {
      all.push_back({path, importer});
      continue;
    }
    const auto found = fs::is_directory(status) ? recordings_in(path) : std::vector<Source>{};
    if (found.empty())
      throw Error({.what = "this is no recording, nor a folder with recordings right in it",
                   .where = path,
                   .fix = fmt::format("give one of: {}", known_formats())});
    all.insert(all.end(), found.begin(), found.end());
  }
  std::set<Path> seen;
  for (const Source& source : all) {
    std::error_code ignored;
    if (!seen.insert(fs::canonical(source.path, ignored)).second)
      throw Error({.what = "the recording is given twice",
                   .where = source.path,
                   .fix = "give each recording once"});
  }
  return all;
}

/// Why a recording does not fit into a set of features, in words; empty where it does. Features
/// that the set lacks are none of its business.
std::string difference(std::span<const Feature> set, std::span<const Feature> recording) {
  const auto find = [](std::span<const Feature> all, const std::string& name) {
    return std::find_if(all.begin(), all.end(), [&](const Feature& f) { return f.name == name; });
  };
  for (const Feature& feature : set)
    if (find(recording, feature.name) == recording.end())
      return fmt::format("the recording has no {}", feature.name);
  for (const Feature& feature : recording) {
    const auto found = find(set, feature.name);
    if (found == set.end()) continue;
    if (found->dtype != feature.dtype)
      return fmt::format("{} is {} in the data set, {} in the recording", feature.name,
                         found->dtype, feature.dtype);
    if (found->shape != feature.shape)
      return fmt::format("{} has shape [{}] in the data set, [{}] in the recording", feature.name,
                         fmt::join(found->shape, ", "), fmt::join(feature.shape, ", "));
    if (found->names != feature.names)
      return fmt::format("{} is made of [{}] in the data set, of [{}] in the recording",
                         feature.name, fmt::join(found->names, ", "),
                         fmt::join(feature.names, ", "));
    if (!found->units.empty() && !feature.units.empty() && found->units != feature.units)
      return fmt::format("{} is in [{}] in the data set, in [{}] in the recording", feature.name,
                         fmt::join(found->units, ", "), fmt::join(feature.units, ", "));
  }
  return {};
}

/// A data set's features without the five that every LeRobotDataset has.
std::vector<Feature> own_features(const Dataset& dataset) {
  static const std::set<std::string> kIndexes = {"timestamp", "frame_index", "episode_index",
                                                 "index", "task_index"};
  std::vector<Feature> own;
  for (const Feature& feature : dataset.features())
    if (!kIndexes.contains(feature.name)) own.push_back(feature);
  return own;
}

/// Rows [begin, end) of an episode as one of its own.
EpisodeData part_of(const EpisodeData& whole, int64_t begin, int64_t end) {
  if (begin == 0 && end == whole.length) return whole;
  EpisodeData part;
  part.length = end - begin;
  part.task = whole.task;
  part.source = whole.source;
  for (const auto& [name, values] : whole.columns) {
    const auto width = static_cast<int64_t>(values.size()) / whole.length;
    part.columns[name].assign(values.begin() + begin * width, values.begin() + end * width);
  }
  for (const auto& [name, texts] : whole.texts)
    part.texts[name].assign(texts.begin() + begin, texts.begin() + end);
  part.frame = [frame = whole.frame, begin](const std::string& name, int64_t i) {
    return frame(name, begin + i);
  };
  return part;
}

class Job {
 public:
  Job(const Path& folder, const IngestOptions& options) : folder_(folder), options_(options) {}

  IngestSummary run(std::span<const Path> sources) {
    const auto start = std::chrono::steady_clock::now();
    summary_.folder = folder_;
    try {
      for (const Source& source : find_sources(sources)) survey(source);
      open_existing();
      refuse_or_skip_known();
      settle_features();
      if (!nothing_new()) {
        require_some();
        settle_fps();
        require_some();
        write();
      }
    } catch (const Interrupted&) {
      summary_.interrupted = true;
      summary_.added_episodes = summary_.added_frames = 0;
    }
    for (Item& item : items_) summary_.recordings.push_back(std::move(item.report));
    summary_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return std::move(summary_);
  }

 private:
  void stop_if_asked() const {
    if (options_.stop && *options_.stop) throw Interrupted{};
  }

  void skip(Item& item, const std::string& reason, const std::string& first) {
    count_skipped(item.report.info.skipped, reason, first);
    if (options_.strict)
      throw Error({.what = reason,
                   .where = first,
                   .fix = "mend or delete it, or run without --strict to skip it"});
  }

  void leave_out(Item& item, const std::string& reason) {
    item.report.left_out = reason;
    if (options_.strict)
      throw Error({.what = reason,
                   .where = item.source.path,
                   .fix = "leave the recording out, or run without --strict to skip it"});
  }

  void survey(const Source& source) {
    stop_if_asked();
    Item item{source, {.path = source.path, .format = source.importer->name}, {}};
    try {
      const auto recording = source.importer->open(source.path, options_.import);
      item.report.info = recording->info();
      std::swap(item.features, item.report.info.features);
    } catch (const Error& error) {
      if (options_.strict) throw;
      leave_out(item, error.what());
    }
    if (options_.strict && !item.report.info.skipped.empty()) {
      const Skipped first = item.report.info.skipped.front();
      skip(item, first.reason, first.first);
    }
    items_.push_back(std::move(item));
  }

  void open_existing() {
    std::error_code ignored;
    if (fs::exists(folder_ / "meta" / "info.json", ignored))
      existing_ = std::make_unique<Dataset>(Dataset::open(folder_));
  }

  void refuse_or_skip_known() {
    if (options_.known == Known::again) return;
    std::set<std::string> known;
    if (existing_)
      for (const Episode& episode : existing_->episodes()) known.insert(episode.source);
    const std::set<std::string> before = known;
    for (Item& item : items_) {
      if (!item.taken() || known.insert(item.report.info.source).second) continue;
      const std::string what =
          fmt::format("the recording {} {}", item.report.info.source,
                      before.contains(item.report.info.source) ? "is in the data set already"
                                                               : "is given twice");
      if (options_.known == Known::refuse)
        throw Error({.what = what,
                     .where = item.source.path,
                     .fix = "leave it out, or give --known skip or --known again"});
      item.report.left_out = what;  // as asked: not a fault, so not one for --strict
      ++skipped_as_known_;
    }
  }

  /// All that could be added is there already, and the user said that this is well.
  bool nothing_new() {
    if (!existing_ || skipped_as_known_ == 0) return false;
    for (const Item& item : items_)
      if (item.taken()) return false;
    summary_.fps = existing_->fps();
    summary_.episodes = static_cast<int64_t>(existing_->episodes().size());
    summary_.frames = existing_->frames();
    return true;
  }

  /// The data set's features; of a new one, those which most rows have.
  void settle_features() {
    if (existing_) {
      features_ = own_features(*existing_);
    } else {
      int64_t most = 0;
      for (const Item& candidate : items_) {
        int64_t rows = 0;
        for (const Item& item : items_)
          if (item.taken() && candidate.taken() &&
              candidate.features.size() == item.features.size() &&
              difference(candidate.features, item.features).empty())
            rows += item.report.info.kept;
        if (rows > most) {
          most = rows;
          features_ = candidate.features;
        }
      }
    }
    for (Item& item : items_) {
      if (!item.taken()) continue;
      const std::string differs = difference(features_, item.features);
      if (!differs.empty()) leave_out(item, "its features are not the data set's: " + differs);
      for (const Feature& feature : item.features)
        if (differs.empty() && !wanted(feature.name))
          item.report.info.notes.push_back(
              fmt::format("{} is left out: the data set has no such feature", feature.name));
    }
  }

  bool wanted(const std::string& name) const {
    return std::any_of(features_.begin(), features_.end(),
                       [&](const Feature& feature) { return feature.name == name; });
  }

  /// The data set's frame rate; of a new one, the median over the recordings, weighted by rows.
  void settle_fps() {
    if (existing_ && options_.fps > 0 && options_.fps != existing_->fps())
      throw Error({.what = fmt::format("--fps is {} but the data set has {}", options_.fps,
                                       existing_->fps()),
                   .where = folder_,
                   .fix = "leave --fps out or choose another folder"});
    summary_.fps = existing_ ? existing_->fps() : options_.fps > 0 ? options_.fps : median_fps();
    if (options_.fps > 0) return;  // the user knows better than the time stamps
    for (Item& item : items_) {
      const double fps = item.report.info.fps;
      if (!item.taken() || fps == 0) continue;
      if (std::abs(fps - summary_.fps) > kMaxFpsDifference * summary_.fps)
        leave_out(item, fmt::format("its time stamps give {:.1f} frames/s, the data set has {} (at "
                                    "most {:.0f} % apart, or give --fps)",
                                    fps, summary_.fps, 100 * kMaxFpsDifference));
    }
  }

  int median_fps() const {
    std::vector<std::pair<double, int64_t>> rates;
    int64_t rows = 0, passed = 0;
    for (const Item& item : items_) {
      if (!item.taken() || item.report.info.fps == 0) continue;
      rates.emplace_back(item.report.info.fps, item.report.info.kept);
      rows += item.report.info.kept;
    }
    std::sort(rates.begin(), rates.end());
    for (const auto& [fps, count] : rates)
      if (passed += count; 2 * passed >= rows)
        return std::max(1, static_cast<int>(std::lround(fps)));
    throw Error({.what = "the time stamps give no frame rate",
                 .where = items_.front().source.path,
                 .fix = "give --fps"});
  }

  void require_some() const {
    for (const Item& item : items_)
      if (item.taken()) return;
    const IngestedRecording& first = items_.front().report;
    if (items_.size() == 1)
      throw Error({.what = "no episode to add: " + first.left_out,
                   .where = first.path,
                   .fix = "give another recording"});
    throw Error({.what = fmt::format("none of the {} recordings gives an episode; the first: {}",
                                     items_.size(), first.left_out),
                 .where = first.path,
                 .fix = "give other recordings"});
  }

  void write() {
    DatasetWriter writer(folder_, {.fps = summary_.fps,
                                   .robot_type = items_.front().report.info.robot_type,
                                   .features = features_,
                                   .video = options_.video});
    // the writer holds the data set now; before, another job could have added to it
    if (writer.frames() != (existing_ ? existing_->frames() : 0))
      throw Error({.what = "the data set was changed by another job meanwhile",
                   .where = folder_,
                   .fix = "run the same command again"});
    for (const Item& item : items_)
      if (item.taken()) total_frames_ += item.report.info.kept;
    for (Item& item : items_)
      if (item.taken()) add_recording(writer, item);
    if (summary_.added_episodes == 0) {
      require_some();
      throw Error({.what = "no frame of any recording can be used",
                   .where = items_.front().source.path,
                   .fix = "see the images of the recordings"});
    }
    stop_if_asked();
    writer.commit();
    summary_.episodes = writer.episodes();
    summary_.frames = writer.frames();
  }

  void add_recording(DatasetWriter& writer, Item& item) {
    std::unique_ptr<Recording> recording;
    try {
      recording = item.source.importer->open(item.source.path, options_.import);
    } catch (const Error& error) {
      leave_out(item, error.what());
      return;
    }
    if (!difference(features_, recording->info().features).empty()) {
      leave_out(item, "the recording was changed while it was read");
      return;
    }
    WorkerThreads& threads = recording->frames_in_any_order() ? many_threads_ : one_thread_;
    while (auto episode = recording->next()) {
      episode->task = options_.task;
      std::erase_if(episode->columns, [&](const auto& column) { return !wanted(column.first); });
      std::erase_if(episode->texts, [&](const auto& text) { return !wanted(text.first); });
      add_episode(writer, item, *episode, threads);
    }
    if (item.report.episodes == 0) leave_out(item, "no episode of it can be used");
  }

  /// A frame that cannot be used cuts the episode in two: rows are never joined across it, as that
  /// would invent time.
  void add_episode(DatasetWriter& writer, Item& item, const EpisodeData& episode,
                   WorkerThreads& threads) {
    std::vector<std::pair<int64_t, int64_t>> parts = {{0, episode.length}};  // the next one is last
    while (!parts.empty()) {
      const auto [begin, end] = parts.back();
      parts.pop_back();
      const int64_t bad = add_part(writer, item, part_of(episode, begin, end), threads);
      if (bad < 0) continue;
      if (begin + bad + 1 < end) parts.emplace_back(begin + bad + 1, end);
      if (bad > 0) parts.emplace_back(begin, begin + bad);
    }
  }

  /// Returns the row whose frame cannot be used, or -1.
  int64_t add_part(DatasetWriter& writer, Item& item, EpisodeData part, WorkerThreads& threads) {
    stop_if_asked();
    FramesAhead frames(threads, part.frame, part.length);
    int64_t bad = -1, seen = 0;
    bool stopped = false;
    std::string why;
    const int64_t cameras = std::max<int64_t>(
        1, std::count_if(features_.begin(), features_.end(), [](auto& f) { return f.video(); }));
    part.frame = [&](const std::string& camera, int64_t i) -> Image {
      try {
        stop_if_asked();
        Image image = frames.next(camera);
        report_progress(done_frames_ + ++seen / cameras);
        return image;
      } catch (const Interrupted&) {
        stopped = true;
        throw Error({.what = "interrupted", .where = item.source.path, .fix = "run it again"});
      } catch (const Error& error) {
        bad = i;
        why = error.what();
        throw;
      }
    };
    try {
      writer.add(part);
    } catch (const Error& error) {
      if (stopped) throw Interrupted{};
      if (bad >= 0) {
        skip(item, "the image cannot be used", why);
        return bad;
      }
      if (error.kind() != ErrorKind::input) throw;
      skip(item, "an episode cannot be written", error.what());
      return -1;
    }
    done_frames_ += part.length;
    report_progress(done_frames_);
    ++item.report.episodes;
    item.report.frames += part.length;
    ++summary_.added_episodes;
    summary_.added_frames += part.length;
    return -1;
  }

  void report_progress(int64_t frames) const {
    if (options_.progress) options_.progress(frames, total_frames_);
  }

  Path folder_;
  const IngestOptions& options_;
  std::vector<Item> items_;
  std::unique_ptr<Dataset> existing_;
  std::vector<Feature> features_;
  int64_t total_frames_ = 0, done_frames_ = 0, skipped_as_known_ = 0;
  WorkerThreads many_threads_{thread_count()}, one_thread_{1};
  IngestSummary summary_;
};

}  // namespace

IngestSummary ingest(std::span<const Path> sources, const Path& folder,
                     const IngestOptions& options) {
  const auto require = [](bool holds, const std::string& what, const std::string& where) {
    if (!holds) throw Error({.what = what, .where = where, .fix = "see argosy ingest --help"});
  };
  require(options.import.gap_s > 0 && options.import.gap_s < 1e9,
          fmt::format("{} s is no pause", options.import.gap_s), "--gap");
  require(options.fps >= 0 && options.fps <= 1000, fmt::format("{} is not in 1..1000", options.fps),
          "--fps");
  require(!options.task.empty(), "the task is empty", "--task");
  require(!sources.empty(), "no recording is given", "ingest");
  return Job(folder, options).run(sources);
}

}  // namespace argosy::data
