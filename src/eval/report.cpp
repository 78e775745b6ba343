#include "eval/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <optional>

#include "base/base64.h"
#include "base/progress.h"
#include "eval/page.h"
#include "eval/plot.h"
#include "eval/report_parts.h"

namespace argosy::eval {
namespace {

constexpr size_t kMostPlots = 24, kMostRows = 200;

bool better_than_baselines(const OutputResult& output) {
  return output.model.rmse < output.constant.rmse &&
         (!output.ridge || output.model.rmse < output.ridge->rmse);
}

void add_header(Page& page, const EvaluationResult& result) {
  const bool poor = result.outputs.empty() || !better_than_baselines(result.outputs.front());
  page.add("<header><div class=\"kind\">Evaluation on recordings</div><h1>{}</h1>\n",
           escape(result.run));
  page.add("<p class=\"verdict{}\">{}</p>\n", poor ? " poor" : "", escape(verdict(result)));
  page.add(
      "<p class=\"quiet\">Checkpoint {} (step {}) · data set {} · trained on {} frames of {} "
      "episodes, "
      "measured on {} frames of {} episodes that training never saw</p></header>\n",
      escape(result.checkpoint), result.step, escape(result.dataset), result.training_frames,
      result.training_episodes, result.frames(), result.episodes.size());
}

void add_tiles(Page& page, const EvaluationResult& result) {
  if (result.outputs.empty()) return;
  const OutputResult& output = result.outputs.front();
  page.add("<div class=\"tiles\">");
  add_tile(page, figure(output.model.mae), fmt::format("mean error, {}", output.name));
  add_tile(page, figure(output.model.rmse), "root mean squared error");
  add_tile(page, figure(output.model.r2), "R² (1 is perfect)");
  if (output.noise && output.noise->r2_limit)
    add_tile(page, figure(output.noise->r2_limit), "R² within reach of a smooth driver");
  page.add("</div>\n");
}

void add_outputs(Page& page, const EvaluationResult& result) {
  page.begin_section("Outputs beside the baselines");
  page.add(
      "<p class=\"quiet\">Ridge regression sees the same frames as 32 × 24 grey pixels; the "
      "constant is the "
      "training mean. The least error of each output is bold.</p><div class=\"scroll\"><table>\n"
      "<tr><th>output</th><th>mean "
      "error</th><th>RMSE</th><th>R²</th><th>correlation</th><th>frames</th></tr>\n");
  for (const OutputResult& output : result.outputs) {
    const std::string unit = output.unit.empty() ? "" : fmt::format(" ({})", output.unit);
    page.add("<tr class=\"group\"><td colspan=\"6\">{}{}</td></tr>\n", escape(output.name),
             escape(unit));
    std::vector<std::pair<const char*, Scores>> rows = {{"model", output.model}};
    if (output.ridge) rows.emplace_back("ridge regression", *output.ridge);
    rows.emplace_back("constant", output.constant);
    double least_mae = INFINITY, least_rmse = INFINITY;
    for (const auto& [name, scores] : rows) {
      least_mae = std::fmin(least_mae, scores.mae);
      least_rmse = std::fmin(least_rmse, scores.rmse);
    }
    for (const auto& [name, scores] : rows)
      page.add(
          "<tr "
          "class=\"sub\"><td>{}</td><td{}>{}</td><td{}>{}</td><td>{}</td><td>{}</td><td>{}</td></"
          "tr>\n",
          name, scores.mae == least_mae ? " class=\"least\"" : "", figure(scores.mae),
          scores.rmse == least_rmse ? " class=\"least\"" : "", figure(scores.rmse),
          figure(scores.r2), figure(scores.correlation), scores.samples);
  }
  page.add("</table></div>\n");
  for (const OutputResult& output : result.outputs)
    if (output.model.skipped > 0)
      page.add("<p class=\"quiet\">{}: {} frames have no recorded value and are left out.</p>\n",
               escape(output.name), output.model.skipped);
  page.end_section();
}

void add_noise(Page& page, const EvaluationResult& result) {
  page.begin_section("What the driver's own jitter leaves");
  page.add(
      "<p class=\"quiet\">Part of what a person does changes faster than the view can tell: thumbs "
      "on a stick, "
      "corrections of corrections. Measured as the distance of each recorded value from the "
      "recorded mean around "
      "it, this part remains as error for any smooth policy. Slower inconsistency (another line on "
      "another lap) "
      "is not in it, so the true limit is lower.</p><div "
      "class=\"scroll\"><table>\n<tr><th>output</th>"
      "<th>window</th><th>jitter, RMSE</th><th>jitter, mean</th><th>R² within "
      "reach</th><th>model's R²</th></tr>\n");
  for (const OutputResult& output : result.outputs) {
    if (!output.noise) {
      page.add("<tr><td>{}</td><td colspan=\"5\">episodes too short to tell</td></tr>\n",
               escape(output.name));
      continue;
    }
    page.add("<tr><td>{}</td><td>±{:.2f} s</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
             escape(output.name), output.noise->window_s, figure(output.noise->rmse),
             figure(output.noise->mae), figure(output.noise->r2_limit), figure(output.model.r2));
  }
  page.add("</table></div>\n");
  page.end_section();
}

void add_key(Page& page, bool ridge) {
  page.add(
      "<div class=\"key\"><span><i style=\"background:var(--recorded)\"></i>recorded</span>"
      "<span><i style=\"background:var(--model)\"></i>model</span>");
  if (ridge) page.add("<span><i style=\"background:var(--ridge)\"></i>ridge regression</span>");
  page.add("</div>\n");
}

std::string episode_name(const EpisodeResult& episode) {
  std::string name = fmt::format("Episode {}", episode.episode);
  if (!episode.source.empty()) name += fmt::format(" · {}", episode.source);
  return name;
}

void add_time_plots(Page& page, const EvaluationResult& result) {
  const OutputResult& output = result.outputs.front();
  page.add("<section><h2>{} over time</h2>\n", escape(output.name));
  add_key(page, output.ridge.has_value());
  double low = 0, high = 0;  // one scale for all episodes
  for (const EpisodeResult& episode : result.episodes)
    for (const double value : episode.outputs[0].recorded)
      if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
  const double pad = 0.08 * (high > low ? high - low : 1);
  const size_t shown = std::min(kMostPlots, result.episodes.size());
  for (size_t e = 0; e < shown; ++e) {
    const EpisodeResult& episode = result.episodes[e];
    const Series& series = episode.outputs[0];
    std::vector<Line> lines;
    if (output.ridge) lines.push_back({"ridge", episode.time_s, series.ridge});
    lines.push_back({"recorded", episode.time_s, series.recorded});
    lines.push_back({"model", episode.time_s, series.model});
    page.add(
        "<h3>{}</h3><p class=\"quiet\">{} frames, {} · mean error {} · RMSE {}{}</p><div "
        "class=\"scroll long\">{}</div>\n",
        escape(episode_name(episode)), episode.time_s.size(),
        episode.time_s.empty() ? "" : duration_text(episode.time_s.back()),
        figure(episode.scores[0].mae), figure(episode.scores[0].rmse),
        episode.task.empty() ? "" : " · " + escape(episode.task),
        line_plot(
            {.x_label = "seconds", .y_label = output.name, .y_range = {{low - pad, high + pad}}},
            lines));
  }
  if (shown < result.episodes.size())
    page.add("<p class=\"quiet\">The first {} of {} episodes are drawn.</p>\n", shown,
             result.episodes.size());
  page.end_section();
}

void add_errors(Page& page, const EvaluationResult& result) {
  const OutputResult& output = result.outputs.front();
  std::vector<double> recorded, model, errors;
  for (const EpisodeResult& episode : result.episodes)
    for (size_t i = 0; i < episode.time_s.size(); ++i) {
      recorded.push_back(episode.outputs[0].recorded[i]);
      model.push_back(episode.outputs[0].model[i]);
      errors.push_back(model.back() - recorded.back());
    }
  page.begin_section("Where the errors are");
  page.add(
      "<div class=\"pair\"><div><h3>Recorded and predicted, frame by "
      "frame</h3>{}</div><div><h3>How large the "
      "errors are</h3>{}</div></div>\n",
      scatter_plot({.x_label = "recorded " + output.name,
                    .y_label = "predicted",
                    .width = 470,
                    .height = 380},
                   recorded, model),
      histogram({.x_label = "predicted - recorded (outermost bars: all beyond)",
                 .y_label = "frames",
                 .width = 470,
                 .height = 380},
                errors, 41));
  page.end_section();
}

/// An arrow from the bottom's middle that leans as the wheel does: `share` -1 is full left, 1 full
/// right, leaning 60 degrees.
std::string arrow(const Moment& moment, double share, const char* kind) {
  if (!std::isfinite(share)) return "";
  const double lean = std::clamp(share, -1.0, 1.0) * std::numbers::pi / 3;
  const double height = moment.height, length = 0.5 * height, head = 0.09 * height;
  const double x0 = moment.width / 2.0, y0 = 0.96 * height;
  const double x1 = x0 + length * std::sin(lean), y1 = y0 - length * std::cos(lean);
  const auto side = [&](double turn) {
    return std::pair{x1 - head * std::sin(lean + turn), y1 + head * std::cos(lean + turn)};
  };
  const auto [lx, ly] = side(0.6);
  const auto [rx, ry] = side(-0.6);
  const std::string path =
      fmt::format("M{:.1f} {:.1f}L{:.1f} {:.1f}M{:.1f} {:.1f}L{:.1f} {:.1f}L{:.1f} {:.1f}", x0, y0,
                  x1, y1, lx, ly, x1, y1, rx, ry);
  const double width = height / 40;
  return fmt::format(
      "<path class=\"arrow shade\" stroke-width=\"{0:.1f}\" d=\"{2}\"/><path class=\"arrow {3}\" "
      "stroke-width=\"{1:.1f}\" d=\"{2}\"/>",
      width * 1.9, width, path, kind);
}

void add_moments(Page& page, const EvaluationResult& result) {
  double scale = 1;  // -1..1, as on a stick; wider where the recording is
  for (const EpisodeResult& episode : result.episodes)
    for (const double value : episode.outputs[0].recorded)
      if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  const bool any = std::any_of(result.moments.begin(), result.moments.end(),
                               [](const Moment& moment) { return !moment.jpeg.empty(); });
  if (!any) return;
  page.begin_section("The worst moments");
  page.add(
      "<p class=\"quiet\">The largest errors in {}, at least two seconds apart. An arrow leans as "
      "far as the wheel "
      "is turned.</p>",
      escape(result.outputs.front().name));
  add_key(page, false);
  page.add("<div class=\"pictures\">");
  for (const Moment& moment : result.moments) {
    if (moment.jpeg.empty()) continue;
    const EpisodeResult& episode = result.episodes[moment.episode];
    const double recorded = episode.outputs[0].recorded[moment.frame],
                 model = episode.outputs[0].model[moment.frame];
    page.add(
        "<figure><svg viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"camera picture\"><image "
        "width=\"{0}\" "
        "height=\"{1}\" href=\"data:image/jpeg;base64,{2}\"/>{3}{4}</svg><figcaption>{5}, {6:.1f} "
        "s<br>recorded {7}, "
        "model {8}</figcaption></figure>\n",
        moment.width, moment.height, base64(moment.jpeg),
        arrow(moment, recorded / scale, "recorded"), arrow(moment, model / scale, "model"),
        escape(episode_name(episode)), episode.time_s[moment.frame], figure(recorded),
        figure(model));
  }
  page.add("</div>");
  page.end_section();
}

void add_episodes(Page& page, const EvaluationResult& result) {
  page.begin_section("Episodes");
  page.add("<div class=\"scroll\"><table>\n<tr><th>episode</th><th>frames</th>");
  for (const OutputResult& output : result.outputs)
    page.add("<th>{0}<br>mean error</th><th><br>RMSE</th><th><br>R²</th>", escape(output.name));
  page.add("</tr>\n");
  const size_t shown = std::min(kMostRows, result.episodes.size());
  for (size_t e = 0; e < shown; ++e) {
    const EpisodeResult& episode = result.episodes[e];
    page.add("<tr><td>{}</td><td>{}</td>", escape(episode_name(episode)), episode.time_s.size());
    for (const Scores& scores : episode.scores)
      page.add("<td>{}</td><td>{}</td><td>{}</td>", figure(scores.mae), figure(scores.rmse),
               figure(scores.r2));
    page.add("</tr>\n");
  }
  page.add("</table></div>\n");
  if (shown < result.episodes.size())
    page.add(
        "<p class=\"quiet\">The first {} of {} episodes are listed; the JSON file has all.</p>\n",
        shown, result.episodes.size());
  page.end_section();
}

}  // namespace

std::string report(const EvaluationResult& result) {
  Page page("Evaluation of " + result.run);
  add_header(page, result);
  if (!result.outputs.empty() && result.frames() > 0) {
    add_tiles(page, result);
    add_outputs(page, result);
    add_time_plots(page, result);
    add_moments(page, result);
    add_errors(page, result);
    add_noise(page, result);
    add_episodes(page, result);
  }
  add_curves(page, result.curves);
  add_provenance(page, result.notes, result.provenance, result.recipe_toml);
  return page.finish();
}

}  // namespace argosy::eval
