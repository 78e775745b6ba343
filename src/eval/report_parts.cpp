#include "eval/report_parts.h"

#include <cmath>
#include <vector>

#include "base/base64.h"
#include "eval/plot.h"

namespace argosy::eval {

std::string figure(std::optional<double> value) {
  if (!value || !std::isfinite(*value)) return "–";
  return *value != 0 && std::abs(*value) < 1e-3 ? fmt::format("{:.2e}", *value)
                                                : fmt::format("{:.3f}", *value);
}

void add_tile(Page& page, const std::string& value, const std::string& name) {
  page.add("<div class=\"tile\"><b>{}</b><span>{}</span></div>", escape(value), escape(name));
}

void add_video(Page& page, const std::string& mp4) {
  page.add(
      "<video controls loop muted playsinline preload=\"metadata\" "
      "src=\"data:video/mp4;base64,{}\"></video>",
      base64(mp4));
}

void add_curves(Page& page, const run::Curves& curves) {
  if (curves.empty()) return;
  page.begin_section("How training went");
  page.add("<div class=\"pair\">");
  constexpr size_t kMostCurves = 12;
  size_t drawn = 0;
  for (const auto& [tag, points] : curves) {
    if (drawn++ == kMostCurves) break;
    Line line{.colour = "model"};
    for (const run::EventPoint& point : points) {
      line.x.push_back(static_cast<double>(point.step));
      line.y.push_back(static_cast<double>(point.value));
    }
    page.add(
        "<div><h3>{}</h3>{}</div>\n", escape(tag),
        line_plot({.x_label = "step", .y_label = "", .width = 470, .height = 260}, {&line, 1}));
  }
  page.add("</div>");
  page.end_section();
}

void add_provenance(Page& page, std::span<const std::string> notes,
                    std::span<const std::pair<std::string, std::string>> provenance,
                    const std::string& recipe_toml) {
  page.begin_section("Where this comes from");
  if (!notes.empty()) {
    page.add("<ul>");
    for (const std::string& note : notes) page.add("<li>{}</li>", escape(note));
    page.add("</ul>\n");
  }
  page.add("<table>\n");
  for (const auto& [name, value] : provenance)
    page.add("<tr><td>{}</td><td class=\"wide\">{}</td></tr>\n", escape(name), escape(value));
  page.add("</table>\n<details><summary>Recipe of the run</summary><pre>{}</pre></details>\n",
           escape(recipe_toml));
  page.end_section();
}

}  // namespace argosy::eval
