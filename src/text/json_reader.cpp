#include "text/json_reader.h"

#include <fmt/format.h>

#include "base/error.h"

namespace argosy::text {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 64;

[[noreturn]] void fail_at(const std::string& where, std::string what, std::string fix) {
  throw Error(
      {.what = std::move(what), .where = where, .fix = std::move(fix), .kind = ErrorKind::file});
}

}  // namespace

Json JsonReader::parse(std::string_view text, const std::string& where) {
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest)
      fail_at(where, fmt::format("its JSON is nested more than {} deep", kDeepest),
              "use another copy of the file");
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& error) {
    fail_at(where, fmt::format("it is no JSON ({})", error.what()), "use another copy of the file");
  }
}

bool JsonReader::has(const std::string& key) const {
  return json_.is_object() && json_.contains(key) && !json_.at(key).is_null();
}

JsonReader JsonReader::at(const std::string& key) const {
  object();
  if (!has(key)) fail(fmt::format("\"{}\" is missing", key));
  return {json_.at(key), fmt::format("{}, {}", where_, key)};
}

JsonReader JsonReader::at(size_t index) const {
  return {json_.at(index), fmt::format("{}, {}", where_, index)};
}

JsonReader JsonReader::object() const {
  if (!json_.is_object()) fail("it is no object");
  return *this;
}

JsonReader JsonReader::list() const {
  if (!json_.is_array()) fail("it is no list");
  return *this;
}

std::string JsonReader::text() const {
  if (!json_.is_string()) fail("it is no text");
  return json_.get<std::string>();
}

int64_t JsonReader::whole_number() const {
  if (!json_.is_number_integer() ||
      (json_.is_number_unsigned() && json_.get<uint64_t>() > uint64_t{INT64_MAX}))
    fail("it is no whole number");
  return json_.get<int64_t>();
}

bool JsonReader::flag(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const JsonReader value = at(key);
  if (!value.json_.is_boolean()) value.fail("it is neither true nor false");
  return value.json_.get<bool>();
}

std::string JsonReader::text(const std::string& key, const std::string& otherwise) const {
  return has(key) ? at(key).text() : otherwise;
}

void JsonReader::fail(const std::string& what, const std::string& fix) const {
  fail_at(where_, what, fix);
}

}  // namespace argosy::text
