#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"

/// What one round of the data engine found worth learning from, as its folder keeps it:
///
///   mined.json    what follows here
///   tubs/CAR/     the clips as recordings, labelled by the expert
///   films/N.mp4   the gravest moments
///   pictures/N.jpg of the largest disagreements with recordings
namespace argosy::fleet {

/// A part of a drive in the world.
struct MinedClip {
  int64_t drive = 0;
  uint64_t track_seed = 0, look_seed = 0;
  double from_s = 0, to_s = 0;  ///< of the drive
  int64_t frames = 0, triggers = 0;
  std::string reason;  ///< of the gravest trigger
  double at_s = 0;     ///< when that was
  std::string why;     ///< in a sentence
  std::string film;    ///< file in the folder; empty: none
};

/// Where the policy disagrees with a recorded driver.
struct RecordedMoment {
  int64_t episode = 0;
  std::string source;
  double at_s = 0;
  std::string why;
  std::string picture;  ///< file in the folder
};

struct Mined {
  int64_t drives = 0, driven_frames = 0, interventions = 0;
  std::vector<MinedClip> clips;
  int64_t recorded_frames = 0, recorded_triggers = 0;  ///< of the data set that was looked through
  std::vector<RecordedMoment> recorded;                ///< the largest disagreements there

  int64_t frames() const;
};

inline constexpr const char* kTubs = "tubs";

void write_mined(const Path& folder, const Mined& mined);
/// throws Error (file): mined.json is missing or damaged
Mined read_mined(const Path& folder);

}  // namespace argosy::fleet
