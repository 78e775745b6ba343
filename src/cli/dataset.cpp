#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/table.h"
#include "data/check.h"
#include "data/dataset.h"
#include "data/statistics.h"
#include "data/video.h"

namespace argosy::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using data::Dataset;
using data::Feature;

std::string bytes_text(double bytes) {
  for (const char* unit : {"B", "kB", "MB", "GB"}) {
    if (bytes < 1000)
      return fmt::format("{:.{}f} {}", bytes, bytes < 10 && *unit != 'B' ? 1 : 0, unit);
    bytes /= 1000;
  }
  return fmt::format("{:.1f} TB", bytes);
}

int64_t bytes_below(const Path& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error))
    if (entry.is_regular_file(error)) bytes += static_cast<int64_t>(entry.file_size(error));
  return bytes;
}

std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

Json camera_json(const Dataset& set, const std::string& name) {
  std::map<Path, int64_t> files;
  for (const data::Episode& episode : set.episodes())
    files[episode.videos.at(name).file] += episode.length();
  Json camera{{"name", name}};
  int64_t bytes = 0;
  for (const auto& [file, frames] : files) {
    std::error_code error;
    bytes += static_cast<int64_t>(fs::file_size(file, error));
  }
  if (!files.empty()) {
    const data::VideoReader video(files.begin()->first);
    camera["codec"] = video.codec();
    camera["height"] = video.height();
    camera["width"] = video.width();
    camera["gop"] = video.group_end(0);
  }
  camera["frames"] = set.frames();
  camera["files"] = files.size();
  camera["bytes"] = bytes;
  return camera;
}

Json feature_json(const Dataset& set, const Feature& feature) {
  Json json{{"name", feature.name},
            {"dtype", feature.dtype},
            {"shape", feature.shape},
            {"names", feature.names},
            {"units", feature.units}};
  if (!feature.numeric()) return json;
  const int64_t width = feature.width();
  const data::Statistics s = data::column_statistics(set.column_f64(feature.name), width);
  std::vector<int64_t> missing;
  for (const int64_t present : s.present) missing.push_back(set.frames() - present);
  json["statistics"] = {{"min", s.min},
                        {"max", s.max},
                        {"mean", s.mean},
                        {"std", s.std},
                        {"median", s.quantiles[2]},
                        {"missing", missing}};
  return json;
}

Json describe(const Dataset& set) {
  const double seconds = static_cast<double>(set.frames()) / set.fps();
  Json json{{"folder", set.folder().string()},
            {"robot_type", set.robot_type()},
            {"episodes", set.episodes().size()},
            {"frames", set.frames()},
            {"fps", set.fps()},
            {"hours", seconds / 3600},
            {"bytes", bytes_below(set.folder())},
            {"tasks", std::vector<std::string>(set.tasks().begin(), set.tasks().end())}};
  json["cameras"] = Json::array();
  for (const std::string& camera : set.cameras())
    json["cameras"].push_back(camera_json(set, camera));
  json["columns"] = Json::array();
  for (const Feature& feature : set.features())
    if (!feature.video()) json["columns"].push_back(feature_json(set, feature));
  json["episode_list"] = Json::array();
  std::map<std::string, std::pair<int64_t, int64_t>> sources;
  for (const data::Episode& e : set.episodes()) {
    json["episode_list"].push_back({{"index", e.index},
                                    {"from", e.from},
                                    {"to", e.to},
                                    {"tasks", e.tasks},
                                    {"source", e.source}});
    auto& [episodes, frames] = sources[e.source];
    ++episodes;
    frames += e.length();
  }
  json["sources"] = Json::array();
  for (const auto& [source, counts] : sources)
    json["sources"].push_back(
        {{"source", source}, {"episodes", counts.first}, {"frames", counts.second}});
  return json;
}

