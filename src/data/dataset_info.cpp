#include "data/dataset_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace argosy::data {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kMost = int64_t{1} << 40;  // of anything counted
constexpr const char* kFix = "correct the value, or copy the data set again";

Error wrong(const Path& file, const std::string& key, std::string what, std::string fix = kFix) {
  return Error({.what = std::move(what),
                .where = fmt::format("{}, key {}", file.string(), key),
                .fix = std::move(fix),
                .kind = ErrorKind::file});
}

std::string brief(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

/// A whole number in [low, high]; a float that is whole counts.
int64_t whole(const Path& file, const std::string& key, const Json& value, int64_t low,
              int64_t high) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (number >= static_cast<double>(low) && number <= static_cast<double>(high) &&
        number == std::floor(number))
      return static_cast<int64_t>(number);
  }
  throw wrong(file, key,
              fmt::format("{} is not a whole number in [{}, {}]", brief(value), low, high));
}

int64_t whole_or(const Path& file, const Json& root, const char* key, int64_t otherwise,
                 int64_t low, int64_t high) {
  return root.contains(key) ? whole(file, key, root[key], low, high) : otherwise;
}

std::string text_or(const Path& file, const Json& root, const char* key, const char* otherwise) {
  if (!root.contains(key) || root[key].is_null()) return otherwise;
  if (!root[key].is_string())
    throw wrong(file, key, fmt::format("{} is not text", brief(root[key])));
  return root[key].get<std::string>();
}

/// All texts in a list, a list of lists, or an object of lists, in order.
void flatten_texts(const Json& value, std::vector<std::string>& to, int depth = 0) {
  if (value.is_string()) to.push_back(value.get<std::string>());
  if (value.is_structured() && depth < 4)
    for (const auto& item : value) flatten_texts(item, to, depth + 1);
}

std::vector<std::string> texts_of_width(const Json& object, const char* key, int64_t width) {
  std::vector<std::string> texts;
  if (object.contains(key)) flatten_texts(object[key], texts);
  if (static_cast<int64_t>(texts.size()) != width) texts.clear();
  return texts;
}

/// [H, W, C] of a camera, whose axes are told apart by their names.
std::vector<int64_t> camera_shape(const Json& object, const std::vector<int64_t>& shape) {
  std::vector<std::string> names;
  if (object.contains("names")) flatten_texts(object["names"], names);
  if (shape.size() != 3) return {0, 0, 3};
  const bool channels_first =
      names.size() == 3 ? names[0].starts_with("channel") : shape[0] <= 4 && shape[2] > 4;
  return channels_first ? std::vector<int64_t>{shape[1], shape[2], shape[0]} : shape;
}

Feature parse_feature(const Path& file, const std::string& name, const Json& object) {
  const std::string key = "features." + name;
  if (name.empty() || name.size() > 500 || name.find('/') != std::string::npos || name[0] == '.' ||
      name.find('\0') != std::string::npos)
    throw wrong(file, key,
                "the name of a feature cannot be empty, begin with a dot or contain a slash");
  if (!object.is_object())
    throw wrong(file, key, fmt::format("{} is not an object", brief(object)));
  if (!object.contains("dtype") || !object["dtype"].is_string())
    throw wrong(file, key, "\"dtype\" is missing or not text");
  static const std::vector<std::string> known = {
      "float16", "float32", "float64", "int8", "int16",  "int32", "int64", "uint8",
      "uint16",  "uint32",  "uint64",  "bool", "string", "image", "video", "language"};
  Feature feature{.name = name, .dtype = object["dtype"].get<std::string>()};
  if (std::find(known.begin(), known.end(), feature.dtype) == known.end())
    throw wrong(file, key, fmt::format("the dtype \"{}\" is not known", feature.dtype),
                fmt::format("use one of {}", fmt::join(known, ", ")));
  if (feature.dtype == "language") return feature;
  if (!object.contains("shape") || !object["shape"].is_array() || object["shape"].empty() ||
      object["shape"].size() > 5) {
    if (!feature.video())
      throw wrong(file, key, "\"shape\" is missing or not a list of 1 to 5 sizes");
  } else {
    int64_t width = 1;
    for (const auto& size : object["shape"]) {
      feature.shape.push_back(whole(file, key + ".shape", size, 1, 1 << 24));
      if ((width *= feature.shape.back()) > (int64_t{1} << 28))
        throw wrong(file, key + ".shape",
                    fmt::format("{} has too many elements", brief(object["shape"])));
    }
  }
  if (feature.video()) {
    feature.shape = camera_shape(object, feature.shape);
    return feature;
  }
  feature.names = texts_of_width(object, "names", feature.width());
  feature.units = texts_of_width(object, "units", feature.width());
  return feature;
}

Json feature_json(const Feature& feature) {
  Json object{{"dtype", feature.dtype}, {"shape", feature.shape}};
  if (feature.video())
    object["names"] = {"height", "width", "channels"};
  else
    object["names"] = feature.names.empty() ? Json(nullptr) : Json(feature.names);
  if (!feature.units.empty()) object["units"] = feature.units;
  return object;
}

}  // namespace

int64_t Feature::width() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

std::vector<Feature> index_features() {
  std::vector<Feature> features = {{.name = "timestamp", .dtype = "float32", .shape = {1}}};
  for (const char* name : {"frame_index", "episode_index", "index", "task_index"})
    features.push_back({.name = name, .dtype = "int64", .shape = {1}});
  return features;
}

