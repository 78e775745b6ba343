#include "run/event_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/crc32c.h"
#include "base/error.h"

namespace argosy::run {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.", kSuffix = ".argosy";
constexpr std::chrono::seconds kFlushEvery{5};
constexpr size_t kLargestRecord = 1 << 20, kLargestFile = size_t{1} << 30;

// Numbers of the fields in event.proto and summary.proto.
enum EventField { wall_time = 1, step_field = 2, file_version = 3, summary = 5, session_log = 7 };
enum ValueField { value_tag = 1, simple_value = 2 };
constexpr int kSummaryValue = 1, kSessionStatus = 1;
constexpr uint64_t kSessionStart = 1;
// How a field is stored: the low three bits before each field.
enum Wire : uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));  // little endian
}
void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void put_key(std::string& out, int field, Wire wire) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | wire);
}
void put_bytes(std::string& out, int field, std::string_view text) {
  put_key(out, field, bytes);
  put_varint(out, text.size());
  out += text;
}

uint32_t masked_crc(std::string_view text) {
  const uint32_t sum = crc32c(text);
  return std::rotr(sum, 15) + 0xA282EAD8u;
}

/// One field of a protobuf message.
struct Field {
  int number = 0;
  uint64_t bits = 0;      // varint, fixed64 and fixed32
  std::string_view text;  // bytes
};

/// Reads the fields of a message one by one; ends at the first that is not whole.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  std::optional<Field> next() {
    const auto key = take_varint();
    if (!key) return std::nullopt;
    Field field{.number = static_cast<int>(*key >> 3 & 0x1fffffff)};
    switch (*key & 7) {
      case varint:
        if (const auto value = take_varint()) return field.bits = *value, field;
        return std::nullopt;
      case fixed64:
        return take_fixed(8, field);
      case fixed32:
        return take_fixed(4, field);
      case bytes: {
        const auto size = take_varint();
        if (!size || *size > rest_.size()) return std::nullopt;
        field.text = rest_.substr(0, *size);
        rest_.remove_prefix(*size);
        return field;
      }
      default:
        return std::nullopt;
    }
  }

 private:
  std::optional<uint64_t> take_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }
  std::optional<Field> take_fixed(size_t size, Field field) {
    if (rest_.size() < size) return std::nullopt;
    std::memcpy(&field.bits, rest_.data(), size);
    rest_.remove_prefix(size);
    return field;
  }

  std::string_view rest_;
};

/// Takes the next whole record off `file`; nothing at its end or where it is cut or damaged.
std::optional<std::string_view> next_record(std::string_view& file) {
  constexpr size_t kHead = 12, kTail = 4;  // length and its sum; sum of the payload
  if (file.size() < kHead + kTail) return std::nullopt;
  uint64_t size = 0;
  uint32_t head_sum = 0, tail_sum = 0;
  std::memcpy(&size, file.data(), 8);
  std::memcpy(&head_sum, file.data() + 8, 4);
  if (masked_crc(file.substr(0, 8)) != head_sum) return std::nullopt;
  if (size > kLargestRecord || size > file.size() - kHead - kTail) return std::nullopt;
  const std::string_view payload = file.substr(kHead, size);
  std::memcpy(&tail_sum, payload.data() + size, 4);
  if (masked_crc(payload) != tail_sum) return std::nullopt;
  file.remove_prefix(kHead + size + kTail);
  return payload;
}

void drop_from(Curves& curves, int64_t step) {
  for (auto& [tag, points] : curves)
    std::erase_if(points, [&](const EventPoint& point) { return point.step >= step; });
}

