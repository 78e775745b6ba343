#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/dataset.h"
#include "data/dataset_writer.h"

/// What a recording format has to offer to become a data set. A format is one file: a class derived
/// from Recording, and its row in importers().
namespace argosy::data {

struct ImportOptions {
  double gap_s = 1.0;  ///< a longer pause between two records begins a new episode
};

/// What was left out, by reason.
struct Skipped {
  std::string reason;  ///< "user/angle is missing"
  int64_t count = 0;
  std::string first;  ///< where and with which value it happened first
};

/// Adds one to the entry of `reason`, in order of first appearance.
void count_skipped(std::vector<Skipped>& skipped, const std::string& reason,
                   const std::string& where);

struct RecordingInfo {
  std::string source;  ///< the recording's name in a data set: same recording, same name
  std::string robot_type;
  std::vector<Feature> features;  ///< of every episode; as DatasetOptions::features
  double fps = 0;                 ///< measured from the time stamps; 0 where there is no interval
  int64_t records = 0;            ///< found
  int64_t deleted = 0;            ///< of these, deleted by whoever looked through the recording
  int64_t kept = 0;               ///< of these, in episodes
  int64_t episodes = 0;
  std::vector<Skipped> skipped;    ///< records that cannot be used
  std::vector<std::string> notes;  ///< inputs kept out, values kept as missing
};

/// One recording, checked as far as possible without decoding its frames.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual const RecordingInfo& info() const = 0;
  /// Whether EpisodeData::frame may be called in any order and by several threads at once.
  virtual bool frames_in_any_order() const = 0;
  /// The next episode, at least one row long, without a task; nothing after the last. `frame`
  /// outlives the recording and throws Error for a frame that cannot be used.
  virtual std::optional<EpisodeData> next() = 0;
};

struct Importer {
  const char* name;                      ///< "donkey-tub"
  const char* summary;                   ///< what a person calls it
  bool (*recognises)(const Path& path);  ///< by what lies there, not by its content being right
  /// throws Error when nothing of the recording can be used
  std::unique_ptr<Recording> (*open)(const Path& path, const ImportOptions& options);
};

/// Every format, in the order they are asked.
std::span<const Importer> importers();

/// The first importer that recognises `path`, or null.
const Importer* importer_for(const Path& path);

extern const Importer kDonkeyTub;

}  // namespace argosy::data
