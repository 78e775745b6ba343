#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"

namespace argosy::data {

/// One named column of a data set, as meta/info.json lists it.
struct Feature {
  std::string name;                ///< "action", "observation.images.front"
  std::string dtype;               ///< "float32", "int64", ..., "string", "image", "video"
  std::vector<int64_t> shape;      ///< never empty; [H, W, 3] for cameras
  std::vector<std::string> names;  ///< one per element where known, flattened; else empty
  std::vector<std::string> units;  ///< one per element where known; else empty (Argosy's own key)

  bool video() const { return dtype == "video"; }
  bool numeric() const { return dtype != "video" && dtype != "image" && dtype != "string"; }
  int64_t width() const;  ///< numbers per row: the product of shape
};

/// Where an episode's frames of one camera stand in an mp4 file.
struct VideoSegment {
  Path file;
  int64_t first_frame = 0;  ///< round(from_timestamp * fps): an integer, never a float sum
};

struct Episode {
  int64_t index = 0;
  int64_t from = 0, to = 0;  ///< rows [from, to) of the whole data set
  std::vector<std::string> tasks;
  std::string source;  ///< the recording it came from (Argosy's own column); "" if unknown
  /// Argosy's own column too: a JSON object that says how the episode was made from another data
  /// set; "" for what was recorded.
  std::string provenance;
  std::map<std::string, VideoSegment> videos;  ///< by camera (feature name)
  int64_t length() const { return to - from; }
};

/// A LeRobotDataset v3.0 folder, read only. Opening reads and checks the metadata; rows are read
/// when first asked for; frames through VideoReader.
/// threads  any number at once, after open()
/// throws   Error, naming the file, for anything missing, cut, or in disagreement with info.json
class Dataset {
 public:
  static Dataset open(const Path& folder);
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;
  ~Dataset();

  const Path& folder() const;
  int fps() const;
  int64_t frames() const;
  const std::string& robot_type() const;
  std::span<const Feature> features() const;
  const Feature& feature(const std::string& name) const;  ///< throws Error naming the nearest known
  std::vector<std::string> cameras() const;               ///< names of the video features
  std::span<const Episode> episodes() const;
  std::span<const std::string> tasks() const;  ///< text by task_index
  const Episode& episode_of(int64_t row) const;

  /// The numbers of a numeric feature as float32, row-major [frames, width]; a missing value is
  /// NaN.
  std::span<const float> column(const std::string& name) const;
  /// The same without rounding, for int64 and float64 features.
  std::span<const double> column_f64(const std::string& name) const;
  /// The texts of a string feature, one per row; read anew at each call.
  std::vector<std::string> texts(const std::string& name) const;

 private:
  struct State;
  explicit Dataset(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
