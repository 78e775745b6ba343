#include "data/dataset_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/parquet.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRewrite =
    "the files disagree; copy the data set again, or ingest the recordings again";
constexpr int64_t kMostFiles = 1000000000;

/// Reads the parts of one data set; `report_` hears of each defect.
class FolderReader {
 public:
  FolderReader(const Path& folder, const Report& report) : folder_(folder), report_(report) {}

  DatasetFiles load() {
    const Path info = folder_ / "meta/info.json";
    std::error_code error;
    if (!fs::is_directory(folder_, error))
      throw Error({.what = "there is no such folder",
                   .where = folder_,
                   .fix = "give the folder of a data set (the one with meta/info.json)"});
    if (!fs::exists(info, error))
      throw Error({.what = "this is not a data set: meta/info.json is missing",
                   .where = folder_,
                   .fix = "give the folder of a LeRobotDataset v3.0; `argosy ingest` makes one "
                          "from recordings"});
    files_.info = parse_info(read_file(info, size_t{64} << 20), info);
    load_tasks();
    load_episodes();
    load_data();
    check_places();
    return std::move(files_);
  }

 private:
  void defect(const Path& where, const std::string& detail, std::string what) {
    report_(
        {.what = std::move(what),
         .where = detail.empty() ? where.string() : fmt::format("{}, {}", where.string(), detail),
         .fix = kRewrite,
         .kind = ErrorKind::file});
  }

  void load_tasks() {
    const Path file = folder_ / "meta/tasks.parquet";
    std::error_code error;
    if (files_.info.tasks == 0 && !fs::exists(file, error)) return;
    const ParquetReader table(file);
    const char* column = table.has("task") ? "task" : "__index_level_0__";
    files_.tasks = table.texts(column);
    const auto numbers = table.integers("task_index");
    for (size_t i = 0; i < numbers.size(); ++i)
      if (numbers[i] != static_cast<int64_t>(i)) {
        defect(file, fmt::format("row {}", i),
               fmt::format("task_index is {} instead of {}", numbers[i], i));
        break;
      }
    if (static_cast<int64_t>(files_.tasks.size()) != files_.info.tasks)
      defect(file, "",
             fmt::format("it has {} tasks, info.json says {}", files_.tasks.size(),
                         files_.info.tasks));
  }

  /// A column of the episodes table; zeros where it is optional and missing.
  std::vector<int64_t> integers(const ParquetReader& table, const std::string& column,
                                int64_t otherwise) {
    if (table.has(column)) return table.integers(column);
    return std::vector<int64_t>(static_cast<size_t>(table.rows()), otherwise);
  }

  void load_episodes() {
    for (const Path& file : parquet_files(folder_ / "meta/episodes")) load_episodes_file(file);
    const auto count = static_cast<int64_t>(files_.episodes.size());
    if (count != files_.info.episodes)
      defect(folder_ / "meta/episodes", "",
             fmt::format("there are {} episodes, info.json says {}", count, files_.info.episodes));
  }

  void load_episodes_file(const Path& file) {
    const ParquetReader table(file);
    const auto index = table.integers("episode_index");
    const auto from = table.integers("dataset_from_index"), to = table.integers("dataset_to_index");
    const auto length = integers(table, "length", -1);
    const auto chunk = integers(table, "data/chunk_index", -1),
               number = integers(table, "data/file_index", -1);
    const auto tasks = table.has("tasks") ? table.text_lists("tasks")
                                          : std::vector<std::vector<std::string>>(index.size());
    const auto texts = [&](const char* column) {
      return table.has(column) ? table.texts(column) : std::vector<std::string>(index.size());
    };
    const auto source = texts("source"), provenance = texts("provenance");
    const size_t first = files_.episodes.size();
    for (size_t i = 0; i < index.size(); ++i) {
      const std::string where = fmt::format("row {}", i);
      const auto expected = static_cast<int64_t>(files_.episodes.size());
      const int64_t begin = files_.episodes.empty() ? 0 : files_.episodes.back().to;
      if (index[i] != expected)
        defect(file, where, fmt::format("episode_index is {} instead of {}", index[i], expected));
      if (from[i] != begin || to[i] <= from[i])
        defect(file, where,
               fmt::format("the rows [{}, {}) do not follow row {}", from[i], to[i], begin));
      if (length[i] >= 0 && length[i] != to[i] - from[i])
        defect(file, where,
               fmt::format("length is {} but the rows are [{}, {})", length[i], from[i], to[i]));
      files_.episodes.push_back({.index = expected,
                                 .from = from[i],
                                 .to = to[i],
                                 .tasks = tasks[i],
                                 .source = source[i],
                                 .provenance = provenance[i]});
      files_.places.push_back({.data_chunk = chunk[i], .data_file = number[i]});
    }
    for (const Feature& feature : files_.info.features)
      if (feature.video()) load_segments(file, table, feature.name, first);
  }

