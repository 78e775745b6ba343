#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "data/ingest.h"

namespace argosy::data {
namespace {

using json = nlohmann::ordered_json;

double hours(int64_t frames, int fps) {
  return fps > 0 ? static_cast<double>(frames) / fps / 3600 : 0;
}

std::string count(int64_t n, const char* one) {
  return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

int64_t skipped_records(const RecordingInfo& info) {
  int64_t n = 0;
  for (const Skipped& entry : info.skipped) n += entry.count;
  return n;
}

std::string recording_text(const IngestedRecording& recording, int fps) {
  const RecordingInfo& info = recording.info;
  std::string text = info.source.empty() ? recording.path.string() : info.source;
  if (!recording.left_out.empty()) text += "\n  left out: " + recording.left_out;
  if (info.records > 0)
    text += fmt::format(
        "\n  {}, {} deleted, {} skipped: {}, {}, {:.2f} h, {:.1f} frames/s by its "
        "time stamps",
        count(info.records, "record"), info.deleted, skipped_records(info),
        count(recording.episodes, "episode"), count(recording.frames, "frame"),
        hours(recording.frames, fps), info.fps);
  for (const Skipped& entry : info.skipped)
    text +=
        fmt::format("\n  skipped {}: {}; the first: {}", entry.count, entry.reason, entry.first);
  for (const std::string& note : info.notes) text += "\n  note: " + note;
  return text + "\n";
}

json recording_json(const IngestedRecording& recording, int fps) {
  const RecordingInfo& info = recording.info;
  json skipped = json::array();
  for (const Skipped& entry : info.skipped)
    skipped.push_back({{"reason", entry.reason}, {"count", entry.count}, {"first", entry.first}});
  return {{"path", recording.path.string()},
          {"source", info.source},
          {"format", recording.format},
          {"taken", recording.left_out.empty()},
          {"left_out", recording.left_out},
          {"records", info.records},
          {"deleted", info.deleted},
          {"skipped", skipped},
          {"episodes", recording.episodes},
          {"frames", recording.frames},
          {"hours", hours(recording.frames, fps)},
          {"measured_fps", info.fps},
          {"notes", info.notes}};
}

}  // namespace

std::string summary_text(const IngestSummary& summary) {
  std::string text;
  for (const IngestedRecording& recording : summary.recordings)
    text += recording_text(recording, summary.fps);
  if (summary.interrupted)
    return text + fmt::format("interrupted: {} is as it was; run the same command again\n",
                              summary.folder.string());
  const auto taken = std::count_if(summary.recordings.begin(), summary.recordings.end(),
                                   [](const auto& r) { return r.left_out.empty(); });
  text +=
      fmt::format("added {} of {}: {}, {}, {:.2f} h in {} ({:.0f} frames/s)\n", taken,
                  count(static_cast<int64_t>(summary.recordings.size()), "recording"),
                  count(summary.added_episodes, "episode"), count(summary.added_frames, "frame"),
                  hours(summary.added_frames, summary.fps), duration_text(summary.seconds),
                  static_cast<double>(summary.added_frames) / std::max(summary.seconds, 1e-3));
  text += fmt::format("data set: {} ({}, {}, {:.2f} h at {} frames/s)\n", summary.folder.string(),
                      count(summary.episodes, "episode"), count(summary.frames, "frame"),
                      hours(summary.frames, summary.fps), summary.fps);
  return text + fmt::format("next: argosy data info {}\n", summary.folder.string());
}

std::string summary_json(const IngestSummary& summary) {
  json recordings = json::array();
  for (const IngestedRecording& recording : summary.recordings)
    recordings.push_back(recording_json(recording, summary.fps));
  const json all = {{"folder", summary.folder.string()},
                    {"fps", summary.fps},
                    {"added",
                     {{"episodes", summary.added_episodes},
                      {"frames", summary.added_frames},
                      {"hours", hours(summary.added_frames, summary.fps)}}},
                    {"total",
                     {{"episodes", summary.episodes},
                      {"frames", summary.frames},
                      {"hours", hours(summary.frames, summary.fps)}}},
                    {"seconds", summary.seconds},
                    {"interrupted", summary.interrupted},
                    {"recordings", recordings}};
  return all.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace argosy::data
