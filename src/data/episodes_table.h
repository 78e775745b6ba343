#pragma once
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/parquet.h"
#include "data/statistics.h"

namespace argosy::data {

/// One row of meta/episodes.
struct EpisodeRow {
  struct Video {
    int64_t chunk = 0, file = 0;
    double from_s = 0, to_s = 0;
  };
  int64_t index = 0, from = 0, to = 0, data_chunk = 0, data_file = 0;
  std::vector<std::string> tasks;
  std::string source, provenance;
  std::map<std::string, Video> videos;
  std::map<std::string, Statistics> statistics;  ///< by feature
};

/// meta/episodes as a whole. All its files need equal columns for LeRobot, so a data set that grows
/// gets a new table and not one more file.
class EpisodesTable {
 public:
  explicit EpisodesTable(std::span<const Feature> features);  ///< the index features included

  /// Takes over the rows of a table written by anyone; statistics that it lacks are left out for
  /// all episodes.
  void load(std::span<const Path> files);
  void add(const EpisodeRow& row);
  void write(const Path& file) const;

 private:
  std::vector<ParquetColumn> columns_;
};

/// meta/tasks.parquet: the texts in order, as a pandas table whose index is the text.
void write_tasks(const Path& file, std::span<const std::string> tasks);

}  // namespace argosy::data
