#include "data/donkey_tub_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "data/recorded_files.h"

namespace argosy::data {
namespace {

using nlohmann::json;

constexpr size_t kManifestLimitBytes = size_t{16} << 20;
constexpr size_t kRecordLimitBytes = size_t{1} << 20;
constexpr int kMaxDepth = 16;
constexpr size_t kMaxRecords = 2'000'000;         // 28 hours at 20 Hz
constexpr size_t kMaxNumbers = size_t{64} << 20;  // of a tub, together
constexpr size_t kMaxListWidth = 4096;
constexpr size_t kMaxTextBytes = 4096;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// A record that cannot be used: `reason` is counted, `detail` shows the value.
struct BadRecord {
  std::string reason, detail;
};

std::optional<TubKind> kind_of(const std::string& type) {
  using enum TubKind;
  static const std::map<std::string, TubKind> kKinds = {
      {"float", number}, {"int", number},   {"boolean", truth},
      {"bool", truth},   {"nparray", list}, {"vector", list},
      {"list", list},    {"str", text},     {"image_array", image}};
  const auto found = kKinds.find(type);
  return found == kKinds.end() ? std::nullopt : std::optional(found->second);
}

std::string shown(const json& value) {
  return printable(value.dump(-1, ' ', true, json::error_handler_t::replace), 40);
}

/// The value of `key`, or null if it is absent or null itself (as NaN is after strict_json()).
const json* find(const json& record, const std::string& key) {
  const auto found = record.find(key);
  return found == record.end() || found->is_null() ? nullptr : &*found;
}

/// The number, or NaN if it is none that float32 holds.
double number(const json& value, TubKind kind) {
  if (kind == TubKind::truth && value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (!value.is_number()) return kMissing;
  const auto x = value.get<double>();
  return std::abs(x) <= FLT_MAX ? x : kMissing;
}

int64_t integer(const json& record, const std::string& key, int64_t limit) {
  const json* value = find(record, key);
  if (!value) throw BadRecord{key + " is missing", key + " is missing"};
  const double x = value->is_number() ? std::round(value->get<double>()) : -1;
  if (!(x >= 0 && x < static_cast<double>(limit)))
    throw BadRecord{key + " is no sensible number", fmt::format("{} is {}", key, shown(*value))};
  return static_cast<int64_t>(x);
}

void read_text(TubInput& input, const json* value, std::string& to) {
  if (!value) return;
  if (value->is_string() && value->get_ref<const std::string&>().size() <= kMaxTextBytes)
    to = value->get<std::string>();
  else
    ++input.unreadable;
}

void read_action(const TubInput& input, const json* value, double& to) {
  constexpr double kRounding = 1e-6;
  if (!value) throw BadRecord{input.name + " is missing or NaN", input.name + " is missing or NaN"};
  const std::string detail = fmt::format("{} is {}", input.name, shown(*value));
  to = number(*value, input.kind);
  if (std::isnan(to)) throw BadRecord{input.name + " is not a number", detail};
  if (std::abs(to) > 1 + kRounding) throw BadRecord{input.name + " is outside [-1, 1]", detail};
}

void read_number(TubInput& input, const json* value, double& to) {
  if (!value) return;
  to = number(*value, input.kind);
  if (std::isnan(to)) ++input.unreadable;
}

void read_list(TubInput& input, const json* value, double* to) {
  if (!value) return;
  if (!value->is_array() || value->size() != input.width) {
    ++input.unreadable;
    return;
  }
  bool all = true;
  for (size_t i = 0; i < input.width; ++i) {
    const json& entry = (*value)[i];
    to[i] = number(entry, TubKind::number);
    all = all && (entry.is_null() || !std::isnan(to[i]));
  }
  if (!all) ++input.unreadable;
}

class Reader {
 public:
  explicit Reader(const Path& root) : root_(root), image_folder_(root / "images") {
    const Path file = root / "manifest.json";
    const auto problem = problem_with_file(root, root, "manifest.json", kManifestLimitBytes);
    if (!problem.empty())
      throw Error({.what = problem,
                   .where = file,
                   .fix = "take the tub from the recorder again",
                   .kind = ErrorKind::file});
    manifest_ = parse_tub_manifest(read_file(file, kManifestLimitBytes), file);
    table_.created_s = manifest_.created_s;
  }

  TubRecords read() {
    plan_inputs();
    read_catalogs();
    drop_repeated();
    return std::move(table_);
  }

 private:
  void plan_inputs() {
    for (const auto& [name, type] : manifest_.inputs) {
      if (name.starts_with('_')) continue;  // the recorder's own: _index, _timestamp_ms, ...
      const auto kind = kind_of(type);
      if (!kind) {
        table_.notes.push_back(fmt::format("input {} is left out: type {} is not taken",
                                           printable(name), printable(type)));
        continue;
      }
      TubInput input{name, *kind};
      if (input.kind == TubKind::list) input.width = 0;
      if (input.kind == TubKind::image) input.slot = table_.images_per_row++;
      if (input.kind == TubKind::text) input.slot = table_.texts_per_row++;
      table_.inputs.push_back(input);
    }
    measure_lists();
    for (TubInput& input : table_.inputs) {
      if (!input.numeric()) continue;
      input.slot = table_.numbers_per_row;
      table_.numbers_per_row += input.width;
    }
  }

  /// A list is as wide as the first one recorded.
  void measure_lists() {
    const auto unknown = [](const TubInput& input) { return input.width == 0; };
    auto& inputs = table_.inputs;
    if (std::none_of(inputs.begin(), inputs.end(), unknown)) return;
    for_each_record([&](const json& record, const std::string&) {
      for (TubInput& input : inputs) {
        if (!unknown(input)) continue;
        const json* value = find(record, input.name);
        if (value && value->is_array() && value->size() <= kMaxListWidth &&
            std::all_of(value->begin(), value->end(), [](auto& x) { return x.is_number(); }))
          input.width = value->size();
      }
      return std::any_of(inputs.begin(), inputs.end(), unknown);
    });
    std::erase_if(inputs, [&](const TubInput& input) {
      if (unknown(input))
        table_.notes.push_back(fmt::format(
            "input {} is left out: no record has a flat list of numbers", printable(input.name)));
      return unknown(input);
    });
  }

  /// Calls use(record, where) for each line that is a JSON object, until it returns false. Where
  /// `counts` is given, lines are counted there, and those that are none.
  template <typename Use>
  void for_each_record(const Use& use, TubRecords* counts = nullptr) {
    const auto skip = [&](const char* reason, const std::string& where) {
      if (counts) count_skipped(counts->skipped, reason, where);
    };
    for (const std::string& name : manifest_.catalogs) {
      const Path file = root_ / name;
      if (const auto problem = problem_with_file(root_, root_, name, UINTMAX_MAX);
          !problem.empty()) {
        skip("a catalog cannot be read",
             fmt::format("{}/{}: {}", root_.string(), printable(name), problem));
        continue;
      }
      LineReader lines(file, kRecordLimitBytes);
      while (lines.next()) {
        const bool blank = lines.text().find_first_not_of(" \t\r") == std::string_view::npos;
        if (blank && !lines.too_long()) continue;
        if (counts) ++counts->found;
        const std::string where = fmt::format("{} line {}", file.string(), lines.number());
        if (lines.too_long()) {
          skip("the record is longer than 1 MiB", where);
          continue;
        }
        const auto strict = strict_json(lines.text(), kMaxDepth);
        const json record = strict ? json::parse(*strict, nullptr, false) : json();
        if (!strict) {
          skip("the record is nested deeper than 16", where);
        } else if (!record.is_object()) {
          skip("the record is not a JSON object", where);
        } else if (!use(record, where)) {
          return;
        }
      }
    }
  }

  void read_catalogs() {
    for_each_record(
        [&](const json& record, const std::string& where) {
          try {
            read_record(record);
          } catch (const BadRecord& bad) {
            count_skipped(table_.skipped, bad.reason, fmt::format("{}: {}", where, bad.detail));
          }
          return true;
        },
        &table_);
  }

  void read_record(const json& record) {
    TubRow row;
    row.index = integer(record, "_index", int64_t{1} << 53);
    if (manifest_.is_deleted(row.index)) {
      ++table_.deleted;
      return;
    }
    row.time_ms = integer(record, "_timestamp_ms", 100'000'000'000'000);
    const json* id = find(record, "_session_id");
    std::string session = id && id->is_string() ? id->get<std::string>() : "";
    if (session != session_) ++session_number_;
    session_ = std::move(session);
    row.session = session_number_;
    append(record, row);
  }

  /// All of the record, or BadRecord and nothing.
  void append(const json& record, const TubRow& row) {
    if (table_.rows.size() >= kMaxRecords ||
        (table_.rows.size() + 1) * table_.numbers_per_row > kMaxNumbers)
      throw Error({.what = fmt::format("there are more than {} records", table_.rows.size()),
                   .where = root_,
                   .fix = "split the tub"});
    std::vector<double> numbers(table_.numbers_per_row, kMissing);
    std::vector<std::string> texts(table_.texts_per_row), images(table_.images_per_row);
    for (TubInput& input : table_.inputs) {
      const json* value = find(record, input.name);
      switch (input.kind) {
        case TubKind::image:
          images[input.slot] = image(input, value);
          break;
        case TubKind::text:
          read_text(input, value, texts[input.slot]);
          break;
        case TubKind::list:
          read_list(input, value, &numbers[input.slot]);
          break;
        case TubKind::number:
        case TubKind::truth:
          if (input.action())
            read_action(input, value, numbers[input.slot]);
          else
            read_number(input, value, numbers[input.slot]);
          break;
      }
    }
    table_.rows.push_back(row);
    table_.numbers.insert(table_.numbers.end(), numbers.begin(), numbers.end());
    std::move(texts.begin(), texts.end(), std::back_inserter(table_.texts));
    std::move(images.begin(), images.end(), std::back_inserter(table_.images));
  }

  std::string image(const TubInput& input, const json* value) const {
    if (!value) throw BadRecord{input.name + " is missing", input.name + " is missing"};
    if (!value->is_string())
      throw BadRecord{input.name + " is not a file name",
                      fmt::format("{} is {}", input.name, shown(*value))};
    auto name = value->get<std::string>();
    const auto problem = problem_with_file(root_, image_folder_, name, kTubImageLimitBytes);
    if (!problem.empty())
      throw BadRecord{"the image cannot be used: " + problem,
                      fmt::format("images/{}: {}", printable(name), problem)};
    return name;
  }

  /// Of records with the same _index the last one stays: a recorder that starts again at an index
  /// (after a loss of power) writes its images over those of the first.
  void drop_repeated() {
    const auto& rows = table_.rows;
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return rows[a].index < rows[b].index; });
    std::vector<bool> repeated(rows.size());
    bool any = false;
    for (size_t i = 0; i + 1 < order.size(); ++i) {
      const int64_t index = rows[order[i]].index;
      if (index != rows[order[i + 1]].index) continue;
      repeated[order[i]] = any = true;
      count_skipped(table_.skipped, "another record with the same _index follows",
                    fmt::format("{}: _index {}", root_.string(), index));
    }
    if (any) drop(repeated);
  }

  void drop(const std::vector<bool>& dropped) {
    const auto compact = [&](auto& values, size_t per_row) {
      size_t to = 0;
      for (size_t row = 0; row < dropped.size(); ++row)
        for (size_t k = 0; !dropped[row] && k < per_row; ++k, ++to)
          if (to != row * per_row + k) values[to] = std::move(values[row * per_row + k]);
      values.resize(to);
    };
    compact(table_.rows, 1);
    compact(table_.numbers, table_.numbers_per_row);
    compact(table_.texts, table_.texts_per_row);
    compact(table_.images, table_.images_per_row);
  }

  Path root_, image_folder_;
  TubManifest manifest_;
  TubRecords table_;
  std::string session_;
  int64_t session_number_ = 0;
};

}  // namespace

TubRecords read_tub_records(const Path& root) { return Reader(root).read(); }

}  // namespace argosy::data
