#include "run/split_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/crc32c.h"
#include "base/error.h"

namespace argosy::run {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kSplitFile = "split.json";
constexpr size_t kLargestSplit = size_t{1} << 30;

Json to_json(std::span<const EpisodeMark> marks) {
  Json list = Json::array();
  for (const EpisodeMark& mark : marks)
    list.push_back({{"source", mark.source},
                    {"number", mark.number},
                    {"frames", mark.frames},
                    {"first_row", mark.first_row},
                    {"crc32c", mark.crc32c}});
  return list;
}

std::vector<EpisodeMark> marks_of(const Json& list) {
  std::vector<EpisodeMark> marks;
  for (const Json& entry : list)
    marks.push_back({.source = entry.at("source").get<std::string>(),
                     .number = entry.at("number").get<int64_t>(),
                     .frames = entry.at("frames").get<int64_t>(),
                     .first_row = entry.at("first_row").get<int64_t>(),
                     .crc32c = entry.at("crc32c").get<uint32_t>()});
  return marks;
}

/// What an episode is known by, whatever it is called.
using Content = std::pair<int64_t, uint32_t>;
Content content(const EpisodeMark& mark) { return {mark.frames, mark.crc32c}; }

}  // namespace

std::vector<EpisodeMark> mark_episodes(const data::Dataset& dataset,
                                       std::span<const Element> outputs) {
  std::vector<EpisodeMark> marks;
  std::map<std::string, int64_t> count;
  for (const data::Episode& episode : dataset.episodes()) {
    EpisodeMark mark{.source = episode.source,
                     .number = count[episode.source]++,
                     .frames = episode.length(),
                     .first_row = episode.from};
    std::vector<float> values;
    for (const Element& output : outputs) {
      const std::span<const float> column = dataset.column(output.feature);
      const int64_t width = dataset.feature(output.feature).width();
      for (int64_t row = episode.from; row < episode.to; ++row)
        values.push_back(column[static_cast<size_t>(row * width + output.offset)]);
    }
    mark.crc32c =
        crc32c({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
    marks.push_back(std::move(mark));
  }
  return marks;
}

void write_split(const Path& run, const SplitRecord& record) {
  const Json json = {{"dataset", record.dataset},
                     {"training", to_json(record.training)},
                     {"held_out", to_json(record.held_out)}};
  write_file_atomically(run / kSplitFile,
                        json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<SplitRecord> read_split(const Path& run) {
  const Path file = run / kSplitFile;
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  try {
    const Json json = Json::parse(read_file(file, kLargestSplit));
    return SplitRecord{.dataset = json.at("dataset").get<std::string>(),
                       .training = marks_of(json.at("training")),
                       .held_out = marks_of(json.at("held_out"))};
  } catch (const Json::exception& error) {
    throw Error({.what = fmt::format("this is no list of a run's episodes ({})", error.what()),
                 .where = file,
                 .fix = "restore the file from a copy of the run, or train again",
                 .kind = ErrorKind::file});
  }
}

data::Split resumed_split(const SplitRecord& record, const data::Dataset& dataset,
                          std::span<const EpisodeMark> marks) {
  data::Split split;
  const auto find = [&](const EpisodeMark& wanted) {
    // first_row rises with the index
    const auto at =
        std::lower_bound(marks.begin(), marks.end(), wanted.first_row,
                         [](const EpisodeMark& mark, int64_t row) { return mark.first_row < row; });
    if (at == marks.end() || *at != wanted)
      throw Error({.what = fmt::format("episode {} of {} ({} frames), which the run was begun "
                                       "with, is not there as it was; the run cannot go on",
                                       wanted.number,
                                       wanted.source.empty() ? "an unnamed source" : wanted.source,
                                       wanted.frames),
                   .where = dataset.folder(),
                   .fix = "give the data set as it was, or begin another run (--to)"});
    return static_cast<int64_t>(at - marks.begin());
  };
  for (const EpisodeMark& mark : record.training) {
    split.training.push_back(find(mark));
    split.training_frames += mark.frames;
  }
  for (const EpisodeMark& mark : record.held_out) {
    split.held_out.push_back(find(mark));
    split.held_out_frames += mark.frames;
  }
  std::sort(split.training.begin(), split.training.end());
  std::sort(split.held_out.begin(), split.held_out.end());
  if (const size_t fresh = marks.size() - split.training.size() - split.held_out.size(); fresh > 0)
    split.notes.push_back(fmt::format(
        "{} has {} episodes more than when this run was begun; only a new run learns from them",
        dataset.folder().string(), fresh));
  return split;
}

SeenEpisodes seen_episodes(const SplitRecord& record, std::span<const EpisodeMark> marks) {
  using Place = std::tuple<std::string, int64_t, Content>;
  const auto place = [](const EpisodeMark& mark) {
    return Place{mark.source, mark.number, content(mark)};
  };
  std::set<Content> trained, here;
  std::set<Place> held_out;  // exactly: an episode may look like one that trained (a parked car)
  for (const EpisodeMark& mark : record.training) trained.insert(content(mark));
  for (const EpisodeMark& mark : record.held_out) held_out.insert(place(mark));
  for (const EpisodeMark& mark : marks) here.insert(content(mark));
  SeenEpisodes seen{.all_trained = true};
  std::set<std::string> changed;  // recordings that the run learned from and that were cut anew
  for (const EpisodeMark& mark : record.training)
    if (!here.contains(content(mark))) {
      seen.all_trained = false;
      if (!mark.source.empty()) changed.insert(mark.source);
    }
  for (size_t i = 0; i < marks.size(); ++i) {
    const bool known = held_out.contains(place(marks[i]));
    const auto index = static_cast<int64_t>(i);
    if (trained.contains(content(marks[i])) && !known) {
      seen.trained.push_back(index);
    } else if (changed.contains(marks[i].source)) {
      seen.doubtful.push_back(index);
    } else {
      seen.unseen.push_back(index);
      seen.fresh += !known;
    }
  }
  return seen;
}

}  // namespace argosy::run
