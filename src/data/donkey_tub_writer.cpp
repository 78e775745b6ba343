// What Donkey Car's own Tub writes (donkeycar/parts/tub_v2.py), in an order that survives a kill:
// an image, then its record, then the manifests, which name what is already there. The manifests
// lag behind by up to a second; readers go by the lines of the catalogs.
#include "data/donkey_tub_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "data/recorded_files.h"
#include "data/video.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr auto kManifestsLag = std::chrono::seconds(1);
constexpr size_t kFileLimitBytes = size_t{256} << 20;

/// JSON with the spaces, the order and the escapes of Python's json.dumps(sort_keys=True).
std::string python_json(const json& value) {
  if (!value.is_structured()) return value.dump(-1, ' ', true, json::error_handler_t::replace);
  std::string text;
  for (const auto& [key, member] : value.items()) {
    if (!text.empty()) text += ", ";
    if (value.is_object()) text += python_json(key) + ": ";
    text += python_json(member);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

/// "21-12-17"
std::string date_of(int64_t time_ms) {
  const auto seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm time{};
  gmtime_r(&seconds, &time);
  return fmt::format("{:02}-{:02}-{:02}", time.tm_year % 100, time.tm_mon + 1, time.tm_mday);
}

/// "0_cam_image_array_.jpg"
std::string image_name(int64_t index, std::string input) {
  std::replace(input.begin(), input.end(), '/', '_');
  return fmt::format("{}_{}_.jpg", index, input);
}

/// The number of `key`, or `otherwise` where there is none that makes sense.
int64_t integer_or(const json& object, const char* key, int64_t otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return otherwise;
  const auto number = found->get<int64_t>();
  return number >= 0 && number < int64_t{1} << 53 ? number : otherwise;
}

bool same_inputs(std::span<const TubManifest::Input> a, std::span<const TubManifest::Input> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.name == y.name && x.type == y.type;
  });
}

}  // namespace

struct DonkeyTubWriter::State {
  Path folder;
  TubWriterOptions options;
  std::optional<FileLock> lock;

  json metadata = json::object(), about = json::object();  ///< lines 3 and 4 of the manifest
  std::vector<std::string> catalogs;
  std::vector<int64_t> deleted;
  int64_t next_index = 0;
  std::string session;  ///< "21-12-17_0"; empty before the first record

  std::unique_ptr<GrowingFile> catalog;  ///< the last one
  int64_t catalog_start = 0;
  double catalog_created_s = 0;
  std::vector<size_t> line_lengths;
  Clock::time_point manifests_written;

  State(const Path& to, TubWriterOptions given) : folder(to), options(std::move(given)) {
    check(options.records_per_catalog > 0, "{} records per catalog", options.records_per_catalog);
    make_folders(folder / "images");
    lock.emplace(folder / ".lock", "is being recorded to");
    std::error_code ignored;
    if (fs::exists(folder / "manifest.json", ignored))
      go_on();
    else
      about["created_at"] = static_cast<double>(options.created_ms) / 1000;
    write_manifest();
  }

  // ---- a tub that is there ----

  void go_on() {
    const Path file = folder / "manifest.json";
    const std::string text = read_file(file, kFileLimitBytes);
    TubManifest manifest = parse_tub_manifest(text, file);
    if (!same_inputs(manifest.inputs, options.inputs))
      throw Error({.what = "the tub that is there has other inputs",
                   .where = folder,
                   .fix = "record into another folder"});
    std::vector<json> lines;
    for (size_t at = 0; lines.size() < 5; at = text.find('\n', at) + 1)
      lines.push_back(json::parse(*strict_json(text.substr(at, text.find('\n', at) - at), 16)));
    if (lines[2].is_object()) metadata = lines[2];
    about = lines[3];
    options.records_per_catalog =
        std::max<int64_t>(1, integer_or(lines[4], "max_len", options.records_per_catalog));
    next_index = integer_or(lines[4], "current_index", 0);
    catalogs = std::move(manifest.catalogs);
    deleted = std::move(manifest.deleted);
    if (!catalogs.empty()) go_on_with(catalogs.back());
  }

  /// Finds what a kill left: the manifests know less than the catalog, its last line may be cut.
  void go_on_with(const std::string& name) {
    std::error_code ignored;
    const bool empty = fs::file_size(folder / name, ignored) == 0;  // of a tub without records
    const auto problem =
        problem_with_file(fs::canonical(folder, ignored), folder, name, kFileLimitBytes);
    if (!problem.empty() && !empty)
      throw Error({.what = fmt::format("the tub's last catalog cannot be used: {}", problem),
                   .where = folder / printable(name),
                   .fix = "record into another folder",
                   .kind = ErrorKind::file});
    const std::string text = read_file(folder / name, kFileLimitBytes);
    size_t whole = 0;
    for (size_t end; (end = text.find('\n', whole)) != std::string::npos; whole = end + 1) {
      line_lengths.push_back(end + 1 - whole);
      const auto strict = strict_json(std::string_view(text).substr(whole, end - whole), 16);
      const json record = strict ? json::parse(*strict, nullptr, false) : json();
      if (!record.is_object()) continue;
      const int64_t index = integer_or(record, "_index", -1);
      next_index = std::max(next_index, index + 1);
      if (line_lengths.size() > 1) continue;
      catalog_start = std::max<int64_t>(index, 0);
      catalog_created_s = static_cast<double>(integer_or(record, "_timestamp_ms", 0)) / 1000;
    }
    catalog = std::make_unique<GrowingFile>(folder / name, whole);
  }

