#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/dataset_writer.h"
#include "data/importer.h"

/// Recordings in, one data set out. docs/ingest.md tells the rules.
namespace argosy::data {

/// What to do with a recording whose name the data set holds already.
enum class Known { refuse, skip, again };

struct IngestOptions {
  std::string task = "drive";  ///< LeRobot's task text of every episode
  ImportOptions import;
  int fps = 0;  ///< 0: the data set's, else the median over the recordings
  VideoOptions video;
  Known known = Known::refuse;
  bool strict = false;                      ///< the first thing to be skipped ends the job instead
  const std::atomic<bool>* stop = nullptr;  ///< once true, the job ends soon and changes nothing
  std::function<void(int64_t frames, int64_t total)> progress;
};

/// What became of one recording.
struct IngestedRecording {
  Path path;
  std::string format;
  std::string left_out;              ///< why all of it is; empty where it was taken
  RecordingInfo info;                ///< as found, without `features`
  int64_t episodes = 0, frames = 0;  ///< in the data set
};

struct IngestSummary {
  Path folder;
  int fps = 0;
  std::vector<IngestedRecording> recordings;
  int64_t added_episodes = 0, added_frames = 0;
  int64_t episodes = 0, frames = 0;  ///< of the whole data set afterwards
  double seconds = 0;
  bool interrupted = false;  ///< `stop` became true: the data set is as it was
};

/// Adds the recordings at `sources` (or, where a source is no recording itself, the recordings
/// right in that folder) to the data set `folder`, which is made if it does not exist. Everything
/// is added in one step at the end, or nothing.
///
/// throws  Error: a source that does not exist, is no recording, is given twice, or (with
///         Known::refuse) is in the data set already; no recording gives an episode; `folder`
///         cannot be written; with `strict`, the first thing that would be skipped
IngestSummary ingest(std::span<const Path> sources, const Path& folder,
                     const IngestOptions& options);

/// For people: a paragraph per recording, then where the data set is.
std::string summary_text(const IngestSummary& summary);
/// For programs: docs/json.md, "ingest".
std::string summary_json(const IngestSummary& summary);

}  // namespace argosy::data
