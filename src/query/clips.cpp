#include "query/clips.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "data/dataset_info.h"
#include "data/dataset_writer.h"
#include "data/video.h"

namespace argosy::query {
namespace {

constexpr int kQuality = 18;  // frames are encoded a second time: little may be lost

int64_t frames_in(double seconds, int fps, const char* flag) {
  if (!(seconds >= 0 && seconds <= 86400))
    throw Error({.what = fmt::format("{} s is not in 0..86400", seconds),
                 .where = flag,
                 .fix = "give seconds in that range"});
  return std::llround(seconds * fps);
}

/// How the first video is compressed.
data::VideoOptions video_options(const data::Dataset& dataset) {
  data::VideoOptions options{.quality = kQuality};
  if (dataset.cameras().empty()) return options;
  const data::VideoReader video(
      dataset.episodes().front().videos.at(dataset.cameras().front()).file);
  options.gop = static_cast<int>(std::clamp<int64_t>(video.group_end(0), 1, 10000));
  if (video.codec() == "hevc" || video.codec() == "av1")
    options.codec = video.codec();
  else if (video.codec() != "h264")
    log::warning("{} video becomes h264", video.codec());
  return options;
}

/// Frames of a data set's videos, read forwards.
class Films {
 public:
  data::Image frame(const data::VideoSegment& segment, int64_t i) {
    auto found = open_.find(segment.file);
    if (found == open_.end())
      found = open_.emplace(segment.file, data::VideoReader(segment.file)).first;
    return found->second.read(segment.first_frame + i);
  }
  void close() { open_.clear(); }

 private:
  std::map<Path, data::VideoReader> open_;
};

class Interrupted {};

class Writer {
 public:
  Writer(const data::Dataset& dataset, const Path& folder, const ClipsOptions& options)
      : dataset_(dataset), options_(options), writer_(folder, dataset_options(dataset)) {}

  void add(const Clip& clip, int64_t total) {
    const data::Episode& whole = dataset_.episodes()[static_cast<size_t>(clip.episode)];
    data::EpisodeData episode;
    episode.length = clip.to - clip.from;
    const auto task = static_cast<size_t>(
        dataset_.column_f64("task_index")[static_cast<size_t>(whole.from + clip.from)]);
    episode.task = dataset_.tasks()[task];
    episode.source = whole.source;
    episode.provenance = provenance(clip);
    const auto begin = whole.from + clip.from, end = whole.from + clip.to;
    for (const data::Feature& feature : dataset_.features()) {
      if (data::is_index_feature(feature.name)) continue;
      if (feature.dtype == "string") {
        const auto& texts = texts_of(feature.name);
        episode.texts[feature.name].assign(texts.begin() + begin, texts.begin() + end);
      }
      if (!feature.numeric()) continue;
      const auto values = dataset_.column_f64(feature.name);
      const int64_t width = feature.width();
      episode.columns[feature.name].assign(values.begin() + begin * width,
                                           values.begin() + end * width);
    }
    episode.frame = [&](const std::string& camera, int64_t i) {
      if (options_.stop && *options_.stop) throw Interrupted{};
      data::Image image = films_.frame(whole.videos.at(camera), clip.from + i);
      if (options_.progress && camera == dataset_.cameras().back())
        options_.progress(++done_, total);
      return image;
    };
    writer_.add(episode);
    films_.close();
  }

  void commit() { writer_.commit(); }

 private:
  static data::DatasetOptions dataset_options(const data::Dataset& dataset) {
    data::DatasetOptions options{.fps = dataset.fps(), .robot_type = dataset.robot_type()};
    for (const data::Feature& feature : dataset.features())
      if (!data::is_index_feature(feature.name)) options.features.push_back(feature);
    options.video = video_options(dataset);
    return options;
  }