  void load_segments(const Path& file, const ParquetReader& table, const std::string& camera,
                     size_t first) {
    const std::string prefix = "videos/" + camera + "/";
    const auto chunk = table.integers(prefix + "chunk_index"),
               number = table.integers(prefix + "file_index");
    const auto from_s = table.numbers(prefix + "from_timestamp");
    const auto to_s = table.has(prefix + "to_timestamp") ? table.numbers(prefix + "to_timestamp")
                                                         : std::vector<double>();
    for (size_t i = 0; i < from_s.size(); ++i) {
      const double at = from_s[i] * files_.info.fps;
      if (!(at >= -0.5 && at < 1e12) || std::abs(at - std::round(at)) >= 1e-4 * files_.info.fps) {
        defect(file, fmt::format("row {}, camera {}", i, camera),
               fmt::format("from_timestamp {} s is not the time of a frame at {} frames per second",
                           from_s[i], files_.info.fps));
        continue;
      }
      if (chunk[i] < 0 || number[i] < 0 || chunk[i] > kMostFiles || number[i] > kMostFiles) {
        defect(file, fmt::format("row {}, camera {}", i, camera),
               fmt::format("chunk {}, file {} is out of range", chunk[i], number[i]));
        continue;
      }
      const Path video = folder_ / expand_path(files_.info.video_path, camera, chunk[i], number[i],
                                               folder_ / "meta/info.json");
      files_.episodes[first + i].videos[camera] = {.file = video, .first_frame = std::llround(at)};
      if (!to_s.empty()) files_.places[first + i].video_to_s[camera] = to_s[i];
      std::error_code error;
      if (seen_.insert(video).second && !fs::exists(video, error))
        report_({.what = fmt::format("the video of episode {}, camera {} is missing", first + i,
                                     camera),
                 .where = video,
                 .fix = "copy the data set again",
                 .kind = ErrorKind::file});
    }
  }

  void load_data() {
    int64_t row = 0;
    for (const Path& path : parquet_files(folder_ / "data")) {
      const ParquetReader table(path);
      files_.data.push_back({.path = path, .first_row = row, .rows = table.rows()});
      for (const std::string& column : table.columns())
        if (std::none_of(files_.info.features.begin(), files_.info.features.end(),
                         [&](const Feature& f) { return f.name == column; }) &&
            !column.starts_with("language"))
          defect(path, "", fmt::format("column \"{}\" is not listed in info.json", column));
      check_rows(table, files_.data.back());
      row += table.rows();
    }
    if (row != files_.info.frames)
      defect(folder_ / "data", "",
             fmt::format("there are {} rows, info.json says {}", row, files_.info.frames));
    const int64_t last = files_.episodes.empty() ? 0 : files_.episodes.back().to;
    if (row != last)
      defect(folder_ / "data", "",
             fmt::format("there are {} rows, the episodes have {}", row, last));
  }

