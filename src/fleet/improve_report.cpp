#include "fleet/improve_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/base64.h"
#include "eval/plot.h"
#include "eval/report_parts.h"
#include "eval/track_map.h"
#include "fleet/triggers.h"

namespace argosy::fleet {
namespace {

using eval::escape;
using eval::Page;
constexpr size_t kListed = 40;  // clips a round

void add_header(Page& page, const ImproveResult& result) {
  const bool poor = rounds_that_rose(result) == 0;
  page.add("<header><div class=\"kind\">Data engine</div><h1>{}</h1>\n", escape(result.run));
  page.add("<p class=\"verdict{}\">{}</p>\n", poor ? " poor" : "", escape(verdict(result)));
  page.add(
      "<p class=\"quiet\">Data set {} · {} roads, seed {} · each round: the policy drives on roads "
      "of its own while the expert rides along; the clips around the triggers join the data set "
      "with the expert's controls; training goes on from the last weights; the same unseen tracks "
      "measure.</p></header>\n",
      escape(result.data), escape(result.difficulty), result.seed);
}

void add_tiles(Page& page, const ImproveResult& result) {
  if (result.rounds.empty()) return;
  const Measured& last = result.rounds.back().measured;
  int64_t frames = 0, clips = 0;
  for (const Round& round : result.rounds)
    if (round.mined) {
      frames += round.mined->frames();
      clips += static_cast<int64_t>(round.mined->clips.size());
    }
  page.add("<div class=\"tiles\">");
  const eval::Interval& distance = last.distance_per_intervention_m;
  eval::add_tile(
      page, distance.value ? fmt::format("{:.3g} m", *distance.value) : range_text(distance) + " m",
      "per intervention");
  eval::add_tile(page, fmt::format("{} of {}", last.completed, last.tracks.size()),
                 "tracks completed on the road");
  eval::add_tile(page, fmt::to_string(clips), "clips mined");
  eval::add_tile(page, fmt::to_string(frames), "frames labelled by the expert");
  page.add("</div>\n");
}

void add_curve(Page& page, const ImproveResult& result) {
  eval::Line value{.colour = "model"}, low{.colour = "ridge"}, high{.colour = "ridge"};
  for (const Round& round : result.rounds) {
    const eval::Interval& distance = round.measured.distance_per_intervention_m;
    const double nothing = std::numeric_limits<double>::quiet_NaN();
    for (eval::Line* line : {&value, &low, &high})
      line->x.push_back(static_cast<double>(round.number));
    value.y.push_back(distance.value.value_or(distance.low.value_or(nothing)));
    low.y.push_back(distance.low.value_or(nothing));
    high.y.push_back(distance.high.value_or(nothing));
  }
  page.begin_section("Distance per intervention");
  page.add(
      "<p class=\"quiet\">On the same unseen tracks after every round; grey: the 95 % confidence "
      "interval over tracks. Where nobody had to help, the low end of what that proves is "
      "drawn.</p>");
  const eval::Line lines[] = {low, high, value};
  page.add("{}", eval::line_plot({.x_label = "round", .y_label = "m", .y_range = {}}, lines));
  page.add(
      "<div class=\"scroll\"><table><tr><th>round</th><th>m per intervention</th>"
      "<th>interventions</th><th>completed</th><th>mean distance<br>from centre, "
      "m</th><th>mean speed,<br>m/s</th><th>clips mined</th><th>frames mined</th><th>frames "
      "learned<br>from</th></tr>\n");
  for (const Round& round : result.rounds) {
    const Measured& m = round.measured;
    page.add(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{} of {}</td><td>{}</td>"
        "<td>{}</td>",
        round.number == 0 ? "as it was" : fmt::to_string(round.number),
        range_text(m.distance_per_intervention_m), m.interventions, m.completed, m.tracks.size(),
        range_text(m.mean_distance_m), range_text(m.mean_speed_mps));
    page.add("<td>{}</td><td>{}</td><td>{}</td></tr>\n",
             round.mined ? fmt::to_string(round.mined->clips.size()) : "",
             round.mined ? fmt::to_string(round.mined->frames()) : "", round.training_frames);
  }
  page.add("</table></div>\n");
  page.end_section();
}

void add_reasons(Page& page, const ImproveResult& result) {
  page.begin_section("What was mined and why");
  page.add(
      "<p class=\"quiet\">Clips by their gravest trigger. A clip reaches from some seconds before "
      "its first trigger to some after its last.</p><div class=\"scroll\"><table><tr><th>round</th>"
      "<th>frames driven</th>");
  for (const Reason reason : kReasons) page.add("<th>{}</th>", name_of(reason));
  page.add("<th>on recordings:<br>disagreements</th></tr>\n");
  for (const Round& round : result.rounds) {
    if (!round.mined) continue;
    page.add("<tr><td>{}</td><td>{}</td>", round.number, round.mined->driven_frames);
    for (const Reason reason : kReasons)
      page.add("<td>{}</td>",
               std::ranges::count(round.mined->clips, name_of(reason), &MinedClip::reason));
    page.add("<td>{} in {} frames</td></tr>\n", round.mined->recorded_triggers,
             round.mined->recorded_frames);
  }
  page.add("</table></div>\n");
  for (const Round& round : result.rounds) {
    if (!round.mined) continue;
    const auto& clips = round.mined->clips;
    page.add(
        "<details><summary>Round {}: {} clips</summary><div class=\"scroll\"><table><tr>"
        "<th>drive</th><th>road's seed</th><th>from, s</th><th>to, s</th><th>triggers</th>"
        "<th>the gravest</th><th>at, s</th><th class=\"wide\">why</th></tr>\n",
        round.number, clips.size());
    for (size_t i = 0; i < std::min(clips.size(), kListed); ++i)
      page.add(
          "<tr><td>{}</td><td>{}</td><td>{:.1f}</td><td>{:.1f}</td><td>{}</td><td>{}</td>"
          "<td>{:.1f}</td><td class=\"wide\">{}</td></tr>\n",
          clips[i].drive + 1, clips[i].track_seed, clips[i].from_s, clips[i].to_s,
          clips[i].triggers, escape(clips[i].reason), clips[i].at_s, escape(clips[i].why));
    page.add("</table></div>");
    if (clips.size() > kListed)
      page.add("<p class=\"quiet\">and {} more, in {}</p>", clips.size() - kListed,
               escape((round.folder / "mined" / "mined.json").string()));
    page.add("</details>\n");
  }
  page.end_section();
}

void add_films(Page& page, const ImproveResult& result) {
  page.begin_section("Moments that were mined");
  page.add(
      "<p class=\"quiet\">Above from behind the car, below what its camera sees: the policy "
      "drives.</p>");
  for (const Round& round : result.rounds) {
    if (!round.mined) continue;
    page.add("<h3>Round {}</h3><div class=\"pictures\">", round.number);
    for (const MinedClip& clip : round.mined->clips) {
      if (clip.film.empty()) continue;
      page.add("<figure>");
      add_video(page, read_file(round.folder / "mined" / clip.film));
      page.add("<figcaption>Drive {}, {:.1f} s, {}: {}</figcaption></figure>\n", clip.drive + 1,
               clip.at_s, escape(clip.reason), escape(clip.why));
    }
    page.add("</div>\n");
  }
  page.end_section();
}

/// The disagreements of the last round that looked: what is left.
void add_recordings(Page& page, const ImproveResult& result) {
  const auto last = std::ranges::find_if(result.rounds.rbegin(), result.rounds.rend(),
                                         [](const Round& round) { return bool(round.mined); });
  if (last == result.rounds.rend() || last->mined->recorded.empty()) return;
  page.begin_section("Shadow mode on recordings");
  page.add(
      "<p class=\"quiet\">Where, before round {}, the policy disagreed most with the driver of the "
      "data set. These frames are in the data set already, with what the driver did.</p>"
      "<div class=\"pictures\">",
      last->number);
  for (const RecordedMoment& moment : last->mined->recorded)
    page.add(
        "<figure><img alt=\"\" src=\"data:image/jpeg;base64,{}\"/><figcaption>{}, episode {}, "
        "{:.1f} s: {}</figcaption></figure>\n",
        base64(read_file(last->folder / "mined" / moment.picture)), escape(moment.source),
        moment.episode, moment.at_s, escape(moment.why));
  page.add("</div>");
  page.end_section();
}

void add_maps(Page& page, const ImproveResult& result) {
  if (result.rounds.size() < 2) return;
  const Measured &first = result.rounds.front().measured, &last = result.rounds.back().measured;
  page.begin_section("The tracks that measure, before and after");
  page.add(
      "<p class=\"quiet\">Left the run as it was, right after the last round. The line is coloured "
      "by its distance from the centre line as a share of the way to the road's edge; rings are "
      "where the safety driver took over.</p><div class=\"pictures\">");
  for (size_t t = 0; t < std::min(first.tracks.size(), last.tracks.size()); ++t)
    for (const auto& [when, track] :
         {std::pair("before", &first.tracks[t]), std::pair("after", &last.tracks[t])})
      page.add(
          "<figure>{}<figcaption>Track {}, {}: {} intervention{} in {:.0f} m</figcaption>"
          "</figure>\n",
          track->map, t + 1, when, track->interventions, track->interventions == 1 ? "" : "s",
          track->driven_m);
  page.add("</div>");
  page.end_section();
}

}  // namespace

std::string report(const ImproveResult& result) {
  Page page("Data engine on " + result.run);
  add_header(page, result);
  add_tiles(page, result);
  add_curve(page, result);
  add_reasons(page, result);
  add_films(page, result);
  add_recordings(page, result);
  add_maps(page, result);
  eval::add_provenance(page, result.notes, result.provenance, result.recipe_toml);
  return page.finish();
}

}  // namespace argosy::fleet