void read_event(std::string_view record, size_t limit, Curves& curves) {
  EventPoint point;
  std::vector<std::string_view> summaries;
  bool start = false;
  for (Fields event(record); const auto field = event.next();) {
    if (field->number == wall_time) point.wall_time_s = std::bit_cast<double>(field->bits);
    if (field->number == step_field) point.step = static_cast<int64_t>(field->bits);
    if (field->number == summary) summaries.push_back(field->text);
    if (field->number == session_log)
      for (Fields log(field->text); const auto entry = log.next();)
        start |= entry->number == kSessionStatus && entry->bits == kSessionStart;
  }
  if (start) drop_from(curves, point.step);
  for (const std::string_view text : summaries)
    for (Fields values(text); const auto value = values.next();) {
      if (value->number != kSummaryValue) continue;
      std::string tag;
      bool scalar = false;
      for (Fields parts(value->text); const auto part = parts.next();) {
        if (part->number == value_tag) tag = part->text;
        if (part->number == simple_value) {
          point.value = std::bit_cast<float>(static_cast<uint32_t>(part->bits));
          scalar = true;
        }
      }
      if (auto& points = curves[tag]; scalar && points.size() < limit) points.push_back(point);
    }
}

/// The seconds in the name of an event file; nothing for other files.
std::optional<int64_t> time_in_name(const std::string& name) {
  int64_t time = 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, time);
  if (error != std::errc{} || rest == end || *rest != '.') return std::nullopt;
  return time;
}

/// Event files, the oldest first.
std::vector<std::pair<int64_t, Path>> event_files(const Path& folder) {
  std::vector<std::pair<int64_t, Path>> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    if (const auto time = time_in_name(entry.path().filename()))
      files.emplace_back(*time, entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

EventWriter::EventWriter(const Path& folder, int64_t first_step)
    : flushed_(std::chrono::steady_clock::now()) {
  // the name sorts after those there, however the clock was set meanwhile
  const auto files = event_files(folder);
  const int64_t time =
      std::max(static_cast<int64_t>(now_s()), files.empty() ? 0 : files.back().first + 1);
  path_ = folder / fmt::format("{}{:010}{}", kPrefix, time, kSuffix);
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw file_error("create", path_, errno);
  std::string version, start, log;
  put_bytes(version, file_version, "brain.Event:2");
  add_event(version, 0);
  if (!files.empty()) {
    put_key(log, kSessionStatus, varint);
    put_varint(log, kSessionStart);
    put_bytes(start, session_log, log);
    add_event(start, first_step);
  }
  flush();
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const Error&) {  // the last seconds of a curve are not worth more than what ended us
  }
  close(descriptor_);
}

void EventWriter::add_event(std::string_view fields, int64_t step) {
  std::string event;
  put_key(event, wall_time, fixed64);
  put(event, now_s());
  if (step != 0) {
    put_key(event, step_field, varint);
    put_varint(event, static_cast<uint64_t>(step));
  }
  event += fields;
  std::string size;
  put(size, static_cast<uint64_t>(event.size()));
  waiting_ += size;
  put(waiting_, masked_crc(size));
  waiting_ += event;
  put(waiting_, masked_crc(event));
}

void EventWriter::add(std::string_view tag, int64_t step, double value) {
  std::string entry, list, fields;
  put_bytes(entry, value_tag, tag);
  put_key(entry, simple_value, fixed32);
  put(entry, static_cast<float>(value));
  put_bytes(list, kSummaryValue, entry);
  put_bytes(fields, summary, list);
  add_event(fields, step);
  if (std::chrono::steady_clock::now() - flushed_ >= kFlushEvery) flush();
}

void EventWriter::flush() {
  flushed_ = std::chrono::steady_clock::now();
  while (!waiting_.empty()) {
    const ssize_t n = write(descriptor_, waiting_.data(), waiting_.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("write", path_, errno);
    waiting_.erase(0, static_cast<size_t>(n));  // what is written stays so if the rest fails
  }
}

Curves read_events(const Path& folder, size_t limit) {
  Curves curves;
  for (const auto& [time, path] : event_files(folder)) {
    std::string file;
    try {
      file = read_file(path, kLargestFile);
    } catch (const Error&) {  // curves are an ornament of the report, never a reason to fail
      continue;
    }
    std::string_view rest = file;
    while (const auto record = next_record(rest)) read_event(*record, limit, curves);
  }
  std::erase_if(curves, [](const auto& curve) { return curve.second.empty(); });
  return curves;
}

}  // namespace argosy::run