  /// The index columns of one data file: the first wrong row of each kind is reported.
  void check_rows(const ParquetReader& table, const DataFile& file) {
    const auto index = table.integers("index"), episode = table.integers("episode_index");
    const auto frame = table.integers("frame_index"), task = table.integers("task_index");
    const auto timestamp = table.numbers("timestamp");
    bool index_ok = true, episode_ok = true, frame_ok = true, time_ok = true, task_ok = true;
    const auto expect = [&](bool& ok, bool holds, int64_t i, const char* column, double value,
                            const std::string& right) {
      if (!ok || holds) return;
      ok = false;
      defect(file.path, fmt::format("row {}", i),
             fmt::format("{} is {} instead of {}", column, value, right));
    };
    for (int64_t i = 0; i < file.rows; ++i) {
      const auto k = static_cast<size_t>(i);
      const int64_t row = file.first_row + i;
      while (episode_ < files_.episodes.size() && files_.episodes[episode_].to <= row) ++episode_;
      expect(index_ok, index[k] == row, i, "index", static_cast<double>(index[k]),
             std::to_string(row));
      if (episode_ == files_.episodes.size()) continue;  // too many rows: reported by the caller
      const Episode& e = files_.episodes[episode_];
      const int64_t number = row - e.from;
      const double time = static_cast<double>(number) / files_.info.fps;
      expect(episode_ok, episode[k] == e.index, i, "episode_index", static_cast<double>(episode[k]),
             std::to_string(e.index));
      expect(frame_ok, frame[k] == number, i, "frame_index", static_cast<double>(frame[k]),
             std::to_string(number));
      // float32 seconds: 1e-4 s as LeRobot allows, and the rounding of long episodes
      expect(time_ok, std::abs(timestamp[k] - time) <= 1e-4 + 1e-7 * time, i, "timestamp",
             timestamp[k], fmt::format("{}", time));
      expect(task_ok, task[k] >= 0 && task[k] < static_cast<int64_t>(files_.tasks.size()), i,
             "task_index", static_cast<double>(task[k]),
             fmt::format("a number in [0, {})", files_.tasks.size()));
    }
  }

  /// Each episode must lie whole in the data file that its row names.
  void check_places() {
    for (size_t e = 0; e < files_.episodes.size(); ++e) {
      const Episode& episode = files_.episodes[e];
      const EpisodePlace& place = files_.places[e];
      const auto file =
          std::find_if(files_.data.begin(), files_.data.end(), [&](const DataFile& f) {
            return episode.from >= f.first_row && episode.from < f.first_row + f.rows;
          });
      if (file == files_.data.end()) continue;  // too few rows: already reported
      if (episode.to > file->first_row + file->rows)
        defect(file->path, fmt::format("episode {}", e), "its rows go on in another file");
      if (place.data_chunk < 0 || place.data_file < 0) continue;
      const Path named = folder_ / expand_path(files_.info.data_path, "", place.data_chunk,
                                               place.data_file, folder_ / "meta/info.json");
      if (named != file->path)
        defect(folder_ / "meta/episodes", fmt::format("episode {}", e),
               fmt::format("it names {} but its rows are in {}",
                           named.lexically_relative(folder_).string(),
                           file->path.lexically_relative(folder_).string()));
    }
  }

  Path folder_;
  const Report& report_;
  DatasetFiles files_;
  std::set<Path> seen_;
  size_t episode_ = 0;
};

}  // namespace

std::vector<Path> parquet_files(const Path& folder) {
  std::vector<Path> files;
  std::error_code error;
  for (const auto& chunk : fs::directory_iterator(folder, error)) {
    if (!chunk.is_directory(error) || chunk.path().filename().string().starts_with(".")) continue;
    for (const auto& file : fs::directory_iterator(chunk.path(), error))
      if (file.path().extension() == ".parquet" &&
          !file.path().filename().string().starts_with("."))
        files.push_back(file.path());
  }
  std::sort(files.begin(), files.end(),
            [](const Path& a, const Path& b) { return a.native() < b.native(); });
  return files;
}

DatasetFiles read_dataset_files(const Path& folder, const Report& report) {
  return FolderReader(folder, report).load();
}

}  // namespace argosy::data
