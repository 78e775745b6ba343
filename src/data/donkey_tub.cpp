// Donkey Car v4 tubs: manifest.json, catalog_N.catalog (a JSON record a line), images/.
// How inputs become features is told in docs/ingest.md.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <ctime>
#include <map>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "data/donkey_tub_records.h"
#include "data/importer.h"
#include "data/recorded_files.h"
#include "data/video.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

Path real_path(const Path& path) {
  std::error_code error;
  Path found = fs::canonical(path, error);
  if (error) throw file_error("open", path, error.value());
  return found;
}

/// LeRobot's feature names are columns and folders: no '/', nothing that a path could mean.
std::string feature_name(std::string_view input) {
  std::string name;
  for (const char c : input) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
    name += plain ? c : c == '/' ? '.' : '_';
  }
  while (name.starts_with('.')) name.erase(0, 1);
  return name.empty() ? "_" : name;
}

/// "cam/image_array" -> "observation.images.cam"
std::string camera_name(std::string_view input) {
  constexpr std::string_view kUsualEnd = "/image_array";
  if (input.ends_with(kUsualEnd)) input.remove_suffix(kUsualEnd.size());
  return "observation.images." + feature_name(input);
}

/// Where an input's numbers go: what the driver did, what a policy on board said (kept apart, as a
/// model that sees it would learn to copy it), what was sensed.
std::string column_name(const TubInput& input) {
  if (input.action()) return "action";
  return input.name.starts_with("pilot/") ? "pilot" : "observation.state";
}

std::string unit_of(const std::string& input) {
  for (const char* driver : {"user/angle", "user/throttle", "pilot/angle", "pilot/throttle"})
    if (input == driver) return "normalised";  // full left -1 .. full right 1; full reverse -1 .. 1
  return input.ends_with("/cms") ? "cm" : "";
}

/// "data_3 2021-12-17T03:27:45Z": the folder alone is called "data" on every car.
std::string source_name(const Path& root, double created_s) {
  const std::string name = printable(root.filename().string(), 120);
  if (!(created_s > 0 && created_s < 1e11)) return name;
  const auto seconds = static_cast<std::time_t>(created_s);
  std::tm time{};
  gmtime_r(&seconds, &time);
  return fmt::format("{} {:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", name, time.tm_year + 1900,
                     time.tm_mon + 1, time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec);
}

/// Decodes an image, which must be `shape` [H, W, 3] unless that is empty.
Image read_frame(const Path& path, const std::vector<int64_t>& shape) {
  const std::string bytes = read_file(path, kTubImageLimitBytes);
  Image image = decode_image(std::as_bytes(std::span(bytes)), path);
  if (!shape.empty() && (image.height != shape[0] || image.width != shape[1]))
    throw Error({.what = fmt::format("the image is {}x{}, the camera's others are {}x{}",
                                     image.width, image.height, shape[1], shape[0]),
                 .where = path,
                 .fix = "delete the record in the tub, or leave it to be skipped"});
  return image;
}

class DonkeyTub : public Recording {
 public:
  DonkeyTub(const Path& folder, const ImportOptions& options)
      : root_(real_path(folder)), images_(root_ / "images"), gap_ms_(1000 * options.gap_s) {
    table_ = read_tub_records(root_);
    info_.source = source_name(root_, table_.created_s);
    info_.robot_type = "donkeycar";
    info_.records = table_.found;
    info_.deleted = table_.deleted;
    info_.skipped = std::move(table_.skipped);
    info_.notes = std::move(table_.notes);
    if (table_.rows.empty()) refuse_empty();
    if (table_.images_per_row > 0 && real_path(images_) != images_)
      throw Error({.what = "the folder of the images is a link",
                   .where = images_,
                   .fix = "put the folder itself into the tub"});
    cut_episodes();
    describe_features();
    describe_missing();
  }

  const RecordingInfo& info() const override { return info_; }
  bool frames_in_any_order() const override { return true; }

  std::optional<EpisodeData> next() override {
    if (next_ + 1 >= starts_.size()) return std::nullopt;
    const size_t begin = starts_[next_], end = starts_[next_ + 1];
    ++next_;
    return episode(begin, end);
  }

