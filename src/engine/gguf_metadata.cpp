#include "engine/gguf_metadata.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"

namespace argosy {
namespace {

constexpr std::string_view kTypeNames[] = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "text", "array", "u64", "i64", "f64"};

/// Calls body with a 0 of the C++ type; the type must be a number or boolean.
template <typename Body>
decltype(auto) visit_type(GgufType type, Body&& body) {
  switch (type) {
    case GgufType::u8:
    case GgufType::boolean:
      return body(uint8_t{});
    case GgufType::i8:
      return body(int8_t{});
    case GgufType::u16:
      return body(uint16_t{});
    case GgufType::i16:
      return body(int16_t{});
    case GgufType::i32:
      return body(int32_t{});
    case GgufType::f32:
      return body(float{});
    case GgufType::u64:
      return body(uint64_t{});
    case GgufType::i64:
      return body(int64_t{});
    case GgufType::f64:
      return body(double{});
    case GgufType::u32:
    case GgufType::text:
    case GgufType::array:
      break;
  }
  return body(uint32_t{});
}

bool is_whole(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && type != GgufType::boolean &&
         type != GgufType::text && type != GgufType::array;
}

bool is_number(GgufType type) {
  return is_whole(type) || type == GgufType::f32 || type == GgufType::f64;
}

/// Element i of a value as To.
template <typename To>
To element(const GgufValue& value, size_t i) {
  return visit_type(value.type, [&](auto number) {
    std::memcpy(&number, value.numbers.data() + i * sizeof number, sizeof number);
    return static_cast<To>(number);
  });
}

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error({.what = what,
               .where = file,
               .fix = "use another copy of the file",
               .kind = ErrorKind::file});
}

}  // namespace

std::string_view name_of(GgufType type) { return kTypeNames[static_cast<size_t>(type)]; }

size_t size_of(GgufType type) {
  return visit_type(type, [](auto zero) { return sizeof zero; });
}

size_t count_of(const GgufValue& value) {
  return value.type == GgufType::text ? value.texts.size()
                                      : value.numbers.size() / size_of(value.type);
}

void GgufMetadata::set(const std::string& key, GgufValue value) {
  for (auto& [name, held] : entries_)
    if (name == key) {
      held = std::move(value);
      return;
    }
  entries_.emplace_back(key, std::move(value));
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  for (const auto& [name, value] : entries_)
    if (name == key) return &value;
  return nullptr;
}

void GgufMetadata::wrong_kind(std::string_view key, const GgufValue& value,
                              std::string_view wanted) const {
  fail(file_, fmt::format("{} is {}{}, not {}", key, value.is_array ? "a list of " : "",
                          name_of(value.type), wanted));
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_array || !is_whole(value->type)) wrong_kind(key, *value, "a whole number");
  const auto number = element<int64_t>(*value, 0);
  if (value->type == GgufType::u64 && number < 0)
    fail(file_, fmt::format("{} is {}, which is too large", key, element<uint64_t>(*value, 0)));
  return number;
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_array || !is_number(value->type)) wrong_kind(key, *value, "a number");
  return element<double>(*value, 0);
}

std::optional<bool> GgufMetadata::flag(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_array || value->type != GgufType::boolean) wrong_kind(key, *value, "true or false");
  return element<uint8_t>(*value, 0) != 0;
}

std::optional<std::string_view> GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_array || value->type != GgufType::text) wrong_kind(key, *value, "a text");
  return value->texts[0];
}

std::optional<std::vector<std::string_view>> GgufMetadata::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_array || value->type != GgufType::text) wrong_kind(key, *value, "a list of texts");
  return value->texts;
}

std::optional<std::vector<int64_t>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_array || !is_whole(value->type))
    wrong_kind(key, *value, "a list of whole numbers");
  std::vector<int64_t> all(count_of(*value));
  for (size_t i = 0; i < all.size(); ++i) all[i] = element<int64_t>(*value, i);
  return all;
}

std::optional<std::vector<float>> GgufMetadata::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_array || !is_number(value->type)) wrong_kind(key, *value, "a list of numbers");
  std::vector<float> all(count_of(*value));
  for (size_t i = 0; i < all.size(); ++i) all[i] = element<float>(*value, i);
  return all;
}

}  // namespace argosy
