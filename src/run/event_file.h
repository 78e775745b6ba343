#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace argosy::run {

/// Scalars of a run as a TensorBoard event file: TFRecord frames with masked CRC-32C, each holding
/// one Event message of tensorflow/core/util/event.proto.
///
/// Every process that trains adds a file of its own, whose name sorts after the older ones. A
/// resumed one says with SessionLog START at `first_step` that older values from that step on are
/// void; TensorBoard and read_events() drop them. A process that is killed leaves at most a cut
/// last record, which readers ignore.
class EventWriter {
 public:
  /// first_step  the first step this process will write values of; 0 for a fresh run
  EventWriter(const Path& folder, int64_t first_step);
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  /// Kept in memory and written every few seconds. Throws Error (file), e.g. when the disk is full.
  void add(std::string_view tag, int64_t step, double value);
  void flush();

 private:
  void add_event(std::string_view fields, int64_t step);

  Path path_;
  int descriptor_ = -1;
  std::string waiting_;
  std::chrono::steady_clock::time_point flushed_;
};

struct EventPoint {
  int64_t step = 0;
  double wall_time_s = 0;  ///< since 1970
  float value = 0;
};
using Curves = std::map<std::string, std::vector<EventPoint>>;  ///< by tag, steps rising

/// All scalars in the event files of `folder`, in the order written, without superseded ones. What
/// is cut or damaged ends its file; nothing is thrown for it. At most `limit` points per tag.
Curves read_events(const Path& folder, size_t limit = 1'000'000);

}  // namespace argosy::run