void print_columns(const Json& json) {
  std::vector<std::vector<std::string>> rows = {
      {"column", "type", "unit", "min", "mean", "median", "max", "std", "missing"}};
  for (const Json& column : json["columns"]) {
    const auto width = column.contains("statistics") ? column["statistics"]["min"].size() : 0;
    const std::string type =
        column["dtype"].get<std::string>() +
        (width > 1
             ? fmt::format(" [{}]", fmt::join(column["shape"].get<std::vector<int64_t>>(), ", "))
             : "");
    if (width != 1) rows.push_back({column["name"], type});
    for (size_t i = 0; i < std::min(width, kMostRows); ++i) {
      const auto& s = column["statistics"];
      const std::string element =
          !column["names"].empty() ? column["names"][i].get<std::string>() : fmt::format("{}", i);
      const std::string unit = column["units"].empty() ? "" : column["units"][i].get<std::string>();
      std::vector<std::string> row = {
          width == 1 ? column["name"].get<std::string>() : "  " + element, width == 1 ? type : "",
          unit};
      for (const char* key : {"min", "mean", "median", "max", "std"})
        row.push_back(fmt::format("{:.4g}", s[key][i].get<double>()));
      row.push_back(s["missing"][i].get<int64_t>() == 0
                        ? ""
                        : fmt::format("{}", s["missing"][i].get<int64_t>()));
      rows.push_back(row);
    }
    if (width > kMostRows)
      rows.push_back({fmt::format("  and {} more (--json - lists them)", width - kMostRows)});
  }
  print_table(rows, 3);
}

void print_info(const Json& json) {
  const auto number = [&](const char* key) { return json[key].get<int64_t>(); };
  std::vector<std::vector<std::string>> head = {{"data set", json["folder"]}};
  if (const std::string robot = json["robot_type"]; !robot.empty())
    head.push_back({"robot", robot});
  head.push_back({"episodes", fmt::format("{}", number("episodes"))});
  head.push_back(
      {"frames", fmt::format("{}, {} at {} frames/s", number("frames"),
                             duration_text(json["hours"].get<double>() * 3600), number("fps"))});
  head.push_back({"on disk", bytes_text(static_cast<double>(number("bytes")))});
  for (size_t i = 0; i < std::min(kMostRows, json["tasks"].size()); ++i)
    head.push_back({i ? "" : "tasks", json["tasks"][i]});
  print_table(head, 2);
  if (!json["cameras"].empty()) {
    fmt::print("\n");
    std::vector<std::vector<std::string>> rows = {
        {"camera", "codec", "pixels", "key frame every", "files", "on disk"}};
    for (const Json& c : json["cameras"])
      if (c.contains("codec"))
        rows.push_back({c["name"], c["codec"],
                        fmt::format("{} x {}", c["width"].get<int>(), c["height"].get<int>()),
                        fmt::format("{}", c["gop"].get<int64_t>()),
                        fmt::format("{}", c["files"].get<int64_t>()),
                        bytes_text(c["bytes"].get<double>())});
    print_table(rows, 2);
  }
  fmt::print("\n");
  print_columns(json);
  if (json["sources"].size() > 1 ||
      (json["sources"].size() == 1 && json["sources"][0]["source"] != "")) {
    fmt::print("\n");
    std::vector<std::vector<std::string>> rows = {{"source", "episodes", "frames"}};
    for (size_t i = 0; i < std::min(kMostRows, json["sources"].size()); ++i) {
      const Json& s = json["sources"][i];
      rows.push_back({s["source"] == "" ? "(not told)" : s["source"],
                      fmt::format("{}", s["episodes"].get<int64_t>()),
                      fmt::format("{}", s["frames"].get<int64_t>())});
    }
    print_table(rows, 1);
  }
}

struct Options {
  std::string folder, json;
};

int info(const Options& options) {
  const Json json = describe(Dataset::open(options.folder));
  if (!on_standard_output(options.json)) print_info(json);
  if (!options.json.empty()) write_json(options.json, text_of(json));
  return 0;
}

