#include "model_files/hugging_face_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "model_files/hugging_face_rotary.h"
#include "text/json_reader.h"

namespace argosy::model_files {
namespace {

using Json = nlohmann::json;

Json read_object(std::string_view text, const Path& file) {
  Json json = text::JsonReader::parse(text, file);
  if (!json.is_object()) fail_model(file, "it is not a JSON object");
  return json;
}

/// For messages: one line, not too long.
std::string text_of(const Json& json) {
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 100) text = text.substr(0, 97) + "...";
  return text;
}

const models::LanguageFormat& format_of(const Json& config, const Path& file) {
  const Json architectures = config.value("architectures", Json());
  std::vector<std::string> known;
  for (const models::LanguageFormat* format : models::language_formats()) {
    if (!format->hugging_face) continue;
    if (architectures.is_array() &&
        std::ranges::find(architectures, Json(format->hugging_face)) != architectures.end())
      return *format;
    known.emplace_back(format->hugging_face);
  }
  fail_model(file,
             fmt::format("architectures is {}, which is not known here", text_of(architectures)),
             fmt::format("use a model of {}", fmt::join(known, ", ")));
}

/// Newer files say of the rotary positions in an object of their own.
void flatten_rotary(Json& config, const Path& file) {
  const Json rotary = config.value("rope_parameters", Json());
  if (rotary.is_null()) return;
  if (!rotary.is_object()) fail_model(file, "rope_parameters is not an object");
  if (rotary.value("rope_type", Json("default")) != "default") config["rope_scaling"] = rotary;
  if (rotary.contains("rope_theta")) config["rope_theta"] = rotary["rope_theta"];
}

std::optional<double> number(const Json& config, const std::string& key, bool whole,
                             const Path& file) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (!found->is_number() || (whole && !found->is_number_integer()))
    fail_model(file, fmt::format("{} is {}, not a {}", key, text_of(*found),
                                 whole ? "whole number" : "number"));
  return found->get<double>();
}

}  // namespace

HuggingFaceConfig read_config(std::string_view text, const Path& file) {
  Json config = read_object(text, file);
  HuggingFaceConfig read{.format = &format_of(config, file)};
  flatten_rotary(config, file);
  for (const auto& [key, wanted] : read.format->hugging_face_constants) {
    const Json only = Json::parse(wanted), value = config.value(key, only);
    if (value != only)
      fail_model(file, fmt::format("{} is {}; only {} is known here", key, text_of(value), wanted),
                 "use a model without it");
  }
  read.options = read_options(
      *read.format, &models::OptionName::hugging_face, "",
      [&](const std::string& key, bool whole) { return number(config, key, whole, file); }, file);
  read.options.rotary_divisors =
      read_rotary_scaling(config.value("rope_scaling", Json()).dump(), read.options, file);
  const Json tied = config.value("tie_word_embeddings", Json(false));
  if (!tied.is_boolean())
    fail_model(file, fmt::format("tie_word_embeddings is {}, not true or false", text_of(tied)));
  read.options.tied = tied.get<bool>();
  return read;
}

std::vector<std::string> read_weight_index(std::string_view text, const Path& file) {
  const Json json = read_object(text, file);
  const Json map = json.value("weight_map", Json());
  if (!map.is_object() || map.empty())
    fail_model(file, "weight_map is not an object with the files of the weights");
  std::set<std::string> names;
  for (const auto& [weight, value] : map.items()) {
    const std::string name = value.is_string() ? value.get<std::string>() : "";
    // in this folder and no other
    if (!name.ends_with(".safetensors") || Path(name).filename() != name)
      fail_model(file,
                 fmt::format("{} is no name of a safetensors file beside it", text_of(value)));
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

}  // namespace argosy::model_files
