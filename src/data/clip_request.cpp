#include "data/clip_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"

namespace argosy::data {
namespace {

constexpr double kTolerance_s = 1e-4;  // LeRobot's default
constexpr int kRowsWithoutVideo = 16;  // samples of a group where no camera says

std::vector<int64_t> rows_of(std::span<const double> deltas_s, int fps, const std::string& where) {
  if (deltas_s.empty())
    throw Error(
        {.what = "no time is asked for", .where = where, .fix = "give at least one, e.g. 0"});
  std::vector<int64_t> rows;
  for (const double delta_s : deltas_s) {
    const double exact = delta_s * fps, whole = std::round(exact);
    if (!(std::abs(exact - whole) <= kTolerance_s * fps) || std::abs(whole) > 1e9)
      throw Error({.what = fmt::format("{} s is no multiple of 1/{} s, the time between two frames",
                                       delta_s, fps),
                   .where = where,
                   .fix = fmt::format("use {:.6f} or {:.6f}", std::floor(exact) / fps + 0.0,
                                      std::ceil(exact) / fps + 0.0)});
    rows.push_back(static_cast<int64_t>(whole));
  }
  return rows;
}

}  // namespace

ClipRequest::ClipRequest(const Dataset& dataset, const LoaderOptions& options, VideoPool& videos)
    : dataset_(dataset), videos_(videos) {
  if (options.cameras.empty() && options.columns.empty())
    throw Error({.what = "neither a camera nor a column is asked for",
                 .where = dataset.folder(),
                 .fix = "name at least one"});
  select_episodes(options);
  for (const CameraRequest& request : options.cameras) add_camera(request);
  for (const ColumnRequest& request : options.columns) add_column(request, options);
  if (options.augmentation.mirror == 0) return;
  for (const std::string& name : options.augmentation.mirror_negates) {
    std::vector<std::string> known;
    for (const ColumnRequest& request : options.columns)
      for (const std::string& element : dataset.feature(request.column).names)
        known.push_back(element);
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw Error(
          {.what = fmt::format("mirror_negates names {}, which no requested column has", name),
           .where = dataset.folder(),
           .fix = fmt::format("choose among: {}", fmt::join(known, ", "))});
  }
}

void ClipRequest::select_episodes(const LoaderOptions& options) {
  const auto all = dataset_.episodes();
  std::set<int64_t> wanted;
  for (const int64_t index : options.episodes) {
    const auto known = [&](const Episode& episode) { return episode.index == index; };
    if (std::none_of(all.begin(), all.end(), known))
      throw Error(
          {.what = fmt::format("there is no episode {}, the data set has {}", index, all.size()),
           .where = dataset_.folder(),
           .fix = "choose among the episodes that it has"});
    if (!wanted.insert(index).second)
      throw Error({.what = fmt::format("episode {} is selected twice", index),
                   .where = dataset_.folder(),
                   .fix = "name it once"});
  }
  first_samples_ = {0};
  for (const Episode& episode : all) {
    if (!wanted.empty() && !wanted.contains(episode.index)) continue;
    if (episode.length() == 0) continue;
    episodes_.push_back(&episode);
    first_samples_.push_back(first_samples_.back() + episode.length());
  }
  if (samples() == 0)
    throw Error({.what = "there is no row to load",
                 .where = dataset_.folder(),
                 .fix = "select episodes that have rows"});
  if (samples() > std::numeric_limits<int32_t>::max())
    throw Error({.what = fmt::format("{} rows are selected, the loader numbers up to {}", samples(),
                                     std::numeric_limits<int32_t>::max()),
                 .where = dataset_.folder(),
                 .fix = "select fewer episodes"});
}

void ClipRequest::add_camera(const CameraRequest& request) {
  const std::string where =
      fmt::format("{}, camera {}", dataset_.folder().string(), request.camera);
  if (!dataset_.feature(request.camera).video())
    throw Error({.what = fmt::format("{} is no video", request.camera),
                 .where = dataset_.folder(),
                 .fix = fmt::format("choose among: {}", fmt::join(dataset_.cameras(), ", "))});
  ClipCamera camera;
  camera.name = request.camera;
  camera.offsets = rows_of(request.deltas_s, dataset_.fps(), where);
  cameras.push_back(camera);
  opened_.emplace_back(episodes_.size());

  // The true size is the video's; info.json may differ.
  const Path& file = episodes_[0]->videos.at(request.camera).file;
  const Video& first = videos_.video(file);
  ClipCamera& c = cameras.back();
  c.source_height = first.height;
  c.source_width = first.width;
  const int left_height = first.height - request.crop_top - request.crop_bottom;
  const int left_width = first.width - request.crop_left - request.crop_right;
  const bool negative = std::min({request.crop_top, request.crop_bottom, request.crop_left,
                                  request.crop_right, request.height, request.width}) < 0;
  if (negative || left_height < 1 || left_width < 1)
    throw Error({.what = fmt::format("the crop leaves {} x {} of {} x {} pixels", left_width,
                                     left_height, first.width, first.height),
                 .where = where,
                 .fix = "cut off less, and no negative amount"});
  if (request.height > 8192 || request.width > 8192)
    throw Error(
        {.what = fmt::format("frames of {} x {} pixels are asked for, the limit is 8192 x 8192",
                             request.width, request.height),
         .where = where,
         .fix = "ask for smaller ones"});
  c.delivery = {.height = request.height > 0 ? request.height : left_height,
                .width = request.width > 0 ? request.width : left_width,
                .top = request.crop_top,
                .bottom = request.crop_bottom,
                .left = request.crop_left,
                .right = request.crop_right};
  c.frame_bytes = int64_t{3} * c.delivery.height * c.delivery.width;
}

void ClipRequest::add_column(const ColumnRequest& request, const LoaderOptions& options) {
  const Feature& feature = dataset_.feature(request.column);
  const std::string where =
      fmt::format("{}, column {}", dataset_.folder().string(), request.column);
  if (!feature.numeric())
    throw Error({.what = fmt::format("{} holds {} and no numbers", request.column, feature.dtype),
                 .where = where,
                 .fix = "ask for a numeric column"});
  ClipColumn column;
  column.values = dataset_.column(request.column);
  column.width = feature.width();
  column.offsets = rows_of(request.deltas_s, dataset_.fps(), where);
  const auto& negated = options.augmentation.mirror_negates;
  for (size_t i = 0; i < feature.names.size(); ++i)
    if (std::find(negated.begin(), negated.end(), feature.names[i]) != negated.end())
      column.mirrored.push_back(static_cast<int64_t>(i));
  columns.push_back(std::move(column));
}

int64_t ClipRequest::frames_per_sample() const {
  int64_t frames = 0;
  for (const ClipCamera& camera : cameras) frames += static_cast<int64_t>(camera.offsets.size());
  return frames;
}

int64_t ClipRequest::row_bytes() const {
  int64_t bytes = 0;
  for (const ClipCamera& camera : cameras) bytes += camera.frame_bytes;
  return bytes;
}

int64_t ClipRequest::sample_bytes() const {
  int64_t bytes = 0;
  for (const ClipCamera& c : cameras)
    bytes += c.frame_bytes * static_cast<int64_t>(c.offsets.size());
  for (const ClipColumn& c : columns)
    bytes += c.width * static_cast<int64_t>(c.offsets.size() * sizeof(float));
  return std::max<int64_t>(1, bytes);
}

ClipRequest::Place ClipRequest::place(int64_t sample) const {
  const auto next = std::upper_bound(first_samples_.begin(), first_samples_.end(), sample);
  const int64_t selected = next - first_samples_.begin() - 1;
  const Episode* episode = episodes_[selected];
  return {episode->from + sample - first_samples_[selected], selected, episode};
}

const Video& ClipRequest::video(size_t camera, int64_t selected) {
  const Video*& known = opened_[camera][selected];
  if (known) return *known;
  const ClipCamera& c = cameras[camera];
  const Episode& episode = *episodes_[selected];
  const VideoSegment& segment = episode.videos.at(c.name);
  const Video& video = videos_.video(segment.file);
  if (segment.first_frame + episode.length() > video.frames)
    throw Error({.what = fmt::format(
                     "the video has {} frames, but episode {} needs frames [{}, {})", video.frames,
                     episode.index, segment.first_frame, segment.first_frame + episode.length()),
                 .where = segment.file,
                 .fix = "copy or record the data set again",
                 .kind = ErrorKind::file});
  if (video.height != c.source_height || video.width != c.source_width)
    throw Error({.what = fmt::format(
                     "its pictures are {} x {} pixels, those of the camera's first video {} x {}",
                     video.width, video.height, c.source_width, c.source_height),
                 .where = segment.file,
                 .fix = "select episodes of one size",
                 .kind = ErrorKind::file});
  known = &video;
  return video;
}

SampleGroups ClipRequest::groups(size_t camera) {
  SampleGroups groups;
  for (size_t selected = 0; selected < episodes_.size(); ++selected) {
    groups.episodes.push_back(static_cast<int32_t>(groups.begins.size()));
    const int64_t first = first_samples_[selected], length = episodes_[selected]->length();
    const auto begin_at = [&](int64_t row) {
      groups.begins.push_back(static_cast<int32_t>(first + row));
    };
    begin_at(0);
    if (camera >= cameras.size()) {
      for (int64_t row = kRowsWithoutVideo; row < length; row += kRowsWithoutVideo) begin_at(row);
      continue;
    }
    const Video& v = video(camera, static_cast<int64_t>(selected));
    const int64_t begin = episodes_[selected]->videos.at(cameras[camera].name).first_frame;
    for (size_t g = v.group_of(begin) + 1; g < v.keys.size() && v.keys[g] < begin + length; ++g)
      begin_at(v.keys[g] - begin);
  }
  groups.episodes.push_back(static_cast<int32_t>(groups.begins.size()));
  groups.begins.push_back(static_cast<int32_t>(samples()));
  return groups;
}

}  // namespace argosy::data
