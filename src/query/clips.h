#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "query/database.h"

namespace argosy::query {

/// Frames [from, to) of an episode.
struct Clip {
  int64_t episode = 0, from = 0, to = 0;
  bool operator==(const Clip&) const = default;
};

/// Gathers what a query's rows name: a frame (episode_index and frame_index), or an episode as a
/// whole (episode_index alone).
class ClipCollector {
 public:
  /// before_s, after_s  seconds of the episode taken along on each side of a frame
  ClipCollector(const data::Dataset& dataset, double before_s, double after_s);

  /// throws Error: no column episode_index
  void begin(std::span<const Column> columns);
  /// throws Error: a value that is no episode or frame of the data set
  void add(const Row& row);
  /// Longest runs of frames, in order; those that touch or overlap are one.
  std::vector<Clip> clips() const;

 private:
  int64_t number(const Row& row, size_t column, const char* name, int64_t end) const;

  const data::Dataset& dataset_;
  int64_t before_, after_;  // frames
  size_t episode_column_ = 0, frame_column_ = 0;
  bool whole_episodes_ = false;
  std::vector<int32_t> changes_;  // by row + episode: +1 where a run begins, -1 after its end
};

struct ClipsOptions {
  std::string sql;                          ///< for the provenance
  const std::atomic<bool>* stop = nullptr;  ///< once true, the job ends and leaves nothing
  std::function<void(int64_t frames, int64_t total)> progress;
};

/// Writes each clip as an episode of a new data set, with all its columns, its source, its frames
/// encoded again (CRF 18, codec and key frames as they were), and its provenance: a JSON object
/// with `dataset`, `episode`, `from`, `to` and `sql`. False: `stop` became true.
///
/// throws Error: no clips, `folder` exists, a column that cannot be written, the disk is full
bool write_clips(const data::Dataset& dataset, std::span<const Clip> clips, const Path& folder,
                 const ClipsOptions& options);

}  // namespace argosy::query
