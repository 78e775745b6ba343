#include "data/dataset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "data/dataset_files.h"
#include "data/episodes_table.h"
#include "data/parquet.h"
#include "data/statistics.h"
#include "data/video.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

/// Chunk and number of a file; each tree counts its own.
struct FilePlace {
  int64_t chunk = 0, file = 0;
  void advance(int64_t chunks_size) {
    if (++file < chunks_size) return;
    file = 0;
    ++chunk;
  }
};

/// The place after the last file "chunk-NNN/file-NNN.*" below `tree`.
FilePlace first_free(const Path& tree, int64_t chunks_size) {
  FilePlace last{-1, -1};
  std::error_code error;
  for (const auto& chunk : fs::directory_iterator(tree, error))
    for (const auto& file : fs::directory_iterator(chunk.path(), error)) {
      long long c = 0, f = 0;
      if (std::sscanf(chunk.path().filename().c_str(), "chunk-%9lld", &c) != 1 ||
          std::sscanf(file.path().filename().c_str(), "file-%9lld", &f) != 1)
        continue;
      if (c > last.chunk || (c == last.chunk && f > last.file)) last = {c, f};
    }
  if (last.chunk < 0) return {};
  last.advance(chunks_size);
  return last;
}

/// The mp4 of one camera that grows: an encoded part per episode, joined when it is full.
struct CameraFile {
  FilePlace place;
  std::vector<Path> parts;
  int64_t bytes = 0, frames = 0;
};

/// Integer types and the numbers they hold.
struct IntegerType {
  const char* name;
  double low, high;
};
constexpr IntegerType kIntegers[] = {{"int8", -128, 127},
                                     {"int16", -32768, 32767},
                                     {"int32", -2147483648.0, 2147483647.0},
                                     {"int64", -9007199254740992.0, 9007199254740992.0},
                                     {"uint8", 0, 255},
                                     {"uint16", 0, 65535},
                                     {"uint32", 0, 4294967295.0},
                                     {"bool", 0, 1}};

const IntegerType* integer_type(const std::string& dtype) {
  for (const IntegerType& type : kIntegers)
    if (dtype == type.name) return &type;
  return nullptr;
}

/// What std::filesystem throws, as an Error.
template <typename Body>
void as_errors(const Body& body) {
  try {
    body();
  } catch (const fs::filesystem_error& error) {
    throw file_error("change", error.path1(), error.code().value());
  }
}

}  // namespace

struct DatasetWriter::State {
  Path folder;
  DatasetOptions options;
  std::vector<Feature> features;  ///< the index columns included
  std::optional<FileLock> lock;
  std::optional<PartialFolder> partial;
  bool adding = false, failed = false, committed = false;
  std::string info_text;
  int64_t chunks_size = 1000;
  int64_t old_episodes = 0, episodes = 0, frames = 0;
  std::vector<std::string> tasks;
  std::map<std::string, CameraFile> cameras;
  FilePlace data_place;
  std::optional<ParquetWriter> data;
  std::optional<EpisodesTable> table;
  std::map<std::string, Statistics> totals;

  [[noreturn]] void refuse(std::string what, std::string fix) const {
    throw Error({.what = std::move(what), .where = folder, .fix = std::move(fix)});
  }

  void check_options() const;
  void take_over_old();
  std::map<std::string, Statistics> old_statistics(const DatasetFiles& old) const;
  void link_old() const;
  void check_episode(const EpisodeData& episode) const;
  Path encode(const EpisodeData& episode, const Feature& camera, Statistics& statistics) const;
  std::vector<ParquetColumn> make_columns(const EpisodeData& episode, int64_t task) const;
  void write_rows(const std::vector<ParquetColumn>& columns, int64_t length);
  void close_video(const std::string& camera, CameraFile& file);
  void add(const EpisodeData& episode);
  void commit();
  void open(const Path& to, const DatasetOptions& given);

  Path parts() const { return partial->path() / ".parts"; }
  Path place_path(const char* pattern, const std::string& camera, FilePlace place) const {
    return partial->path() / expand_path(pattern, camera, place.chunk, place.file, "info.json");
  }
};

