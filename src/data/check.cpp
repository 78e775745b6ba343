#include "data/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/threads.h"
#include "data/dataset_files.h"
#include "data/parquet.h"
#include "data/statistics.h"
#include "data/video.h"

namespace argosy::data {
namespace fs = std::filesystem;
namespace {

constexpr int kMostPerFile = 5;  // a cut file would else name each of its frames

class Check {
 public:
  Check(const Path& folder, const std::function<void(int64_t, int64_t)>& progress)
      : folder_(folder), progress_(progress) {}

  std::vector<std::string> run() {
    attempt([&] {
      files_ = read_dataset_files(folder_, [&](const ErrorText& text) { add(Error(text)); });
    });
    if (files_) {
      check_columns();
      check_statistics();
      collect_segments();
    }
    find_strays();
    for (const auto& [file, segments] : videos_) total_ += segments.frames;
    for (const auto& [file, segments] : videos_) check_video(file, segments);
    return std::move(defects_);
  }

 private:
  struct Segment {
    int64_t first, length, episode;
  };
  struct Segments {
    const Feature* camera = nullptr;
    std::vector<Segment> list;
    int64_t frames = 0;
  };

  void add(const Error& error) { defects_.emplace_back(error.what()); }
  void add(const Path& where, std::string what,
           std::string fix = "copy the data set again, or ingest the recordings again") {
    add(Error(
        {.what = std::move(what), .where = where, .fix = std::move(fix), .kind = ErrorKind::file}));
  }
  template <typename Body>
  void attempt(const Body& body) {
    try {
      body();
    } catch (const Error& error) {
      add(error);
    }
  }

  /// Every column of every data file can be read and has its shape.
  void check_columns() {
    for (const DataFile& file : files_->data)
      attempt([&] {
        const ParquetReader table(file.path);
        for (const Feature& feature : files_->info.features)
          attempt([&] {
            std::vector<float> values;
            if (feature.numeric()) table.read(feature.name, feature.shape, values);
            if (feature.dtype == "string") table.texts(feature.name);
          });
      });
  }

  void check_statistics() {
    const Path file = folder_ / "meta/stats.json";
    std::error_code error;
    if (!fs::exists(file, error))
      return add(file, "the statistics are missing",
                 "training with normalisation needs them: ingest again");
    attempt([&] {
      if (!parse_statistics(read_file(file, size_t{256} << 20)))
        add(file, "the statistics are not readable");
    });
  }

  void collect_segments() {
    for (const Episode& episode : files_->episodes)
      for (const auto& [camera, segment] : episode.videos) {
        Segments& segments = videos_[segment.file];
        for (const Feature& feature : files_->info.features)
          if (feature.name == camera) segments.camera = &feature;
        segments.list.push_back({segment.first_frame, episode.length(), episode.index});
        segments.frames += episode.length();
        const auto& ends = files_->places[static_cast<size_t>(episode.index)].video_to_s;
        const double end =
            static_cast<double>(segment.first_frame + episode.length()) / files_->info.fps;
        if (const auto told = ends.find(camera);
            told != ends.end() && !(std::abs(told->second - end) < 0.5 / files_->info.fps))
          add(segment.file, fmt::format("episode {} ends at {} s, but to_timestamp is {} s",
                                        episode.index, end, told->second));
      }
  }

  /// Files below data/, meta/ and videos/ that nothing refers to.
  void find_strays() {
    std::set<Path> known;
    for (const char* name : {"info.json", "stats.json", "tasks.parquet"})
      known.insert(folder_ / "meta" / name);
    for (const Path& file : parquet_files(folder_ / "meta/episodes")) known.insert(file);
    for (const Path& file : parquet_files(folder_ / "data")) known.insert(file);
    for (const auto& [file, segments] : videos_) known.insert(file);
    for (const char* tree : {"data", "meta", "videos"}) {
      std::error_code error;
      for (const auto& entry : fs::recursive_directory_iterator(folder_ / tree, error))
        if (!entry.is_directory(error) && !known.contains(entry.path()))
          add(entry.path(), "nothing in the data set refers to this file",
              "remove it, or copy the data set again");
    }
  }

  void check_video(const Path& file, const Segments& segments) {
    const int64_t before = done_;
    attempt([&] {
      std::error_code error;
      if (!fs::exists(file, error)) return;  // named by read_dataset_files
      VideoReader reader(file, thread_count());
      check_shape(file, reader, segments);
      check_segments(file, reader, segments);
      int bad = 0;
      for (int64_t n = 0; n < reader.frames() && bad < kMostPerFile;) try {
          reader.decode(n++);
          if (progress_ && ++done_ % 16 == 0) progress_(std::min(done_, total_), total_);
        } catch (const Error& defect) {
          add(defect);
          ++bad;
          n = reader.group_end(n - 1);
        }
    });
    done_ = before + segments.frames;
    if (progress_) progress_(done_, total_);
  }

  void check_shape(const Path& file, const VideoReader& reader, const Segments& segments) {
    const auto& shape = segments.camera->shape;
    if (shape[0] != 0 && (reader.height() != shape[0] || reader.width() != shape[1]))
      add(file, fmt::format("the frames are {} x {} pixels, info.json says {} x {}", reader.width(),
                            reader.height(), shape[1], shape[0]));
    const double fps = files_->info.fps;
    if (reader.frames() > 1 &&
        std::abs(reader.fps() - fps) * static_cast<double>(reader.frames()) > 0.5 * fps)
      add(file,
          fmt::format("the video has {} frames per second, info.json says {}", reader.fps(), fps));
  }

  /// The episodes of a file follow each other from its first frame to its last.
  void check_segments(const Path& file, const VideoReader& reader, Segments segments) {
    std::sort(segments.list.begin(), segments.list.end(),
              [](const Segment& a, const Segment& b) { return a.first < b.first; });
    int64_t next = 0;
    for (const Segment& segment : segments.list) {
      if (segment.first != next)
        add(file, fmt::format("episode {} begins at frame {}, the one before ends at frame {}",
                              segment.episode, segment.first, next));
      next = segment.first + segment.length;
    }
    if (next != reader.frames())
      add(file, fmt::format("the video has {} frames, its episodes {}", reader.frames(), next));
  }

  Path folder_;
  const std::function<void(int64_t, int64_t)>& progress_;
  std::optional<DatasetFiles> files_;
  std::map<Path, Segments> videos_;
  std::vector<std::string> defects_;
  int64_t done_ = 0, total_ = 0;
};

}  // namespace

std::vector<std::string> check_dataset(const Path& folder,
                                       const std::function<void(int64_t, int64_t)>& progress) {
  return Check(folder, progress).run();
}

}  // namespace argosy::data
