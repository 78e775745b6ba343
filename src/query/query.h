#pragma once
#include <string>
#include <vector>

#include "data/dataset.h"
#include "query/database.h"

/// SQL over a data set. docs/query.md tells what the views hold.
namespace argosy::query {

/// A data set as two views:
///
///   frames    a row per frame: episode_index, frame_index, timestamp, task, index, then a column
///             per recorded number or text, by the name of its element ("user/angle"). NaN is NULL.
///   episodes  a row per episode: episode_index, length, duration_s, task, source, split,
///             first_row, provenance
class DatasetQuery {
 public:
  /// holdout_share  for the column split: "training" or "held out", as data/split.h has it
  DatasetQuery(const data::Dataset& dataset, double holdout_share);

  /// As Database::select().
  bool select(const std::string& sql, const RunOptions& options, const RowReader& reader) {
    return database_.select(sql, options, reader);
  }

 private:
  Database database_;
};

}  // namespace argosy::query
