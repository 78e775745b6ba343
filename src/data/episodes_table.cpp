#include "data/episodes_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace argosy::data {
namespace {

constexpr std::array<const char*, 10> kStatistics = {"min", "max", "mean", "std", "count",
                                                     "q01", "q10", "q50",  "q90", "q99"};

const std::vector<double>& statistic(const Statistics& s, size_t which,
                                     std::vector<double>& count) {
  switch (which) {
    case 0:
      return s.min;
    case 1:
      return s.max;
    case 2:
      return s.mean;
    case 3:
      return s.std;
    case 4:
      count = {static_cast<double>(s.count)};
      return count;
    default:
      return s.quantiles[which - 5];
  }
}

}  // namespace

EpisodesTable::EpisodesTable(std::span<const Feature> features) {
  const auto integers = [&](const std::string& name) {
    columns_.push_back({.name = name, .type = "int64"});
  };
  integers("episode_index");
  columns_.push_back({.name = "tasks", .type = "strings"});
  for (const char* name :
       {"length", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index"})
    integers(name);
  for (const Feature& feature : features) {
    if (!feature.video()) continue;
    const std::string prefix = "videos/" + feature.name + "/";
    integers(prefix + "chunk_index");
    integers(prefix + "file_index");
    for (const char* name : {"from_timestamp", "to_timestamp"})
      columns_.push_back({.name = prefix + name, .type = "float64"});
  }
  for (const Feature& feature : features) {
    if (!feature.video() && !feature.numeric()) continue;
    for (const std::string name : kStatistics) {
      const bool count = name == "count";
      std::vector<int64_t> shape = {count ? 1 : feature.shape.back()};
      if (feature.video() && !count) shape = {3, 1, 1};
      columns_.push_back({.name = fmt::format("stats/{}/{}", feature.name, name),
                          .type = count ? "int64" : "float64",
                          .shape = shape,
                          .lists_of_one = true});
    }
  }
  integers("meta/episodes/chunk_index");
  integers("meta/episodes/file_index");
  for (const char* name : {"source", "provenance"})
    columns_.push_back({.name = name, .type = "string"});
}

void EpisodesTable::load(std::span<const Path> files) {
  for (const Path& path : files) {
    const ParquetReader table(path);
    std::erase_if(columns_, [&](const ParquetColumn& c) {
      return c.name.starts_with("stats/") && !table.has(c.name);
    });
  }
  for (const Path& path : files) {
    const ParquetReader table(path);
    const auto rows = static_cast<size_t>(table.rows());
    for (ParquetColumn& column : columns_) {
      if (column.type == "string") {
        auto texts =
            table.has(column.name) ? table.texts(column.name) : std::vector<std::string>(rows);
        column.texts.insert(column.texts.end(), texts.begin(), texts.end());
      } else if (column.type == "strings") {
        auto lists = table.has(column.name) ? table.text_lists(column.name)
                                            : std::vector<std::vector<std::string>>(rows);
        column.text_lists.insert(column.text_lists.end(), lists.begin(), lists.end());
      } else if (column.name.starts_with("meta/")) {
        column.numbers.resize(column.numbers.size() + rows, 0.0);  // all in one file from now on
      } else if (column.name == "length" && !table.has(column.name)) {
        const auto from = table.numbers("dataset_from_index"),
                   to = table.numbers("dataset_to_index");
        for (size_t i = 0; i < rows; ++i) column.numbers.push_back(to[i] - from[i]);
      } else {
        constexpr int64_t kScalar[] = {1};
        table.read(column.name,
                   column.shape.empty() ? std::span<const int64_t>(kScalar) : column.shape,
                   column.numbers);
      }
    }
  }
}

void EpisodesTable::add(const EpisodeRow& row) {
  const auto value = [&](const std::string& name) -> double {
    if (name == "episode_index") return static_cast<double>(row.index);
    if (name == "length") return static_cast<double>(row.to - row.from);
    if (name == "data/chunk_index") return static_cast<double>(row.data_chunk);
    if (name == "data/file_index") return static_cast<double>(row.data_file);
    if (name == "dataset_from_index") return static_cast<double>(row.from);
    if (name == "dataset_to_index") return static_cast<double>(row.to);
    if (name.starts_with("meta/")) return 0.0;
    for (const auto& [camera, video] : row.videos) {
      const std::string prefix = "videos/" + camera + "/";
      if (name == prefix + "chunk_index") return static_cast<double>(video.chunk);
      if (name == prefix + "file_index") return static_cast<double>(video.file);
      if (name == prefix + "from_timestamp") return video.from_s;
      if (name == prefix + "to_timestamp") return video.to_s;
    }
    check(false, "the episodes table has a column {} without a value", name);
    return 0.0;
  };
  for (ParquetColumn& column : columns_) {
    if (column.type == "string") {
      column.texts.push_back(column.name == "source" ? row.source : row.provenance);
    } else if (column.type == "strings") {
      column.text_lists.push_back(row.tasks);
    } else if (column.name.starts_with("stats/")) {
      const size_t slash = column.name.rfind('/');
      const std::string feature = column.name.substr(6, slash - 6),
                        name = column.name.substr(slash + 1);
      const auto which =
          std::find(kStatistics.begin(), kStatistics.end(), name) - kStatistics.begin();
      std::vector<double> count;
      const auto& values = statistic(row.statistics.at(feature), static_cast<size_t>(which), count);
      column.numbers.insert(column.numbers.end(), values.begin(), values.end());
    } else {
      column.numbers.push_back(value(column.name));
    }
  }
}

void EpisodesTable::write(const Path& file) const {
  ParquetWriter writer(file);
  writer.write(columns_);
  writer.finish();
}

void write_tasks(const Path& file, std::span<const std::string> tasks) {
  // Without this entry pandas, and so LeRobot, does not take the text as the table's index.
  ParquetWriter writer(
      file,
      {{"pandas",
        R"({"index_columns":["task"],"columns":[)"
        R"({"name":"task_index","field_name":"task_index","pandas_type":"int64","numpy_type":"int64","metadata":null},)"
        R"({"name":"task","field_name":"task","pandas_type":"unicode","numpy_type":"object","metadata":null}],)"
        R"("column_indexes":[]})"}});
  ParquetColumn numbers{.name = "task_index", .type = "int64"},
      texts{.name = "task", .type = "string"};
  for (size_t i = 0; i < tasks.size(); ++i) {
    numbers.numbers.push_back(static_cast<double>(i));
    texts.texts.push_back(tasks[i]);
  }
  writer.write(std::array{numbers, texts});
  writer.finish();
}

}  // namespace argosy::data
