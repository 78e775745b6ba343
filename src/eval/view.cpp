#include "eval/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/nearest.h"
#include "data/frame_columns.h"
#include "data/video.h"
#include "eval/predictions.h"
#include "run/driving.h"
#include "run/run_folder.h"

namespace argosy::eval {
namespace {

constexpr size_t kMostSignals = 12;
constexpr int kQuality = 30;  // CRF: small, and clear enough to see what happened
constexpr int64_t kBatch = 64;

/// Every number of a row; actions first.
std::vector<run::Element> all_elements(const data::Dataset& dataset) {
  std::vector<run::Element> elements;
  for (const data::FrameColumn& column : data::frame_columns(dataset)) {
    if (column.element < 0) continue;
    const auto& units = dataset.feature(column.feature).units;
    elements.push_back({column.name, column.feature,
                        units.empty() ? "" : units[static_cast<size_t>(column.element)],
                        column.element});
  }
  std::stable_partition(elements.begin(), elements.end(),
                        [](const run::Element& e) { return e.feature.starts_with("action"); });
  return elements;
}

const run::Element& element_named(const std::string& name, const data::Dataset& dataset,
                                  std::span<const run::Element> elements) {
  std::vector<std::string> known;
  for (const run::Element& element : elements) {
    if (element.name == name) return element;
    known.push_back(element.name);
  }
  throw Error({.what = fmt::format("{} has no number named {}", dataset.folder().string(), name),
               .where = "--columns",
               .fix = fmt::format("did you mean {}? `argosy data info` lists the columns",
                                  nearest_name(name, known))});
}

/// The policy's outputs for some rows.
struct Predictions {
  std::vector<run::Element> outputs;
  std::map<int64_t, std::vector<double>> of_row;
};

/// What is drawn, and notes on what is not.
std::vector<run::Element> choose(const data::Dataset& dataset, const ViewOptions& options,
                                 std::span<const run::Element> outputs,
                                 std::vector<std::string>& notes) {
  std::vector<run::Element> chosen(outputs.begin(), outputs.end());
  const auto add = [&](const run::Element& element) {
    if (std::none_of(chosen.begin(), chosen.end(), [&](const run::Element& e) {
          return e.feature == element.feature && e.offset == element.offset;
        }))
      chosen.push_back(element);
  };
  const std::vector<run::Element> all = all_elements(dataset);
  for (const std::string& name : options.columns) add(element_named(name, dataset, all));
  if (!options.columns.empty()) return chosen;
  for (const run::Element& element : all) add(element);
  if (chosen.size() > kMostSignals) {
    notes.push_back(fmt::format("{} of {} columns are drawn; --columns chooses others.",
                                kMostSignals, chosen.size()));
    chosen.resize(kMostSignals);
  }
  return chosen;
}

/// The largest size of at most `height` rows with even sides, in the film's proportions.
std::pair<int, int> small_size(const data::VideoReader& video, int height) {
  const auto even = [](double pixels) {
    return std::max(2, 2 * static_cast<int>(std::lround(pixels / 2)));
  };
  const double share = std::min(1.0, static_cast<double>(height) / video.height());
  return {even(share * video.height()), even(share * video.width())};
}

class View {
 public:
  View(const data::Dataset& dataset, const ViewOptions& options)
      : dataset_(dataset), options_(options) {}

  ShownEpisodes make() {
    const auto count = static_cast<int64_t>(dataset_.episodes().size());
    for (const int64_t index : options_.episodes) {
      if (index < 0 || index >= count)
        throw Error(
            {.what = fmt::format("there is no episode {}, the data set has {}", index, count),
             .where = dataset_.folder(),
             .fix = fmt::format("ask for episodes in 0..{}", count - 1)});
      total_ += dataset_.episodes()[static_cast<size_t>(index)].length();
    }
    total_ *= static_cast<int64_t>(dataset_.cameras().size()) + (options_.run.empty() ? 0 : 1);
    shown_.dataset = dataset_.folder().string();
    shown_.fps = dataset_.fps();
    if (!options_.run.empty()) predict_all();
    const auto elements = choose(dataset_, options_, predictions_.outputs, shown_.notes);
    for (const int64_t index : options_.episodes) {
      if (stopped()) break;
      add_episode(dataset_.episodes()[static_cast<size_t>(index)], elements);
    }
    if (without_film_ > 0)
      shown_.notes.push_back(
          fmt::format("{} films are left out, since all of them may have {} MB together "
                      "(--film-megabytes).",
                      without_film_, options_.film_bytes >> 20));
    return std::move(shown_);
  }

