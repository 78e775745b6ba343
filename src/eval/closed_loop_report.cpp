#include "eval/closed_loop_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"
#include "eval/page.h"
#include "eval/plot.h"
#include "eval/report_parts.h"
#include "eval/track_map.h"

namespace argosy::eval {
namespace {

/// "0.95 <span>0.76 to 0.99</span>", as shares of a hundred where `percent`.
std::string cell(const Interval& interval, bool percent = false) {
  const auto text = [&](const std::optional<double>& value) {
    if (!value) return std::string("–");
    return percent ? fmt::format("{:.0f} %", 100 * *value) : fmt::format("{:.3g}", *value);
  };
  if (!interval.value && !interval.low) return "–";
  if (!interval.value) return fmt::format("over {}", text(interval.low));
  if (!interval.high)
    return fmt::format("{}<span class=\"range\">from {}</span>", text(interval.value),
                       text(interval.low));
  return fmt::format("{}<span class=\"range\">{} to {}</span>", text(interval.value),
                     text(interval.low), text(interval.high));
}

void add_header(Page& page, const ClosedLoopResult& result) {
  page.add("<header><div class=\"kind\">Evaluation in closed loop</div><h1>{}</h1>\n",
           escape(result.run));
  page.add("<p class=\"verdict{}\">{}</p>\n", beats_trivial_drivers(result) ? "" : " poor",
           escape(verdict(result)));
  page.add(
      "<p class=\"quiet\">Checkpoint {} (step {}) · learned from {} · {} unseen tracks and "
      "weathers "
      "of {} difficulty{} (seed {}), {} lap{} each</p></header>\n",
      escape(result.checkpoint), result.step, escape(result.dataset), result.tracks.size(),
      escape(result.difficulty), traffic_text(result), result.seed, result.laps,
      result.laps == 1 ? "" : "s");
}

void add_tiles(Page& page, const ClosedLoopResult& result) {
  const DriverResult* policy = result.driver("policy");
  if (!policy) return;
  const DriverScores& scores = policy->scores;
  page.add("<div class=\"tiles\">");
  add_tile(page, fmt::format("{} of {}", scores.completed_episodes, scores.episodes),
           "tracks completed on the road");
  add_tile(page, fmt::format("{}", scores.interventions), "interventions");
  add_tile(page, fmt::format("{:.1f} cm", 100 * scores.mean_distance_m.value.value_or(0)),
           "mean distance from the centre line");
  add_tile(page, fmt::format("{:.2f} m/s", scores.mean_speed_mps.value.value_or(0)), "mean speed");
  if (scores.latency_p99_s)
    add_tile(page, fmt::format("{:.2f} ms", 1e3 * *scores.latency_p99_s),
             "from picture to control, 99th percentile");
  page.add("</div>\n");
}

void add_drivers(Page& page, const ClosedLoopResult& result) {
  const bool traffic = result.obstacles + result.other_cars > 0;
  page.begin_section("The drivers");
  page.add(
      "<p class=\"quiet\">Every driver drives every track from the same place. Half a second after "
      "it has left the road, a safety driver puts it back and gives back; a track with that is not "
      "completed. Small figures are 95 % confidence intervals over tracks.</p>"
      "<div class=\"scroll\"><table "
      "class=\"dense\">\n<tr><th>driver</th><th>completed</th><th>route<br>progress"
      "</th><th>off road,<br>times</th><th>off road,<br>share of time</th><th>collisions</th>{}"
      "<th>interven-<br>tions</th><th>m per<br>intervention</th><th>mean distance<br>from centre, m"
      "</th><th>largest<br>distance, m</th></tr>\n",
      traffic ? "<th>least time to<br>collision, s</th>" : "");
  for (const DriverResult& driver : result.drivers) {
    const DriverScores& s = driver.scores;
    page.add(
        "<tr><td>{}</td><td>{} of {}<span class=\"range\">{:.0f} to {:.0f} %</span></td>"
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td>{}<td>{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "</tr>\n",
        escape(driver.title), s.completed_episodes, s.episodes, 100 * s.completed.low.value_or(0),
        100 * s.completed.high.value_or(1), cell(s.route_progress, true), s.off_road,
        cell(s.off_road_share, true), s.collisions,
        !traffic                ? ""
        : s.time_to_collision_s ? fmt::format("<td>{:.2f}</td>", *s.time_to_collision_s)
                                : std::string("<td>over 3</td>"),
        s.interventions, cell(s.distance_per_intervention_m), cell(s.mean_distance_m),
        cell(s.largest_distance_m));
  }
  page.add("</table></div>\n<ul class=\"quiet\">");
  for (const DriverResult& driver : result.drivers)
    page.add("<li>{}: {}</li>\n", escape(driver.title), escape(driver.rule));
  page.add("</ul>");
  page.end_section();
}

void add_film(Page& page, const ClosedLoopResult& result) {
  if (result.film.empty()) return;
  page.begin_section("Side by side");
  page.add(
      "<p class=\"quiet\">Track {}, left to right: {}. Above from behind the car, below what its "
      "camera sees.</p>",
      result.film_track + 1, escape(fmt::format("{}", fmt::join(result.film_drivers, ", "))));
  add_video(page, result.film);
  page.end_section();
}

void add_moments(Page& page, const ClosedLoopResult& result) {
  if (result.moments.empty()) return;
  page.begin_section("Where the policy drove worst");
  page.add("<div class=\"pictures\">");
  for (const FilmedMoment& moment : result.moments) {
    page.add("<figure>");
    add_video(page, moment.mp4);
    page.add("<figcaption>Track {}, {:.1f} s: {}</figcaption></figure>\n", moment.track + 1,
             moment.time_s, escape(moment.caption));
  }
  page.add("</div>");
  page.end_section();
}

void add_maps(Page& page, const ClosedLoopResult& result) {
  const DriverResult* policy = result.driver("policy");
  const DriverResult* ridge = result.driver("ridge");
  if (!policy) return;
  page.begin_section("The tracks from above");
  page.add(
      "<p class=\"quiet\">The policy's line, coloured by its distance from the centre line as a "
      "share of the way to the road's edge; rings are where the safety driver took over.</p>"
      "<div class=\"key\">");
  for (int i = 0; i < kErrorClasses; ++i)
    page.add("<span><i style=\"background:var(--error-{})\"></i>{}</span>", i,
             i + 1 < kErrorClasses ? fmt::format("{} to {} %", 100 * i / (kErrorClasses - 1),
                                                 100 * (i + 1) / (kErrorClasses - 1))
                                   : "off the road");
  if (ridge) page.add("<span><i style=\"background:var(--ridge)\"></i>ridge regression</span>");
  page.add("</div><div class=\"pictures\">");
  for (size_t t = 0; t < result.tracks.size(); ++t) {
    const DriveMetrics& m = policy->metrics[t];
    page.add("<figure>{}<figcaption>Track {}, {:.1f} m: {}{}, mean {:.1f} cm, largest {:.1f} cm",
             track_map(result.tracks[t], policy->drives[t], ridge ? &ridge->drives[t] : nullptr),
             t + 1, result.tracks[t].length_m, m.completed ? "completed" : "not completed",
             m.interventions ? fmt::format(", {} interventions", m.interventions) : "",
             100 * m.mean_distance_m, 100 * m.largest_distance_m);
    page.add("</figcaption></figure>\n");
  }
  page.add("</div>");
  page.end_section();
}

/// The largest of each motion over a driver's tracks.
Comfort most(const DriverResult& driver) {
  Comfort most;
  for (const DriveMetrics& drive : driver.metrics) {
    most.least_longitudinal_mps2 =
        std::min(most.least_longitudinal_mps2, drive.comfort.least_longitudinal_mps2);
    for (double Comfort::* motion :
         {&Comfort::most_longitudinal_mps2, &Comfort::lateral_mps2, &Comfort::yaw_rate_radps,
          &Comfort::yaw_acceleration_radps2, &Comfort::longitudinal_jerk_mps3, &Comfort::jerk_mps3})
      most.*motion = std::max(most.*motion, drive.comfort.*motion);
  }
  return most;
}

void add_comfort(Page& page, const ClosedLoopResult& result) {
  page.begin_section("Speed, latency and comfort");
  page.add(
      "<p class=\"quiet\">Comfortable is the share of time within all of nuPlan's limits for a "
      "passenger car, brought to the size of this one ({:.2g} of its length, under the same "
      "gravity). Of each motion the largest over all tracks.</p><div class=\"scroll\"><table "
      "class=\"dense\">\n"
      "<tr><th>driver</th><th>mean speed,<br>m/s</th><th>latency,<br>ms</th><th>comfort-<br>able"
      "</th><th>braking,<br>m/s²</th><th>speeding<br>up, m/s²</th><th>lateral,<br>m/s²</th>"
      "<th>yaw rate,<br>rad/s</th><th>yaw accel.,<br>rad/s²</th><th>long. jerk,<br>m/s³</th>"
      "<th>jerk,<br>m/s³</th></tr>\n",
      result.car_scale);
  const auto motions = [&](const auto& c) {
    page.add(
        "<td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td><td>{:.2f}</td>"
        "<td>{:.2f}</td><td>{:.2f}</td></tr>\n",
        c.least_longitudinal_mps2, c.most_longitudinal_mps2, c.lateral_mps2, c.yaw_rate_radps,
        c.yaw_acceleration_radps2, c.longitudinal_jerk_mps3, c.jerk_mps3);
  };
  for (const DriverResult& driver : result.drivers) {
    const DriverScores& s = driver.scores;
    page.add("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td>", escape(driver.title),
             cell(s.mean_speed_mps), s.latency_s ? fmt::format("{:.2f}", 1e3 * *s.latency_s) : "–",
             cell(s.comfort, true));
    motions(most(driver));
  }
  page.add("<tr><td>limit</td><td></td><td></td><td></td>");
  motions(comfort_limits(result.car_scale));
  page.add("</table></div>\n");
  page.end_section();
}

}  // namespace

std::string report(const ClosedLoopResult& result) {
  Page page("Closed-loop evaluation of " + result.run);
  add_header(page, result);
  add_tiles(page, result);
  add_drivers(page, result);
  add_film(page, result);
  add_moments(page, result);
  add_maps(page, result);
  add_comfort(page, result);
  add_curves(page, result.curves);
  add_provenance(page, result.notes, result.provenance, result.recipe_toml);
  return page.finish();
}

}  // namespace argosy::eval
