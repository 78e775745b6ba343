#pragma once
#include <cstdint>
#include <vector>

#include "data/loader.h"

namespace argosy::data {

/// The changes of one sample, drawn once and made to every frame of its clips.
struct Changes {
  bool mirror = false;
  float shift_x = 0, shift_y = 0;  ///< share of width and height; the picture moves right and down
  float contrast = 1;              ///< factor around mid-grey
  float brightness = 0;            ///< share of full range
  bool noise = false;
  uint64_t noise_key = 0;
};

Changes draw_changes(const Augmentation& augmentation, uint64_t seed, int64_t epoch, int64_t row);

/// Applies changes to frames.
/// threads  any number at once
class Augmenter {
 public:
  explicit Augmenter(const Augmentation& augmentation);  ///< throws Error: a value out of range

  bool active() const { return active_; }
  /// `from` and `to`: uint8 [height, width, 3], not overlapping; one pass, integer arithmetic.
  void apply(const Changes& changes, int64_t height, int64_t width, const uint8_t* from,
             uint8_t* to) const;

 private:
  bool active_ = false;
  std::vector<int8_t> noise_;  ///< normal numbers in grey levels; rows begin at random places
};

}  // namespace argosy::data