int check(const Options& options) {
  std::vector<std::string> defects;
  int64_t frames = 0;
  {
    std::unique_ptr<Progress> progress;
    defects = data::check_dataset(options.folder, [&](int64_t done, int64_t total) {
      if (!progress) progress = std::make_unique<Progress>("check", "frames", total);
      progress->update(frames = done);
    });
  }
  if (!on_standard_output(options.json)) {
    for (const std::string& defect : defects) fmt::print("{}\n", defect);
    if (defects.empty())
      fmt::print("{}: whole; {} video frames decoded\n", options.folder, frames);
    else
      fmt::print("{}: {} defect{}\n", options.folder, defects.size(),
                 defects.size() == 1 ? "" : "s");
  }
  if (!options.json.empty())
    write_json(
        options.json,
        text_of({{"folder", options.folder}, {"video_frames", frames}, {"defects", defects}}));
  return defects.empty() ? 0 : static_cast<int>(ErrorKind::file);
}

/// One row with everything that belongs to it; a camera's frame as its mean colour.
Json row_json(const Dataset& set, int64_t row) {
  const data::Episode& episode = set.episode_of(row);
  const auto task = static_cast<size_t>(set.column("task_index")[static_cast<size_t>(row)]);
  Json json{{"row", row},
            {"episode", episode.index},
            {"frame", row - episode.from},
            {"task", set.tasks()[task]},
            {"source", episode.source}};
  json["values"] = Json::object();
  for (const Feature& feature : set.features()) {
    if (feature.dtype == "string")
      json["values"][feature.name] = set.texts(feature.name)[static_cast<size_t>(row)];
    if (!feature.numeric()) continue;
    const auto width = static_cast<size_t>(feature.width());
    const auto values =
        set.column_f64(feature.name).subspan(static_cast<size_t>(row) * width, width);
    json["values"][feature.name] = std::vector<double>(values.begin(), values.end());
  }
  json["cameras"] = Json::object();
  for (const auto& [camera, segment] : episode.videos) {
    const int64_t number = segment.first_frame + row - episode.from;
    const data::Image image = data::VideoReader(segment.file).read(number);
    std::array<double, 3> mean{};
    for (size_t i = 0; i < image.pixels.size(); ++i) mean[i % 3] += image.pixels[i];
    for (double& m : mean) m /= static_cast<double>(image.pixels.size()) / 3;
    json["cameras"][camera] = {
        {"file", segment.file.string()}, {"frame", number}, {"mean_rgb", mean}};
  }
  return json;
}

struct RowOptions {
  std::string folder;
  std::vector<std::string> rows;
};

int row(const RowOptions& options) {
  const Dataset set = Dataset::open(options.folder);
  Json json = Json::array();
  for (const std::string& text : options.rows) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size())
      throw Error({.what = fmt::format("\"{}\" is not a row number", text),
                   .where = options.folder,
                   .fix = "give whole numbers"});
    json.push_back(row_json(set, number));
  }
  write_json("-", text_of(json));
  return 0;
}

/// A command that takes a folder and --json.
std::function<int()> on_folder(int (*run)(const Options&), Arguments& arguments) {
  const auto options = std::make_shared<Options>();
  arguments.positional("FOLDER", options->folder, "a data set (LeRobotDataset v3.0)");
  arguments.option("--json", options->json, kJsonHelp);
  return [options, run] { return run(*options); };
}

}  // namespace

std::function<int()> data_info(Arguments& arguments) { return on_folder(info, arguments); }

std::function<int()> data_check(Arguments& arguments) { return on_folder(check, arguments); }

std::function<int()> data_row(Arguments& arguments) {
  const auto options = std::make_shared<RowOptions>();
  arguments.positional("FOLDER", options->folder, "a data set (LeRobotDataset v3.0)");
  arguments.positionals("ROW", options->rows, "row numbers of the whole data set");
  return [options] { return row(*options); };
}

}  // namespace argosy::cli
