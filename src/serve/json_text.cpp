#include "serve/json_text.h"

#include <fmt/format.h>

#include <array>

#include "base/error.h"

namespace argosy::serve {
namespace {

/// Refuses what would cost more than its length.
class Limits {
 public:
  explicit Limits(std::string where) : where_(std::move(where)) {}

  bool operator()(int depth, Json::parse_event_t event) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (depth >= kMaxJsonDepth)
        refuse(fmt::format("its objects and arrays are more than {} deep", kMaxJsonDepth));
      keys_[depth] = 0;
    } else if (event == Event::key && ++keys_[depth - 1] > kMaxJsonKeys) {
      refuse(fmt::format("an object has more than {} keys", kMaxJsonKeys));
    }
    return true;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error({.what = what, .where = where_, .fix = "send less at once"});
  }

  std::string where_;
  std::array<size_t, kMaxJsonDepth> keys_{};
};

/// The reason without the library's own number: "[json.exception.parse_error.101] parse error
/// at..."
std::string reason(const Json::exception& error) {
  const std::string_view text = error.what();
  const size_t end = text.find("] ");
  return std::string(end == text.npos ? text : text.substr(end + 2)).substr(0, 200);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  Limits limits(where);
  try {
    return Json::parse(
        text, [&](int depth, Json::parse_event_t event, Json&) { return limits(depth, event); });
  } catch (const Json::exception& error) {
    throw Error({.what = "it is not valid JSON: " + reason(error),
                 .where = where,
                 .fix = "send one JSON value in UTF-8"});
  }
}

std::string to_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string shown(const Json& json) {
  constexpr size_t kMost = 160;
  if (json.is_object() && json.size() > 3) return fmt::format("an object of {} keys", json.size());
  if (json.is_array() && json.size() > 16) return fmt::format("a list of {} values", json.size());
  if (json.is_string() && json.get_ref<const std::string&>().size() > kMost) {
    const auto& text = json.get_ref<const std::string&>();
    return fmt::format("{}... ({} bytes)", to_text(text.substr(0, kMost)), text.size());
  }
  const std::string text = to_text(json);
  if (text.size() <= kMost) return text;
  return json.is_object() ? "an object" : "a list";
}

}  // namespace argosy::serve
