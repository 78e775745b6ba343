#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eval/driver_noise.h"
#include "eval/metrics.h"
#include "run/event_file.h"

namespace argosy::eval {

/// One output over one episode, a value per frame.
struct Series {
  std::vector<double> recorded;  ///< NaN where nothing was recorded
  std::vector<double> model;
  std::vector<double> ridge;  ///< empty where there was nothing to fit it to
};

struct EpisodeResult {
  int64_t episode = 0;
  std::string source, task;
  std::vector<double> time_s;   ///< since the episode's first frame
  std::vector<Series> outputs;  ///< in the order of EvaluationResult::outputs
  std::vector<Scores> scores;   ///< of the model; filled in by score()
};

struct OutputResult {
  std::string name, unit;    ///< "user/angle"; the unit may be ""
  double training_mean = 0;  ///< the constant baseline: the best constant for squared error
  double ridge_penalty = 0;
  Scores model, constant;  ///< over all held-out frames; filled in by score()
  std::optional<Scores> ridge;
  std::optional<DriverNoise> noise;
};

/// A frame where the model was far off, as a picture. `episode` and `frame` index into
/// EvaluationResult::episodes and its time_s.
struct Moment {
  size_t episode = 0, frame = 0;
  int width = 0, height = 0;
  std::string jpeg;  ///< bytes; empty: not shown
};

/// All that an evaluation on recordings found. The caller fills in what is known of run, data and
/// predictions, then calls score(), then adds pictures to the moments of worst_moments().
struct EvaluationResult {
  std::string run, checkpoint;  ///< folder; "best" or "last"
  int64_t step = 0;
  std::string dataset;
  double fps = 0;
  int64_t training_episodes = 0, training_frames = 0;
  std::vector<OutputResult> outputs;    ///< the first one is what the page is about
  std::vector<EpisodeResult> episodes;  ///< held out
  std::vector<Moment> moments;          ///< the worst first
  run::Curves curves;                   ///< of the training run
  std::string recipe_toml;
  std::vector<std::pair<std::string, std::string>> provenance;  ///< "argosy", "0.1.0"; ...
  std::vector<std::string> notes;                               ///< sentences for the reader

  int64_t frames() const;
};

/// Computes every score and the driver's noise from the series.
void score(EvaluationResult& result);

/// The `count` frames with the largest error of the first output, at least `apart_s` seconds from
/// each other, the worst first. Without pictures.
std::vector<Moment> worst_moments(const EvaluationResult& result, size_t count, double apart_s = 2);

/// What it comes to, in one sentence.
std::string verdict(const EvaluationResult& result);

/// docs/json.md, section "eval". A number that is not finite is null.
std::string to_json(const EvaluationResult& result);

}  // namespace argosy::eval