  std::string provenance(const Clip& clip) const {
    const nlohmann::ordered_json json = {
        {"dataset", std::filesystem::absolute(dataset_.folder()).lexically_normal().string()},
        {"episode", clip.episode},
        {"from", clip.from},
        {"to", clip.to},
        {"sql", options_.sql}};
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  const std::vector<std::string>& texts_of(const std::string& feature) {
    auto found = texts_.find(feature);
    if (found == texts_.end()) found = texts_.emplace(feature, dataset_.texts(feature)).first;
    return found->second;
  }

  const data::Dataset& dataset_;
  const ClipsOptions& options_;
  data::DatasetWriter writer_;
  Films films_;
  std::map<std::string, std::vector<std::string>> texts_;
  int64_t done_ = 0;
};

}  // namespace

ClipCollector::ClipCollector(const data::Dataset& dataset, double before_s, double after_s)
    : dataset_(dataset),
      before_(frames_in(before_s, dataset.fps(), "--before")),
      after_(frames_in(after_s, dataset.fps(), "--after")),
      changes_(static_cast<size_t>(dataset.frames()) + dataset.episodes().size()) {}

void ClipCollector::begin(std::span<const Column> columns) {
  const auto find = [&](const char* name) {
    return static_cast<size_t>(std::find_if(columns.begin(), columns.end(),
                                            [&](const Column& c) { return c.name == name; }) -
                               columns.begin());
  };
  episode_column_ = find("episode_index");
  frame_column_ = find("frame_index");
  if (episode_column_ == columns.size())
    throw Error({.what = "the result has no column episode_index, so it names no episodes",
                 .where = "the SQL",
                 .fix = "SELECT episode_index, frame_index for clips around frames, or "
                        "episode_index alone for whole episodes"});
  whole_episodes_ = frame_column_ == columns.size();
}

int64_t ClipCollector::number(const Row& row, size_t column, const char* name, int64_t end) const {
  int64_t value = -1;
  const std::string text = row[column].value_or("NULL");
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || rest != text.data() + text.size() || value < 0 || value >= end)
    throw Error({.what = fmt::format("{} is {}, and the range is 0 to {}", name, text, end - 1),
                 .where = "the query's result",
                 .fix = "select the views' own episode_index and frame_index"});
  return value;
}

void ClipCollector::add(const Row& row) {
  const auto episodes = dataset_.episodes();
  const auto index =
      number(row, episode_column_, "episode_index", static_cast<int64_t>(episodes.size()));
  const data::Episode& episode = episodes[static_cast<size_t>(index)];
  int64_t from = 0, to = episode.length();
  if (!whole_episodes_) {
    const int64_t frame = number(row, frame_column_, "frame_index", episode.length());
    from = std::max<int64_t>(0, frame - before_);
    to = std::min(episode.length(), frame + 1 + after_);
  }
  ++changes_[static_cast<size_t>(episode.from + index + from)];
  --changes_[static_cast<size_t>(episode.from + index + to)];
}

std::vector<Clip> ClipCollector::clips() const {
  std::vector<Clip> found;
  for (const data::Episode& episode : dataset_.episodes()) {
    int64_t inside = 0;
    for (int64_t i = 0; i <= episode.length(); ++i) {
      const bool before = inside > 0;
      inside += changes_[static_cast<size_t>(episode.from + episode.index + i)];
      if (!before && inside > 0) found.push_back({episode.index, i, i});
      if (before && inside == 0) found.back().to = i;
    }
  }
  return found;
}

bool write_clips(const data::Dataset& dataset, std::span<const Clip> clips, const Path& folder,
                 const ClipsOptions& options) {
  std::error_code ignored;
  if (std::filesystem::exists(folder, ignored) && !std::filesystem::is_empty(folder, ignored))
    throw Error({.what = "it exists already, and clips go into a new data set",
                 .where = folder,
                 .fix = "give another folder, or remove this one"});
  if (clips.empty())
    throw Error({.what = "the query names no frame, so there is nothing to write",
                 .where = "the SQL",
                 .fix = "widen its condition"});
  int64_t total = 0;
  for (const Clip& clip : clips) total += clip.to - clip.from;
  try {
    Writer writer(dataset, folder, options);
    for (const Clip& clip : clips) writer.add(clip, total);
    writer.commit();
    return true;
  } catch (const Interrupted&) {
    return false;
  }
}

}  // namespace argosy::query