void DatasetWriter::State::check_options() const {
  if (options.fps < 1 || options.fps > 1000)
    refuse(fmt::format("{} frames per second, the range is 1 to 1000", options.fps), "check fps");
  if (options.features.empty())
    refuse("a data set needs at least one feature", "name the columns and cameras");
  std::set<std::string> names;
  for (const Feature& f : options.features) {
    const std::string what = fmt::format("feature \"{}\"", f.name);
    if (f.name.empty() || f.name[0] == '.' || f.name.find('/') != std::string::npos ||
        is_index_feature(f.name))
      refuse(what + " has a name that is not allowed",
             "choose one without slash that does not begin with a dot and is no index column");
    if (!names.insert(f.name).second)
      refuse(what + " is listed twice", "give each feature one name");
    if (f.shape.empty() || f.shape.size() > 5 ||
        std::any_of(f.shape.begin(), f.shape.end(),
                    [](int64_t d) { return d < 1 || d > (1 << 24); }))
      refuse(fmt::format("{} has the shape [{}]", what, fmt::join(f.shape, ", ")),
             "give 1 to 5 sizes of at least 1");
    if (f.video() && (f.shape.size() != 3 || f.shape[2] != 3))
      refuse(fmt::format("{} has the shape [{}]", what, fmt::join(f.shape, ", ")),
             "give [height, width, 3]");
    if (f.dtype == "string" && f.width() != 1)
      refuse(what + " holds more than one text a row", "use the shape [1]");
    if (!f.video() && f.dtype != "string" && f.dtype != "float32" && f.dtype != "float64" &&
        !integer_type(f.dtype))
      refuse(fmt::format("{} is of type \"{}\", which cannot be written", what, f.dtype),
             "use float32, float64, int64, bool, string or video");
    for (const auto* texts : {&f.names, &f.units})
      if (!texts->empty() && static_cast<int64_t>(texts->size()) != f.width() && !f.video())
        refuse(
            fmt::format("{} has {} elements but {} names or units", what, f.width(), texts->size()),
            "give one for each element");
  }
}

void DatasetWriter::State::take_over_old() {
  const DatasetFiles old =
      read_dataset_files(folder, [](const ErrorText& text) { throw Error(text); });
  if (old.info.fps != options.fps)
    refuse(
        fmt::format("it has {} frames per second, the new episodes {}", old.info.fps, options.fps),
        "resample, or write to another folder");
  if (old.info.data_path != kDataPath ||
      (!old.info.video_path.empty() && old.info.video_path != kVideoPath))
    refuse("its files have other names than LeRobot gives them", "write to another folder");
  const auto describe = [](const Feature& f) {
    return fmt::format("\"{}\" {} [{}] {}", f.name, f.dtype, fmt::join(f.shape, ", "),
                       fmt::join(f.names, ","));
  };
  for (const Feature& feature : features) {
    const auto same = std::find_if(old.info.features.begin(), old.info.features.end(),
                                   [&](const Feature& f) { return f.name == feature.name; });
    Feature wanted = feature;
    if (wanted.video()) wanted.names.clear();
    if (same == old.info.features.end() || describe(*same) != describe(wanted))
      refuse(fmt::format("feature {} does not agree with the data set's {}", describe(wanted),
                         same == old.info.features.end() ? "features" : describe(*same)),
             "give the same features, or write to another folder");
  }
  if (old.info.features.size() != features.size())
    refuse(fmt::format("it has {} features, the new episodes {}", old.info.features.size(),
                       features.size()),
           "give the same features, or write to another folder");
  adding = true;
  info_text = read_file(folder / "meta/info.json");
  chunks_size = old.info.chunks_size;
  old_episodes = episodes = old.info.episodes;
  frames = old.info.frames;
  tasks = old.tasks;
  table->load(parquet_files(folder / "meta/episodes"));
  totals = old_statistics(old);
  data_place = first_free(folder / "data", chunks_size);
  for (auto& [name, camera] : cameras)
    camera.place = first_free(folder / "videos" / name, chunks_size);
}

