#include "query/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "data/dataset_files.h"
#include "data/frame_columns.h"
#include "data/split.h"

namespace argosy::query {
namespace {

/// read_parquet() takes a path as a pattern; a sign in brackets stands for itself.
Path pattern(const Path& path) {
  std::string result;
  for (const char c : path.string())
    result += c == '*' || c == '?' || c == '[' ? fmt::format("[{}]", c) : std::string(1, c);
  return result;
}

std::vector<Path> data_files(const data::Dataset& dataset) {
  return data::parquet_files(
      std::filesystem::absolute(dataset.folder() / "data").lexically_normal());
}

/// "feature"[row][column] of the feature's nested lists.
std::string element_of(const data::Feature& feature, int64_t element, bool list) {
  std::string indices;
  if (list)
    for (size_t axis = feature.shape.size(); axis-- > 0; element /= feature.shape[axis])
      indices = fmt::format("[{}]", element % feature.shape[axis] + 1) + indices;
  return quoted_name(feature.name) + indices;
}

void create_frames(Database& database, const data::Dataset& dataset, std::span<const Path> files) {
  std::vector<std::string> patterns, tasks;
  for (const Path& file : files) patterns.push_back(quoted_text(pattern(file).string()));
  for (const std::string& task : dataset.tasks()) tasks.push_back(quoted_text(task));
  const std::string rows = fmt::format("read_parquet([{}])", fmt::join(patterns, ", "));
  std::map<std::string, ColumnKind> stored;
  for (const Column& column : database.columns_of("SELECT * FROM " + rows))
    stored[column.name] = column.kind;
  std::vector<std::string> columns = {
      "episode_index", "frame_index", "timestamp",
      fmt::format("([{}])[task_index + 1] AS task", fmt::join(tasks, ", ")), "\"index\""};
  for (const data::FrameColumn& column : data::frame_columns(dataset)) {
    const data::Feature& feature = dataset.feature(column.feature);
    std::string value = quoted_name(feature.name);
    if (column.element >= 0) {
      value = element_of(feature, column.element, stored[feature.name] == ColumnKind::list);
      if (feature.dtype.starts_with("float"))
        value = fmt::format("CASE WHEN NOT isnan({0}) THEN {0} END", value);
    }
    columns.push_back(fmt::format("{} AS {}", value, quoted_name(column.name)));
  }
  database.execute(
      fmt::format("CREATE VIEW frames AS SELECT {} FROM {}", fmt::join(columns, ", "), rows));
}

void create_episodes(Database& database, const data::Dataset& dataset, double holdout_share) {
  database.execute(
      "CREATE TABLE episodes(episode_index BIGINT, length BIGINT, duration_s DOUBLE, task VARCHAR, "
      "source VARCHAR, split VARCHAR, first_row BIGINT, provenance VARCHAR)");
  const data::Split split = data::split_episodes(dataset.episodes(), holdout_share);
  const auto known = [](const std::string& text) {
    return text.empty() ? Database::Cell() : Database::Cell(text);
  };
  std::vector<std::vector<Database::Cell>> rows;
  for (const data::Episode& episode : dataset.episodes()) {
    const bool held_out =
        std::binary_search(split.held_out.begin(), split.held_out.end(), episode.index);
    rows.push_back(
        {episode.index, episode.length(), static_cast<double>(episode.length()) / dataset.fps(),
         fmt::format("{}", fmt::join(episode.tasks, "; ")), known(episode.source),
         std::string(held_out ? "held out" : "training"), episode.from, known(episode.provenance)});
  }
  database.append("episodes", rows);
}

}  // namespace

DatasetQuery::DatasetQuery(const data::Dataset& dataset, double holdout_share) {
  std::vector<Path> files = data_files(dataset);
  create_frames(database_, dataset, files);
  create_episodes(database_, dataset, holdout_share);
  for (size_t i = 0, n = files.size(); i < n; ++i) files.push_back(pattern(files[i]));
  database_.confine(files, std::array<std::string, 2>{"frames", "episodes"});
}

}  // namespace argosy::query
