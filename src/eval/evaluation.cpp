#include "eval/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace argosy::eval {
namespace {
using Json = nlohmann::ordered_json;

Json to_json(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json to_json(const Scores& scores) {
  return {{"samples", scores.samples},  {"skipped", scores.skipped},
          {"mae", to_json(scores.mae)}, {"rmse", to_json(scores.rmse)},
          {"r2", to_json(scores.r2)},   {"correlation", to_json(scores.correlation)}};
}

Json to_json(const OutputResult& output) {
  Json json = to_json(output.model);
  json["unit"] = output.unit;
  Json constant = to_json(output.constant);
  constant["value"] = to_json(output.training_mean);
  json["baselines"] = {{"constant", constant}, {"ridge", nullptr}};
  if (output.ridge) {
    json["baselines"]["ridge"] = to_json(*output.ridge);
    json["baselines"]["ridge"]["penalty"] = output.ridge_penalty;
  }
  json["driver_noise"] = nullptr;
  if (const auto& noise = output.noise)
    json["driver_noise"] = {{"window_s", noise->window_s},
                            {"samples", noise->samples},
                            {"mae", to_json(noise->mae)},
                            {"rmse", to_json(noise->rmse)},
                            {"r2_limit", to_json(noise->r2_limit)}};
  return json;
}

/// One of the members of Series, over all episodes.
std::vector<double> joined(const EvaluationResult& result, size_t output,
                           std::vector<double> Series::* member) {
  std::vector<double> all;
  for (const EpisodeResult& episode : result.episodes) {
    const std::vector<double>& part = episode.outputs[output].*member;
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

/// "34 % below ridge regression (0.32)".
std::string compared(double own, double other, const char* name) {
  const double share = 100 * (1 - own / other);
  if (!std::isfinite(share)) return fmt::format("{} has {:#.3g}", name, other);
  if (std::abs(share) < 0.5) return fmt::format("level with {} ({:#.3g})", name, other);
  return fmt::format("{:.0f} % {} {} ({:#.3g})", std::abs(share), share > 0 ? "below" : "above",
                     name, other);
}

}  // namespace

int64_t EvaluationResult::frames() const {
  size_t count = 0;
  for (const EpisodeResult& episode : episodes) count += episode.time_s.size();
  return static_cast<int64_t>(count);
}

void score(EvaluationResult& result) {
  for (EpisodeResult& episode : result.episodes) {
    check(episode.outputs.size() == result.outputs.size(), "{} outputs in episode {}, not {}",
          episode.outputs.size(), episode.episode, result.outputs.size());
    episode.scores.clear();
    for (const Series& series : episode.outputs) {
      check(series.recorded.size() == episode.time_s.size(), "{} values at {} times",
            series.recorded.size(), episode.time_s.size());
      episode.scores.push_back(score(series.recorded, series.model));
    }
  }
  for (size_t k = 0; k < result.outputs.size(); ++k) {
    OutputResult& output = result.outputs[k];
    const std::vector<double> recorded = joined(result, k, &Series::recorded);
    output.model = score(recorded, joined(result, k, &Series::model));
    output.constant = score(recorded, std::vector<double>(recorded.size(), output.training_mean));
    output.ridge.reset();
    if (const auto ridge = joined(result, k, &Series::ridge);
        ridge.size() == recorded.size() && !ridge.empty())
      output.ridge = score(recorded, ridge);
    std::vector<std::vector<double>> episodes;
    for (const EpisodeResult& episode : result.episodes)
      episodes.push_back(episode.outputs[k].recorded);
    output.noise = driver_noise(episodes, result.fps);
  }
}

std::vector<Moment> worst_moments(const EvaluationResult& result, size_t count, double apart_s) {
  struct Candidate {
    double error;
    Moment moment;
  };
  std::vector<Candidate> candidates;
  for (size_t e = 0; e < result.episodes.size() && !result.outputs.empty(); ++e) {
    const Series& series = result.episodes[e].outputs[0];
    for (size_t i = 0; i < series.recorded.size(); ++i)
      if (const double error = std::abs(series.model[i] - series.recorded[i]); std::isfinite(error))
        candidates.push_back({error, {.episode = e, .frame = i}});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.error > b.error; });
  std::vector<Moment> worst;
  for (const Candidate& candidate : candidates) {
    if (worst.size() >= count) break;
    const auto near = [&](const Moment& other) {
      const std::vector<double>& time_s = result.episodes[other.episode].time_s;
      return other.episode == candidate.moment.episode &&
             std::abs(time_s[other.frame] - time_s[candidate.moment.frame]) < apart_s;
    };
    if (std::none_of(worst.begin(), worst.end(), near)) worst.push_back(candidate.moment);
  }
  return worst;
}

std::string verdict(const EvaluationResult& result) {
  if (result.outputs.empty() || result.frames() == 0)
    return "Nothing was held out, so nothing was measured.";
  const OutputResult& output = result.outputs.front();
  const double own = output.model.rmse;
  std::string text =
      fmt::format("On {} held-out frames of {} episode{} the model's error in {} ", result.frames(),
                  result.episodes.size(), result.episodes.size() == 1 ? "" : "s", output.name);
  if (output.model.samples == 0) return text + "cannot be told: nothing was recorded.";
  if (!std::isfinite(own)) return text + "is not finite: it gives infinite or undefined values.";
  text += fmt::format("is {:#.3g} (RMSE): ", own);
  if (output.ridge)
    text += compared(own, output.ridge->rmse, "ridge regression on tiny pictures") + " and ";
  text += compared(own, output.constant.rmse, "a constant") + ".";
  const double best = std::min(output.constant.rmse, output.ridge ? output.ridge->rmse : INFINITY);
  if (!(own < best)) text += " It has not learned to use the pictures well yet.";
  return text;
}

std::string to_json(const EvaluationResult& result) {
  Json outputs = Json::object(), episodes = Json::array(), provenance = Json::object();
  for (const OutputResult& output : result.outputs) outputs[output.name] = to_json(output);
  for (const EpisodeResult& episode : result.episodes) {
    Json scores = Json::object();
    for (size_t k = 0; k < result.outputs.size(); ++k)
      scores[result.outputs[k].name] = to_json(episode.scores[k]);
    episodes.push_back({{"episode", episode.episode},
                        {"source", episode.source},
                        {"frames", episode.time_s.size()},
                        {"outputs", scores}});
  }
  for (const auto& [name, value] : result.provenance) provenance[name] = value;
  const Json json = {
      {"run", result.run},
      {"checkpoint", result.checkpoint},
      {"step", result.step},
      {"dataset", result.dataset},
      {"verdict", verdict(result)},
      {"training", {{"episodes", result.training_episodes}, {"frames", result.training_frames}}},
      {"held_out", {{"episodes", result.episodes.size()}, {"frames", result.frames()}}},
      {"outputs", outputs},
      {"episodes", episodes},
      {"notes", result.notes},
      {"provenance", provenance}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace argosy::eval