/// From stats.json; where it cannot be read, from the columns and frames themselves.
std::map<std::string, Statistics> DatasetWriter::State::old_statistics(
    const DatasetFiles& old) const {
  std::map<std::string, Statistics> result;
  std::error_code error;
  const Path file = folder / "meta/stats.json";
  if (fs::exists(file, error))
    if (auto known = parse_statistics(read_file(file, size_t{256} << 20))) {
      for (auto& [name, statistics] : *known) result[name] = std::move(statistics);
      return result;
    }
  log::warning("{}: missing or not readable; the statistics are computed anew", file.string());
  for (const Feature& feature : features) {
    if (feature.numeric()) {
      std::vector<double> values;
      for (const DataFile& data_file : old.data)
        ParquetReader(data_file.path).read(feature.name, feature.shape, values);
      result[feature.name] = column_statistics(values, feature.shape.back());
    }
    if (!feature.video()) continue;
    ImageStatistics images;
    for (const Episode& episode : old.episodes) {
      const VideoSegment& segment = episode.videos.at(feature.name);
      VideoReader reader(segment.file);
      for (const int64_t i : ImageStatistics::sample(episode.length()))
        images.add(reader.read(segment.first_frame + i));
    }
    result[feature.name] = images.result();
  }
  return result;
}

/// The files that stay as they are: linked, or copied where the file system has no links.
void DatasetWriter::State::link_old() const {
  const std::set<std::string> rewritten = {"meta/info.json", "meta/stats.json",
                                           "meta/tasks.parquet"};
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const Path name = entry.path().lexically_relative(folder), to = partial->path() / name;
    if (entry.is_directory()) {
      make_folders(to);
      continue;
    }
    if (rewritten.contains(name.generic_string()) ||
        name.generic_string().starts_with("meta/episodes/"))
      continue;
    std::error_code error;
    if (!entry.is_symlink()) fs::create_hard_link(entry.path(), to, error);
    if (error || entry.is_symlink()) {
      error.clear();
      fs::copy(entry.path(), to, fs::copy_options::copy_symlinks, error);
    }
    if (error) throw file_error("link", to, error.value());
  }
  std::error_code ignored;
  fs::remove_all(partial->path() / "meta/episodes", ignored);
}

void DatasetWriter::State::check_episode(const EpisodeData& episode) const {
  const std::string where =
      fmt::format("{}, episode {} ({})", folder.string(), episodes, episode.source);
  const auto reject = [&](std::string what) {
    throw Error(
        {.what = std::move(what), .where = where, .fix = "correct the recording or its importer"});
  };
  if (episode.length < 1) reject("the episode has no frames");
  size_t used = 0;
  for (const Feature& f : options.features) {
    if (f.video()) {
      if (!episode.frame) reject(fmt::format("there are no frames for camera \"{}\"", f.name));
      continue;
    }
    ++used;
    if (f.dtype == "string") {
      const auto texts = episode.texts.find(f.name);
      if (texts == episode.texts.end() ||
          static_cast<int64_t>(texts->second.size()) != episode.length)
        reject(fmt::format("feature \"{}\" has not {} texts", f.name, episode.length));
      continue;
    }
    const auto column = episode.columns.find(f.name);
    const size_t expected = static_cast<size_t>(episode.length * f.width());
    if (column == episode.columns.end() || column->second.size() != expected)
      reject(fmt::format("feature \"{}\" has {} numbers instead of {} x {}", f.name,
                         column == episode.columns.end() ? 0 : column->second.size(),
                         episode.length, f.width()));
    const IntegerType* type = integer_type(f.dtype);
    for (size_t i = 0; type && i < expected; ++i)
      if (const double v = column->second[i];
          !(v >= type->low && v <= type->high) || v != std::floor(v))
        reject(fmt::format("frame {} of feature \"{}\" is {}, which is no {}",
                           i / static_cast<size_t>(f.width()), f.name, v, f.dtype));
  }
  if (used != episode.columns.size() + episode.texts.size())
    reject("it has columns that are not features of the data set");
}

Path DatasetWriter::State::encode(const EpisodeData& episode, const Feature& camera,
                                  Statistics& statistics) const {
  const auto number = std::find_if(cameras.begin(), cameras.end(),
                                   [&](const auto& c) { return c.first == camera.name; });
  const Path part =
      parts() / fmt::format("{}-{}.mp4", std::distance(cameras.begin(), number), episodes);
  const auto height = static_cast<int>(camera.shape[0]), width = static_cast<int>(camera.shape[1]);
  try {
    VideoWriter writer(part, height, width, options.fps, options.video.codec, options.video.gop,
                       options.video.quality);
    ImageStatistics images;
    const auto sample = ImageStatistics::sample(episode.length);
    auto next = sample.begin();
    for (int64_t i = 0; i < episode.length; ++i) {
      const Image image = episode.frame(camera.name, i);
      if (image.height != height || image.width != width ||
          image.pixels.size() != size_t(3) * height * width)
        throw Error(
            {.what = fmt::format("frame {} of camera {} is {} x {} pixels instead of {} x {}", i,
                                 camera.name, image.width, image.height, width, height),
             .where = fmt::format("{}, episode {} ({})", folder.string(), episodes, episode.source),
             .fix = "correct the recording, or resize its frames"});
      writer.write(image);
      if (next != sample.end() && *next == i) {
        images.add(image);
        ++next;
      }
    }
    writer.finish();
    statistics = images.result();
  } catch (...) {
    std::error_code ignored;
    fs::remove(part, ignored);
    throw;
  }
  return part;
}