  // ---- writing ----

  void write(int64_t time_ms, std::span<const TubValue> values) {
    check(values.size() == options.inputs.size(), "{} values for {} inputs", values.size(),
          options.inputs.size());
    if (session.empty()) begin_session(time_ms);
    json record = {{"_index", next_index}, {"_session_id", session}, {"_timestamp_ms", time_ms}};
    std::vector<Path> images;
    try {
      for (size_t i = 0; i < values.size(); ++i) {
        const std::string& name = options.inputs[i].name;
        if (const auto* image = std::get_if<const Image*>(&values[i])) {
          const std::string file = image_name(next_index, name);
          images.push_back(folder / "images" / file);
          write_file(images.back(), encode_jpeg(**image, options.jpeg_quality), false);
          record[name] = file;
        } else if (json value = json_of(options.inputs[i], values[i]); !value.is_null()) {
          record[name] = std::move(value);
        }
      }
      append(python_json(record) + "\n", time_ms);
    } catch (...) {
      std::error_code ignored;
      for (const Path& image : images) fs::remove(image, ignored);
      throw;
    }
    ++next_index;
    if (line_lengths.size() == 1 || Clock::now() - manifests_written >= kManifestsLag)
      write_manifests();
  }

  static json json_of(const TubManifest::Input& input, const TubValue& value) {
    const auto fits = [&](std::initializer_list<const char*> types) {
      check(std::find(types.begin(), types.end(), input.type) != types.end(),
            "a value of another kind for {} {}", input.type, input.name);
    };
    if (const auto* number = std::get_if<double>(&value)) {
      fits({"float"});
      return std::isfinite(*number) ? json(*number) : json();
    }
    if (const auto* integer = std::get_if<int64_t>(&value)) return fits({"int"}), json(*integer);
    if (const auto* truth = std::get_if<bool>(&value)) return fits({"boolean"}), json(*truth);
    if (const auto* text = std::get_if<std::string>(&value)) return fits({"str"}), json(*text);
    if (const auto* list = std::get_if<std::vector<double>>(&value)) {
      fits({"list", "vector", "nparray"});
      const auto finite = [](double x) { return std::isfinite(x); };
      return std::all_of(list->begin(), list->end(), finite) ? json(*list) : json();
    }
    return {};
  }

  void append(const std::string& line, int64_t time_ms) {
    const bool full = next_index % options.records_per_catalog == 0 && !line_lengths.empty();
    if (catalog && !full) {
      catalog->append(line);
    } else {
      if (catalog) write_manifests();  // the last word on the old one
      const std::string name = fmt::format("catalog_{}.catalog", catalogs.size());
      auto next = std::make_unique<GrowingFile>(folder / name);
      next->append(line);
      catalog = std::move(next);
      catalogs.push_back(name);
      line_lengths.clear();
    }
    if (line_lengths.empty()) {
      catalog_start = next_index;
      catalog_created_s = static_cast<double>(time_ms) / 1000;
    }
    line_lengths.push_back(line.size());
  }

  void begin_session(int64_t time_ms) {
    json sessions = about.value("sessions", json::object());
    if (!sessions.is_object()) sessions = json::object();
    const int64_t id = integer_or(sessions, "last_id", -1) + 1;
    session = fmt::format("{}_{}", date_of(time_ms), id);
    json& all = sessions["all_full_ids"];
    if (!all.is_array()) all = json::array();
    all.push_back(session);
    sessions["last_id"] = id;
    sessions["last_full_id"] = session;
    about["sessions"] = std::move(sessions);
  }

  void write_manifests() {
    if (catalog) {
      catalog->sync();
      const Path file = Path(folder / catalogs.back()).replace_extension(".catalog_manifest");
      write_file_atomically(file, python_json({{"created_at", catalog_created_s},
                                               {"line_lengths", line_lengths},
                                               {"path", file.filename().string()},
                                               {"start_index", catalog_start}}) +
                                      "\n");
    }
    write_manifest();
    manifests_written = Clock::now();
  }

  void write_manifest() {
    json names = json::array(), types = json::array();
    for (const auto& [name, type] : options.inputs) {
      names.push_back(name);
      types.push_back(type);
    }
    std::string text;
    for (const json& line : {names, types, metadata, about,
                             json{{"paths", catalogs},
                                  {"current_index", next_index},
                                  {"max_len", options.records_per_catalog},
                                  {"deleted_indexes", deleted}}})
      text += python_json(line) + "\n";
    write_file_atomically(folder / "manifest.json", text);
  }
};

DonkeyTubWriter::DonkeyTubWriter(const Path& folder, TubWriterOptions options)
    : state_(std::make_unique<State>(folder, std::move(options))) {}

DonkeyTubWriter::~DonkeyTubWriter() = default;

void DonkeyTubWriter::write(int64_t time_ms, std::span<const TubValue> values) {
  check(state_->lock.has_value(), "a record for a tub that is closed");
  state_->write(time_ms, values);
}

int64_t DonkeyTubWriter::records() const { return state_->next_index; }

void DonkeyTubWriter::close() {
  if (!state_->lock) return;
  state_->write_manifests();
  state_->catalog.reset();
  state_->lock.reset();
}

}  // namespace argosy::data