 private:
  [[noreturn]] void refuse_empty() const {
    std::string what = "the tub has no records";
    if (info_.deleted > 0) what = fmt::format("all {} records are deleted", info_.deleted);
    if (!info_.skipped.empty()) {
      const Skipped& first = info_.skipped.front();
      what = fmt::format("none of the {} records can be used ({} deleted); the first: {} ({})",
                         info_.records, info_.deleted, first.reason, first.first);
    }
    throw Error({.what = what, .where = root_, .fix = "record again, or leave this recording out"});
  }

  /// An episode is unbroken time: neighbours in the tub, of one session, in order, without a pause.
  /// So a record that was deleted or skipped ends an episode too, and no clip sees across it.
  bool continues(const TubRow& before, const TubRow& row) const {
    const int64_t step_ms = row.time_ms - before.time_ms;
    return row.index == before.index + 1 && row.session == before.session && step_ms >= 0 &&
           static_cast<double>(step_ms) <= gap_ms_;
  }

  void cut_episodes() {
    const auto& rows = table_.rows;
    std::vector<double> steps_ms;
    int64_t backwards = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i > 0 && continues(rows[i - 1], rows[i])) {
        steps_ms.push_back(static_cast<double>(rows[i].time_ms - rows[i - 1].time_ms));
        continue;
      }
      if (i > 0 && rows[i].time_ms < rows[i - 1].time_ms) ++backwards;
      starts_.push_back(i);
    }
    info_.episodes = static_cast<int64_t>(starts_.size());
    info_.kept = static_cast<int64_t>(rows.size());
    starts_.push_back(rows.size());
    if (backwards > 0)
      info_.notes.push_back(
          fmt::format("the time stamps go backwards {} times: an episode ends there", backwards));
    if (steps_ms.empty()) return;
    const auto middle = steps_ms.begin() + static_cast<std::ptrdiff_t>(steps_ms.size() / 2);
    std::nth_element(steps_ms.begin(), middle, steps_ms.end());
    if (*middle > 0) info_.fps = 1000.0 / *middle;
  }

  /// The size that most of a few images spread over the tub have, as [H, W, 3].
  std::vector<int64_t> camera_shape(const TubInput& input) const {
    constexpr size_t kTries = 64, kVotes = 5, kStep = 27;  // kStep spreads the first few tries
    std::map<std::vector<int64_t>, size_t> votes;
    size_t decoded = 0;
    std::string problem;
    const size_t rows = table_.rows.size();
    for (size_t i = 0; i < kTries && decoded < kVotes; ++i) {
      try {
        const size_t row = i * kStep % kTries * rows / kTries;
        const Image image = read_frame(images_ / table_.image_of(row, input), {});
        ++votes[{image.height, image.width, 3}];
        ++decoded;
      } catch (const Error& error) {
        if (problem.empty()) problem = error.what();
      }
    }
    if (votes.empty())
      throw Error({.what = "no image that was looked at can be decoded; the first: " + problem,
                   .where = root_,
                   .fix = "take the tub from the recorder again"});
    return std::max_element(votes.begin(), votes.end(),
                            [](auto& a, auto& b) { return a.second < b.second; })
        ->first;
  }

  void describe_features() {
    const auto& inputs = table_.inputs;
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].kind == TubKind::image)
        add_feature({camera_name(inputs[i].name), "video", camera_shape(inputs[i]), {}, {}}, {i});
    for (const char* name : {"observation.state", "action", "pilot"}) add_numbers(name);
    add_feature({"recorded_at_ms", "int64", {1}, {}, {"ms"}}, {});
    add_feature({"source_record", "int64", {1}, {}, {}}, {});
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].kind == TubKind::text)
        add_feature({feature_name(inputs[i].name), "string", {1}, {}, {}}, {i});
  }

  void add_numbers(const std::string& name) {
    Feature feature{name, "float32", {}, {}, {}};
    std::vector<size_t> members;
    for (size_t i = 0; i < table_.inputs.size(); ++i) {
      const TubInput& input = table_.inputs[i];
      if (!input.numeric() || column_name(input) != name) continue;
      members.push_back(i);
      for (size_t k = 0; k < input.width; ++k) {
        const bool list = input.kind == TubKind::list;
        feature.names.push_back(list ? fmt::format("{}[{}]", input.name, k) : input.name);
        feature.units.push_back(unit_of(input.name));
      }
    }
    if (members.empty()) return;
    feature.shape = {static_cast<int64_t>(feature.names.size())};
    add_feature(std::move(feature), std::move(members));
  }

  void add_feature(Feature feature, std::vector<size_t> inputs) {
    static const std::set<std::string> kTaken = {"timestamp", "frame_index", "episode_index",
                                                 "index",     "task_index",  "task"};
    bool taken = kTaken.contains(feature.name);
    for (const Feature& other : info_.features) taken = taken || other.name == feature.name;
    if (taken) {
      info_.notes.push_back(fmt::format("input {} is left out: there is a column {} already",
                                        printable(table_.inputs[inputs.at(0)].name), feature.name));
      return;
    }
    info_.features.push_back(std::move(feature));
    feature_inputs_.push_back(std::move(inputs));
  }

  void describe_missing() {
    for (const TubInput& input : table_.inputs) {
      int64_t missing = 0;
      if (input.numeric())
        for (size_t row = 0; row < table_.rows.size(); ++row)
          missing += std::isnan(table_.numbers_of(row)[input.slot]);
      if (missing > 0)
        info_.notes.push_back(fmt::format("{}: {} of {} values are missing (NaN)",
                                          printable(input.name), missing, table_.rows.size()));
      if (input.unreadable > 0)
        info_.notes.push_back(
            fmt::format("{}: {} values are not of the declared type and kept as missing",
                        printable(input.name), input.unreadable));
    }
  }

  EpisodeData episode(size_t begin, size_t end) const {
    EpisodeData data;
    data.length = static_cast<int64_t>(end - begin);
    data.source = info_.source;
    struct Camera {
      std::vector<int64_t> shape;
      std::vector<std::string> files;
    };
    std::map<std::string, Camera> cameras;  // copied, so that the episode outlives the tub
    for (size_t f = 0; f < info_.features.size(); ++f) {
      const Feature& feature = info_.features[f];
      if (feature.video()) {
        Camera& camera = cameras[feature.name];
        camera.shape = feature.shape;
        for (size_t row = begin; row < end; ++row)
          camera.files.push_back(table_.image_of(row, only_input(f)));
      } else if (feature.dtype == "string") {
        auto& texts = data.texts[feature.name];
        for (size_t row = begin; row < end; ++row)
          texts.push_back(table_.text_of(row, only_input(f)));
      } else {
        data.columns[feature.name] = column(f, begin, end);
      }
    }
    data.frame = [cameras = std::move(cameras), folder = images_](const std::string& name,
                                                                  int64_t i) {
      const auto found = cameras.find(name);
      check(found != cameras.end(), "no camera {}", name);
      return read_frame(folder / found->second.files.at(static_cast<size_t>(i)),
                        found->second.shape);
    };
    return data;
  }

  const TubInput& only_input(size_t feature) const {
    return table_.inputs[feature_inputs_[feature].at(0)];
  }

  std::vector<double> column(size_t feature, size_t begin, size_t end) const {
    const std::string& name = info_.features[feature].name;
    std::vector<double> values;
    values.reserve((end - begin) * static_cast<size_t>(info_.features[feature].width()));
    for (size_t row = begin; row < end; ++row) {
      if (name == "recorded_at_ms") values.push_back(static_cast<double>(table_.rows[row].time_ms));
      if (name == "source_record") values.push_back(static_cast<double>(table_.rows[row].index));
      for (const size_t i : feature_inputs_[feature]) {
        const TubInput& input = table_.inputs[i];
        const auto from = table_.numbers_of(row).subspan(input.slot, input.width);
        values.insert(values.end(), from.begin(), from.end());
      }
    }
    return values;
  }

  Path root_, images_;
  double gap_ms_;
  TubRecords table_;
  RecordingInfo info_;
  std::vector<std::vector<size_t>> feature_inputs_;  ///< of info_.features: indexes of inputs
  std::vector<size_t> starts_;                       ///< of episodes, and the end
  size_t next_ = 0;
};

bool recognises(const Path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) &&
         fs::symlink_status(path / "manifest.json", ignored).type() != fs::file_type::not_found;
}

}  // namespace

const Importer kDonkeyTub = {
    .name = "donkey-tub",
    .summary = "Donkey Car v4 tub (a folder with manifest.json)",
    .recognises = recognises,
    .open = [](const Path& path, const ImportOptions& options) -> std::unique_ptr<Recording> {
      return std::make_unique<DonkeyTub>(path, options);
    },
};

}  // namespace argosy::data