std::vector<ParquetColumn> DatasetWriter::State::make_columns(const EpisodeData& episode,
                                                              int64_t task) const {
  std::vector<ParquetColumn> columns;
  const auto n = static_cast<size_t>(episode.length);
  for (const Feature& f : features) {
    if (f.video()) continue;
    ParquetColumn column{.name = f.name, .type = f.dtype, .shape = f.shape};
    const auto fill = [&](const auto& value) {
      column.numbers.resize(n);
      for (size_t i = 0; i < n; ++i) column.numbers[i] = static_cast<double>(value(i));
    };
    if (f.name == "timestamp")
      fill([&](size_t i) { return static_cast<float>(static_cast<double>(i) / options.fps); });
    else if (f.name == "frame_index")
      fill([](size_t i) { return i; });
    else if (f.name == "episode_index")
      fill([&](size_t) { return episodes; });
    else if (f.name == "index")
      fill([&](size_t i) { return frames + static_cast<int64_t>(i); });
    else if (f.name == "task_index")
      fill([&](size_t) { return task; });
    else if (f.dtype == "string")
      column.texts = episode.texts.at(f.name);
    else
      column.numbers = episode.columns.at(f.name);
    columns.push_back(std::move(column));
  }
  return columns;
}

void DatasetWriter::State::write_rows(const std::vector<ParquetColumn>& columns, int64_t length) {
  if (data && data->rows() > 0) {
    const double row_bytes = static_cast<double>(data->bytes()) / static_cast<double>(data->rows());
    if (static_cast<double>(data->bytes()) + row_bytes * static_cast<double>(length) >=
        static_cast<double>(options.data_file_bytes)) {
      data->finish();
      data.reset();
      data_place.advance(chunks_size);
    }
  }
  if (!data) {
    const Path path = place_path(kDataPath, "", data_place);
    make_folders(path.parent_path());
    data.emplace(path);
  }
  data->write(columns);
}

void DatasetWriter::State::close_video(const std::string& camera, CameraFile& file) {
  if (file.parts.empty()) return;
  const Path path = place_path(kVideoPath, camera, file.place);
  make_folders(path.parent_path());
  if (file.parts.size() == 1)
    fs::rename(file.parts[0], path);
  else
    concatenate_videos(file.parts, path, options.fps);
  std::error_code ignored;
  for (const Path& part : file.parts) fs::remove(part, ignored);
  file.place.advance(chunks_size);
  file.parts.clear();
  file.bytes = file.frames = 0;
}

