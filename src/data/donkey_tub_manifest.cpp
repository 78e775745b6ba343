#include "data/donkey_tub_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/recorded_files.h"

namespace argosy::data {
namespace {

using nlohmann::json;

constexpr size_t kMaxInputs = 256;
constexpr size_t kMaxNameBytes = 200;

/// One line of the manifest and how to speak of it.
struct Line {
  std::string where;
  json value;

  [[noreturn]] void refuse(const std::string& what) const {
    throw Error({.what = what,
                 .where = where,
                 .fix = "take the file from the recorder again, or leave this recording out"});
  }
};

Line parse_line(std::string_view text, const std::string& where) {
  Line line{where, {}};
  const auto strict = strict_json(text, 16);
  if (!strict) line.refuse("the JSON is nested deeper than 16");
  try {
    line.value = json::parse(*strict);
  } catch (const json::parse_error& error) {
    line.refuse(fmt::format("this is not JSON (byte {})", error.byte));
  } catch (const json::exception&) {
    line.refuse("this is not JSON (a number is out of range)");
  }
  return line;
}

std::vector<std::string> strings(const Line& line, const json& value, const char* what,
                                 size_t max_count) {
  if (!value.is_array()) line.refuse(fmt::format("{} is not a list", what));
  if (value.size() > max_count)
    line.refuse(fmt::format("{} has {} entries, the limit is {}", what, value.size(), max_count));
  std::vector<std::string> all;
  for (const json& entry : value) {
    if (!entry.is_string()) line.refuse(fmt::format("{}: entry {} is not text", what, all.size()));
    all.push_back(entry.get<std::string>());
    if (all.back().empty() || all.back().size() > kMaxNameBytes)
      line.refuse(fmt::format("{}: entry {} has {} bytes, it needs 1 to {}", what, all.size() - 1,
                              all.back().size(), kMaxNameBytes));
  }
  return all;
}

std::vector<TubManifest::Input> inputs(const Line& names_line, const Line& types_line) {
  const auto names = strings(names_line, names_line.value, "the list of inputs", kMaxInputs);
  const auto types = strings(types_line, types_line.value, "the list of types", kMaxInputs);
  if (types.size() != names.size())
    types_line.refuse(fmt::format("{} types for {} inputs", types.size(), names.size()));
  std::vector<TubManifest::Input> all;
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::find(names.begin(), names.begin() + i, names[i]) != names.begin() + i)
      names_line.refuse(fmt::format("the input {} is declared twice", printable(names[i])));
    all.push_back({names[i], types[i]});
  }
  return all;
}

std::vector<int64_t> deleted_indexes(const Line& line) {
  const auto found = line.value.find("deleted_indexes");
  if (found == line.value.end()) return {};
  if (!found->is_array()) line.refuse("deleted_indexes is not a list");
  std::vector<int64_t> all;
  all.reserve(found->size());
  for (const json& index : *found) {
    if (!index.is_number_integer())
      line.refuse(fmt::format("deleted_indexes: entry {} is not an integer", all.size()));
    all.push_back(index.get<int64_t>());
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

bool TubManifest::is_deleted(int64_t index) const {
  return std::binary_search(deleted.begin(), deleted.end(), index);
}

TubManifest parse_tub_manifest(std::string_view text, const std::string& where) {
  constexpr int kLines = 5;
  std::vector<Line> lines;
  while (!text.empty() && lines.size() < kLines) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(
        parse_line(text.substr(0, end), fmt::format("{} line {}", where, lines.size() + 1)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (lines.size() < kLines)
    throw Error({.what = fmt::format("the file has {} lines, a Donkey Car v4 tub has {}",
                                     lines.size(), kLines),
                 .where = where,
                 .fix = "take the file from the recorder again, or leave this recording out"});
  TubManifest manifest;
  manifest.inputs = inputs(lines[0], lines[1]);
  const json& about = lines[3].value;
  if (!about.is_object()) lines[3].refuse("the manifest's metadata is not an object");
  if (const auto created = about.find("created_at"); created != about.end() && created->is_number())
    manifest.created_s = created->get<double>();
  const Line& catalogs = lines[4];
  if (!catalogs.value.is_object()) catalogs.refuse("the catalogs' metadata is not an object");
  const auto paths = catalogs.value.find("paths");
  if (paths == catalogs.value.end()) catalogs.refuse("the key paths is missing");
  manifest.catalogs = strings(catalogs, *paths, "paths", 100'000);
  manifest.deleted = deleted_indexes(catalogs);
  return manifest;
}

}  // namespace argosy::data
