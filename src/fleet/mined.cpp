#include "fleet/mined.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"

namespace argosy::fleet {
namespace {

constexpr const char* kFile = "mined.json";
constexpr size_t kLargest = size_t{1} << 28;

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MinedClip, drive, track_seed, look_seed, from_s, to_s, frames,
                                   triggers, reason, at_s, why, film)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RecordedMoment, episode, source, at_s, why, picture)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Mined, drives, driven_frames, interventions, clips,
                                   recorded_frames, recorded_triggers, recorded)

int64_t Mined::frames() const {
  return std::accumulate(clips.begin(), clips.end(), int64_t{0},
                         [](int64_t sum, const MinedClip& clip) { return sum + clip.frames; });
}

void write_mined(const Path& folder, const Mined& mined) {
  const nlohmann::json json = mined;
  write_file(folder / kFile,
             json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

Mined read_mined(const Path& folder) {
  try {
    return nlohmann::json::parse(read_file(folder / kFile, kLargest)).get<Mined>();
  } catch (const nlohmann::json::exception& error) {
    throw Error({.what = fmt::format("this is no list of what was mined ({})", error.what()),
                 .where = folder / kFile,
                 .fix = "remove its folder, and the round mines again",
                 .kind = ErrorKind::file});
  }
}

}  // namespace argosy::fleet
