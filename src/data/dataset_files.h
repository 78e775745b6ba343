#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/dataset.h"
#include "data/dataset_info.h"

namespace argosy::data {

/// Where an episode's row of the episodes table says that its data are.
struct EpisodePlace {
  int64_t data_chunk = -1, data_file = -1;  ///< -1: not told
  std::map<std::string, double> video_to_s;
};

struct DataFile {
  Path path;
  int64_t first_row = 0, rows = 0;
};

/// What a data set's folder says about itself.
struct DatasetFiles {
  DatasetInfo info;
  std::vector<Episode> episodes;
  std::vector<EpisodePlace> places;  ///< by episode
  std::vector<std::string> tasks;
  std::vector<DataFile> data;  ///< in order of rows
};

/// Told of each defect; returns to go on, throws to stop.
using Report = std::function<void(const ErrorText&)>;

/// Reads info.json, the tables and the five index columns, and compares them with each other. Goes
/// on after a reported defect where there is something to go on with, else throws Error.
DatasetFiles read_dataset_files(const Path& folder, const Report& report);

/// The files "FOLDER/*/*.parquet", in LeRobot's order: sorted as texts.
std::vector<Path> parquet_files(const Path& folder);

}  // namespace argosy::data