 private:
  bool stopped() const { return options_.stop && *options_.stop; }
  void step() {
    ++done_;
    if (options_.progress) options_.progress(done_, total_);
  }

  void predict_all() {
    const run::Recipe recipe = run::read_run_recipe(options_.run);
    const run::Checkpoint checkpoint = run::find_checkpoint(options_.run, options_.checkpoint);
    run::verify_checkpoint(checkpoint);
    const run::DrivingData driving(dataset_, recipe);
    run::Policy policy(recipe, kBatch);
    policy.load(checkpoint.folder / run::kStateFile);
    shown_.policy = fmt::format("{}, step {}", options_.run.string(), checkpoint.step);
    predictions_.outputs.assign(driving.outputs().begin(), driving.outputs().end());
    std::vector<int64_t> episodes = options_.episodes;
    std::sort(episodes.begin(), episodes.end());
    episodes.erase(std::unique(episodes.begin(), episodes.end()), episodes.end());
    predict(dataset_, driving, episodes, policy,
            [&](int64_t row, std::span<const float> predicted, std::span<const float>) {
              predictions_.of_row[row].assign(predicted.begin(), predicted.end());
              step();
            });
  }

  void add_episode(const data::Episode& episode, std::span<const run::Element> elements) {
    ShownEpisode shown{.index = episode.index,
                       .frames = episode.length(),
                       .source = episode.source,
                       .task = fmt::format("{}", fmt::join(episode.tasks, "; ")),
                       .provenance = episode.provenance};
    for (size_t e = 0; e < elements.size(); ++e) {
      const run::Element& element = elements[e];
      ShownSignal signal{.name = element.name, .unit = element.unit};
      const auto values = dataset_.column_f64(element.feature);
      const int64_t width = dataset_.feature(element.feature).width();
      for (int64_t row = episode.from; row < episode.to; ++row) {
        signal.recorded.push_back(values[static_cast<size_t>(row * width + element.offset)]);
        if (e < predictions_.outputs.size())  // they stand first
          signal.predicted.push_back(predictions_.of_row.at(row)[e]);
      }
      shown.signals.push_back(std::move(signal));
    }
    for (const auto& [camera, segment] : episode.videos) {
      if (stopped()) break;
      if (film_bytes_ >= options_.film_bytes) {
        ++without_film_;
        continue;
      }
      ShownFilm film = make_film(camera, segment, episode.length());
      const auto bytes = static_cast<int64_t>(film.mp4.size());
      if (film_bytes_ + bytes > options_.film_bytes) {
        ++without_film_;
        continue;
      }
      film_bytes_ += bytes;
      shown.films.push_back(std::move(film));
    }
    shown_.episodes.push_back(std::move(shown));
  }

  ShownFilm make_film(const std::string& camera, const data::VideoSegment& segment,
                      int64_t frames) {
    data::VideoReader reader(segment.file);
    const auto [height, width] = small_size(reader, options_.film_height);
    const Path file = options_.work / "film.mp4";
    data::VideoWriter writer(file, height, width, dataset_.fps(), "h264", dataset_.fps(), kQuality);
    data::Image image{height, width, std::vector<uint8_t>(size_t{3} * height * width)};
    for (int64_t i = 0; i < frames && !stopped(); ++i) {
      reader.read(segment.first_frame + i, {.height = height, .width = width}, image.pixels);
      writer.write(image);
      step();
    }
    writer.finish();
    return {camera, read_file(file), width, height};
  }

  const data::Dataset& dataset_;
  const ViewOptions& options_;
  ShownEpisodes shown_;
  Predictions predictions_;
  int64_t total_ = 0, done_ = 0, film_bytes_ = 0, without_film_ = 0;
};

}  // namespace

ShownEpisodes view_episodes(const data::Dataset& dataset, const ViewOptions& options) {
  return View(dataset, options).make();
}

}  // namespace argosy::eval
