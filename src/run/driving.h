#pragma once
#include <span>
#include <string>
#include <vector>

#include "data/loader.h"
#include "data/split.h"
#include "data/video.h"
#include "run/policy.h"
#include "run/recipe.h"

namespace argosy::run {

/// One number of a data set's row, found by its name: an element ("user/angle") of a feature, or a
/// feature of one element ("action").
struct Element {
  std::string name, feature, unit;
  int64_t offset = 0;  ///< within the feature's row
};

/// Throws Error naming the nearest known name.
Element find_element(const data::Dataset& dataset, const std::string& name);

/// How one frame reaches the model that the recipe trains: cut and resized.
data::VideoReader::Delivery delivery_of(const Recipe& recipe);

/// The recipe's view of a data set: which camera, which clips, which numbers.
class DrivingData {
 public:
  /// throws Error: no such camera or output; several cameras and none chosen; no training episodes
  DrivingData(const data::Dataset& dataset, const Recipe& recipe);

  const std::string& camera() const { return camera_; }
  std::span<const Element> outputs() const { return outputs_; }
  const data::Split& split() const { return split_; }
  /// Takes another split than the recipe's holdout_share gives.
  void use(data::Split split) { split_ = std::move(split); }

  /// Mean and deviation of the outputs over the training episodes.
  OutputScale output_scale() const;
  /// Clips of the training episodes in the recipe's order, augmented.
  data::LoaderOptions training_clips() const;
  /// Every clip of `episodes`, row after row, not augmented; the last batch may be smaller.
  data::LoaderOptions evaluation_clips(std::vector<int64_t> episodes, int64_t batch_size) const;
  /// The outputs of a batch loaded with either: f32 [n, outputs], NaN where none was recorded (an
  /// infinite value is none).
  void targets(const data::Batch& batch, std::span<float> out) const;

 private:
  data::LoaderOptions clips(std::vector<int64_t> episodes) const;

  const data::Dataset& dataset_;
  Recipe recipe_;
  std::string camera_;
  std::vector<Element> outputs_;
  std::vector<std::string> features_;  ///< the columns that the outputs are in
  data::Split split_;
};

}  // namespace argosy::run