bool is_index_feature(const std::string& name) {
  return name == "timestamp" || name == "frame_index" || name == "episode_index" ||
         name == "index" || name == "task_index";
}

DatasetInfo parse_info(const std::string& text, const Path& file) {
  Json root;
  try {
    root = Json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error({.what = fmt::format("not valid JSON: {}", error.what()),
                 .where = file,
                 .fix = "the file is damaged; copy the data set again",
                 .kind = ErrorKind::file});
  }
  if (!root.is_object()) throw wrong(file, "(root)", "the file does not hold an object");
  const std::string version = text_or(file, root, "codebase_version", "");
  if (!version.starts_with("v3."))
    throw wrong(file, "codebase_version",
                fmt::format("\"{}\" is not version 3 of the LeRobot format", version),
                "turn it into a version 3 data set with `argosy ingest`");
  DatasetInfo info;
  if (!root.contains("fps")) throw wrong(file, "fps", "it is missing");
  info.fps = static_cast<int>(whole(file, "fps", root["fps"], 1, 100000));
  info.robot_type = text_or(file, root, "robot_type", "");
  info.episodes = whole_or(file, root, "total_episodes", 0, 0, kMost);
  info.frames = whole_or(file, root, "total_frames", 0, 0, kMost);
  info.tasks = whole_or(file, root, "total_tasks", 0, 0, kMost);
  info.chunks_size = whole_or(file, root, "chunks_size", 1000, 1, kMost);
  info.data_path = text_or(file, root, "data_path", kDataPath);
  info.video_path = text_or(file, root, "video_path", kVideoPath);
  if (!root.contains("features") || !root["features"].is_object())
    throw wrong(file, "features", "it is missing or not an object");
  if (root["features"].size() > 10000)
    throw wrong(file, "features", fmt::format("there are {}", root["features"].size()));
  for (const auto& [name, object] : root["features"].items()) {
    Feature feature = parse_feature(file, name, object);
    if (feature.dtype != "language") info.features.push_back(std::move(feature));
  }
  for (const Feature& needed : index_features()) {
    const auto found = std::find_if(info.features.begin(), info.features.end(),
                                    [&](const Feature& f) { return f.name == needed.name; });
    if (found == info.features.end() || found->width() != 1 || !found->numeric())
      throw wrong(file, "features." + needed.name, "it is missing or not one number per row");
  }
  return info;
}

std::string new_info(int fps, const std::string& robot_type, std::span<const Feature> features,
                     std::span<const VideoFacts> videos, int64_t data_mb, int64_t video_mb) {
  Json listed = Json::object();
  for (const Feature& feature : features) {
    listed[feature.name] = feature_json(feature);
    for (const VideoFacts& video : videos)
      if (video.camera == feature.name)
        listed[feature.name]["info"] = {{"video.height", video.height},
                                        {"video.width", video.width},
                                        {"video.codec", video.codec},
                                        {"video.pix_fmt", "yuv420p"},
                                        {"video.fps", fps},
                                        {"video.channels", 3},
                                        {"has_audio", false},
                                        {"is_depth_map", false},
                                        {"video.g", video.gop},
                                        {"video.crf", video.quality}};
  }
  for (const Feature& feature : index_features()) listed[feature.name] = feature_json(feature);
  const Json root{{"codebase_version", "v3.0"},
                  {"fps", fps},
                  {"features", listed},
                  {"total_episodes", 0},
                  {"total_frames", 0},
                  {"total_tasks", 0},
                  {"chunks_size", 1000},
                  {"data_files_size_in_mb", data_mb},
                  {"video_files_size_in_mb", video_mb},
                  {"data_path", kDataPath},
                  {"video_path", videos.empty() ? Json(nullptr) : Json(kVideoPath)},
                  {"robot_type", robot_type.empty() ? Json(nullptr) : Json(robot_type)},
                  {"splits", Json::object()}};
  return root.dump(4, ' ', false, Json::error_handler_t::replace);
}

std::string info_with_totals(const std::string& text, int64_t episodes, int64_t frames,
                             int64_t tasks) {
  Json root = Json::parse(text);
  root["total_episodes"] = episodes;
  root["total_frames"] = frames;
  root["total_tasks"] = tasks;
  root["splits"] = {{"train", fmt::format("0:{}", episodes)}};
  return root.dump(4, ' ', false, Json::error_handler_t::replace);
}

Path expand_path(const std::string& pattern, const std::string& video_key, int64_t chunk,
                 int64_t file, const Path& info_file) {
  std::string result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '{') {
      result += pattern[i];
      continue;
    }
    const size_t end = pattern.find('}', i);
    const std::string field = end == std::string::npos ? "" : pattern.substr(i + 1, end - i - 1);
    if (field == "video_key")
      result += video_key;
    else if (field == "chunk_index:03d")
      result += fmt::format("{:03}", chunk);
    else if (field == "file_index:03d")
      result += fmt::format("{:03}", file);
    else
      throw wrong(info_file, "data_path, video_path",
                  fmt::format("\"{}\" is not a known path pattern", pattern),
                  fmt::format("use \"{}\" and \"{}\"", kDataPath, kVideoPath));
    i = end;
  }
  const Path path(result);
  for (const Path& part : path)
    if (part == "..")
      throw wrong(info_file, "data_path, video_path",
                  fmt::format("\"{}\" leads out of the data set", result));
  if (path.is_absolute())
    throw wrong(info_file, "data_path, video_path",
                fmt::format("\"{}\" leads out of the data set", result));
  return path;
}

}  // namespace argosy::data