void DatasetWriter::State::add(const EpisodeData& episode) {
  check(!committed, "nothing can be added after commit()");
  if (failed)
    refuse("an earlier write failed, so the data set cannot be finished",
           "free some space and run the same command again");
  check_episode(episode);
  // Up to here, and while encoding, an Error rejects the episode alone.
  EpisodeRow row{.index = episodes,
                 .from = frames,
                 .to = frames + episode.length,
                 .tasks = {episode.task},
                 .source = episode.source,
                 .provenance = episode.provenance};
  std::map<std::string, Path> parts;
  try {
    for (const Feature& f : options.features)
      if (f.video()) parts[f.name] = encode(episode, f, row.statistics[f.name]);
  } catch (...) {
    std::error_code ignored;
    for (const auto& [name, part] : parts) fs::remove(part, ignored);
    throw;
  }
  failed = true;  // until all of it is written
  for (auto& [name, part] : parts) {
    CameraFile& file = cameras.at(name);
    const auto bytes = static_cast<int64_t>(fs::file_size(part));
    if (file.bytes + bytes >= options.video_file_bytes) close_video(name, file);
    row.videos[name] = {.chunk = file.place.chunk,
                        .file = file.place.file,
                        .from_s = static_cast<double>(file.frames) / options.fps,
                        .to_s = static_cast<double>(file.frames + episode.length) / options.fps};
    file.parts.push_back(part);
    file.bytes += bytes;
    file.frames += episode.length;
  }
  const auto task = std::find(tasks.begin(), tasks.end(), episode.task);
  const auto columns = make_columns(episode, task - tasks.begin());
  write_rows(columns, episode.length);
  row.data_chunk = data_place.chunk;
  row.data_file = data_place.file;
  if (task == tasks.end()) tasks.push_back(episode.task);
  for (const ParquetColumn& column : columns)
    if (column.type != "string")
      row.statistics[column.name] = column_statistics(column.numbers, column.shape.back());
  for (const auto& [name, statistics] : row.statistics) {
    const auto total = totals.find(name);
    if (total != totals.end() && total->second.mean.size() == statistics.mean.size())
      total->second = aggregate(std::array{total->second, statistics});
    else if (old_episodes == 0 && total == totals.end())
      totals[name] = statistics;
  }
  table->add(row);
  ++episodes;
  frames += episode.length;
  failed = false;
}

void DatasetWriter::State::commit() {
  check(!committed, "commit() is called once");
  if (failed)
    refuse("an earlier write failed, so the data set cannot be finished",
           "free some space and run the same command again");
  if (episodes == 0) refuse("there is no episode to write", "check what the recordings hold");
  if (adding && episodes == old_episodes) {
    committed = true;
    partial.reset();
    return;
  }
  failed = true;
  if (data) data->finish();
  data.reset();
  for (auto& [name, file] : cameras) close_video(name, file);
  std::error_code ignored;
  fs::remove_all(parts(), ignored);
  const Path meta = partial->path() / "meta";
  const Path episodes_file = partial->path() / expand_path(kEpisodesPath, "", 0, 0, "info.json");
  make_folders(episodes_file.parent_path());
  table->write(episodes_file);
  write_tasks(meta / "tasks.parquet", tasks);
  NamedStatistics named;
  for (const Feature& f : features)
    if (const auto found = totals.find(f.name); found != totals.end())
      named.emplace_back(f.name, found->second);
  write_file(meta / "stats.json", statistics_json(named));
  write_file(meta / "info.json",
             info_with_totals(info_text, episodes, frames, static_cast<int64_t>(tasks.size())));
  adding ? partial->replace() : partial->commit();
  failed = false;
  committed = true;
}

void DatasetWriter::State::open(const Path& to, const DatasetOptions& given) {
  folder = fs::absolute(to).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  options = given;
  check_options();
  features = options.features;
  for (const Feature& f : index_features()) features.push_back(f);
  std::vector<VideoFacts> videos;
  for (const Feature& f : options.features) {
    if (!f.video()) continue;
    cameras[f.name];
    videos.push_back({f.name, options.video.codec, static_cast<int>(f.shape[0]),
                      static_cast<int>(f.shape[1]), options.video.gop, options.video.quality});
  }
  table.emplace(features);
  make_folders(folder.parent_path());
  lock.emplace(folder.parent_path() / fmt::format(".{}.lock", folder.filename().string()),
               "is being written to", folder);
  PartialFolder::recover(folder);
  if (fs::exists(folder) && !(fs::is_directory(folder) && fs::is_empty(folder)))
    take_over_old();
  else
    info_text = new_info(options.fps, options.robot_type, options.features, videos,
                         std::max<int64_t>(1, options.data_file_bytes >> 20),
                         std::max<int64_t>(1, options.video_file_bytes >> 20));
  partial.emplace(folder);
  if (adding) link_old();
  make_folders(parts());
}

DatasetWriter::DatasetWriter(const Path& folder, const DatasetOptions& options)
    : state_(std::make_unique<State>()) {
  as_errors([&] { state_->open(folder, options); });
}

DatasetWriter::~DatasetWriter() = default;

void DatasetWriter::add(const EpisodeData& episode) {
  as_errors([&] { state_->add(episode); });
}
int64_t DatasetWriter::episodes() const { return state_->episodes; }
int64_t DatasetWriter::frames() const { return state_->frames; }
void DatasetWriter::commit() {
  as_errors([&] { state_->commit(); });
}

}  // namespace argosy::data
