#include "serve/fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"
#include "serve/api_error.h"

namespace argosy::serve {
namespace {

const char* type_name(const Json& json) {
  if (json.is_object()) return "an object";
  if (json.is_array()) return "a list";
  if (json.is_string()) return "a string";
  if (json.is_boolean()) return "a boolean";
  if (json.is_number()) return "a number";
  return "null";
}

}  // namespace

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object())
    throw ApiError{.message = fmt::format("{} is {}; send a JSON object",
                                          path_.empty() ? "the request" : path_, type_name(object)),
                   .param = path_,
                   .code = "invalid_type"};
}

std::string Fields::path_of(const std::string& name) const {
  return path_.empty() ? name : path_ + "." + name;
}

void Fields::refuse(const std::string& name, const std::string& what,
                    const std::string& code) const {
  const std::string path = path_of(name);
  throw ApiError{
      .message = fmt::format("Invalid '{}': {}", path, what), .param = path, .code = code};
}

void Fields::refuse_type(const std::string& name, const char* expected) const {
  const std::string path = path_of(name);
  throw ApiError{.message = fmt::format("Invalid type for '{}': expected {}, but got {} instead",
                                        path, expected, type_name(object_.at(name))),
                 .param = path,
                 .code = "invalid_type"};
}

const Json* Fields::find(const std::string& name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::text(const std::string& name, const std::string& otherwise) {
  const Json* value = find(name);
  if (!value) return otherwise;
  if (!value->is_string()) refuse_type(name, "a string");
  return value->get<std::string>();
}

bool Fields::flag(const std::string& name, bool otherwise) {
  const Json* value = find(name);
  if (!value) return otherwise;
  if (!value->is_boolean()) refuse_type(name, "a boolean");
  return value->get<bool>();
}

double Fields::number(const std::string& name, double otherwise, double low, double high) {
  const Json* value = find(name);
  if (!value) return otherwise;
  if (!value->is_number()) refuse_type(name, "a number");
  const auto number = value->get<double>();
  if (!(number >= low && number <= high))
    refuse(name, fmt::format("it is {}; give a number from {} to {}", number, low, high));
  return number;
}

std::optional<int64_t> Fields::maybe_whole(const std::string& name, int64_t low, int64_t high) {
  const Json* value = find(name);
  if (!value) return {};
  if (!value->is_number_integer()) refuse_type(name, "a whole number");
  // a number above 2^63 is unsigned, and as a signed one it would be negative
  const bool huge = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX};
  const auto number = huge ? INT64_MAX : value->get<int64_t>();
  if (number < low || number > high || huge)
    refuse(name,
           fmt::format("it is {}; give a whole number from {} to {}", shown(*value), low, high));
  return number;
}

int64_t Fields::whole(const std::string& name, int64_t otherwise, int64_t low, int64_t high) {
  return maybe_whole(name, low, high).value_or(otherwise);
}

std::string Fields::choice(const std::string& name, const std::vector<std::string>& names) {
  const std::string value = text(name, names[0]);
  if (std::find(names.begin(), names.end(), value) == names.end())
    refuse(name, fmt::format("it is {}; it may be {}", shown(value), fmt::join(names, ", ")));
  return value;
}

const Json* Fields::list(const std::string& name, size_t most) {
  const Json* value = find(name);
  if (!value) return nullptr;
  if (!value->is_array()) refuse_type(name, "a list");
  if (value->size() > most)
    refuse(name, fmt::format("it has {} entries; give at most {}", value->size(), most));
  return value;
}

const Json* Fields::object(const std::string& name) {
  const Json* value = find(name);
  if (value && !value->is_object()) refuse_type(name, "an object");
  return value;
}

void Fields::accept(const std::vector<std::string>& names) {
  known_.insert(names.begin(), names.end());
}

void Fields::expect_no_more() const {
  for (const auto& [name, value] : object_.items()) {
    if (known_.contains(name)) continue;
    const std::string path = path_of(shown(name).size() > 100 ? name.substr(0, 100) : name);
    const std::string nearest =
        nearest_name(name, std::vector<std::string>(known_.begin(), known_.end()));
    throw ApiError{
        .message = fmt::format("Unrecognized request argument supplied: {}; "
                               "leave it out{}",
                               path, nearest.empty() ? "" : ", or was it " + nearest + "?"),
        .param = path,
        .code = "unknown_parameter"};
  }
}

}  // namespace argosy::serve
