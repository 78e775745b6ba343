#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/split.h"
#include "run/driving.h"

namespace argosy::run {

/// An episode as a run remembers it, so that it is known again in a data set that has grown, moved
/// or been written anew.
struct EpisodeMark {
  std::string source;
  int64_t number = 0;  ///< within its source
  int64_t frames = 0, first_row = 0;
  uint32_t crc32c = 0;  ///< of its recorded outputs, f32 [frames, outputs]
  bool operator==(const EpisodeMark&) const = default;
};

/// Which episodes a run learns from and which it measures itself on: split.json in its folder,
/// written when the run begins.
struct SplitRecord {
  std::string dataset;
  std::vector<EpisodeMark> training, held_out;
};

/// The marks of all episodes, by index. Reads the outputs' columns.
std::vector<EpisodeMark> mark_episodes(const data::Dataset& dataset,
                                       std::span<const Element> outputs);

void write_split(const Path& run, const SplitRecord& record);
/// Nothing if the run has none yet. Throws Error (file) if it is damaged.
std::optional<SplitRecord> read_split(const Path& run);

/// The recorded split in the data set that the run goes on with. Episodes that are new since then
/// stay out of it, with a note.
/// throws Error: a recorded episode is not where it was, so that no run could go on bit for bit
data::Split resumed_split(const SplitRecord& record, const data::Dataset& dataset,
                          std::span<const EpisodeMark> marks);

/// A data set as seen by a run that may have learned from parts of it.
struct SeenEpisodes {
  std::vector<int64_t> trained;   ///< the run learned from these
  std::vector<int64_t> unseen;    ///< safe to measure on: held out then, or not there then
  std::vector<int64_t> doubtful;  ///< of a recording that the run learned from, cut differently
  int64_t fresh = 0;              ///< how many of `unseen` were not there when the run began
  bool all_trained = false;       ///< `trained` is everything that the run learned from
};

/// An episode counts as trained on if length and recorded outputs are those of one that was,
/// wherever it stands and whatever its source is called now.
SeenEpisodes seen_episodes(const SplitRecord& record, std::span<const EpisodeMark> marks);

}  // namespace argosy::run
