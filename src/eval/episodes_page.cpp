#include "eval/episodes_page.h"

#include <fmt/format.h>

#include <cmath>

#include "base/base64.h"
#include "base/progress.h"
#include "eval/page.h"
#include "eval/plot.h"

namespace argosy::eval {
namespace {

constexpr const char* kStyle = R"(
.films { display: flex; flex-wrap: wrap; gap: 12px; margin: 10px 0; }
.films figure { flex: 1 1 280px; max-width: 480px; }
video { display: block; width: 100%; height: auto; border-radius: 6px; background: #000;
  image-rendering: auto; }
.signal { display: flex; justify-content: space-between; align-items: baseline; margin-top: 10px; }
.signal h3 { margin: 0; }
.signal output { font-size: 13.5px; font-variant-numeric: tabular-nums; color: var(--muted); }
.signal output b { color: var(--recorded); } .signal output i { color: var(--model); font-style: normal; }
.seek { cursor: ew-resize; touch-action: pan-y; }
.cursor { stroke: var(--ink); stroke-width: 1.2; opacity: .8; }
)";

/// A cursor over every plot of an episode that goes with its first film; the other films go with
/// that one. A click or drag on a plot moves it. Without a film it is moved by hand alone.
constexpr const char* kScript = R"(
for (const section of document.querySelectorAll('section[data-fps]')) {
  const fps = +section.dataset.fps, frames = +section.dataset.frames;
  const films = [...section.querySelectorAll('video')], first = films[0];
  const values = JSON.parse(section.querySelector('script[type="application/json"]').textContent);
  const clock = section.querySelector('.clock');
  const plots = [...section.querySelectorAll('.seek svg')].map((svg, k) => {
    const [left, right, low, high] = svg.dataset.x.split(' ').map(Number);
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    line.setAttribute('class', 'cursor');
    line.setAttribute('y1', 0);
    line.setAttribute('y2', svg.viewBox.baseVal.height - 42);
    svg.append(line);
    return {svg, line, left, right, low, high, out: section.querySelectorAll('output')[k], value: values[k]};
  });
  const text = value => value === null || value === undefined ? '–' : String(value);
  let now = 0;
  function show(t) {
    now = Math.min(Math.max(t, 0), (frames - 1) / fps);
    const i = Math.min(frames - 1, Math.floor(now * fps + 1e-3));
    clock.textContent = now.toFixed(2) + ' s, frame ' + i;
    for (const p of plots) {
      const x = p.left + (i / fps - p.low) / (p.high - p.low || 1) * (p.right - p.left);
      p.line.setAttribute('x1', x);
      p.line.setAttribute('x2', x);
      const [recorded, predicted] = p.value;
      p.out.innerHTML = '<b>' + text(recorded[i]) + '</b>' + (predicted ? ' · <i>' + text(predicted[i]) + '</i>' : '');
    }
  }
  function seek(t) {
    for (const film of films) film.currentTime = Math.min(Math.max(t, 0), (frames - 1) / fps) + 0.25 / fps;
    show(t);
  }
  function follow() {
    show(first.currentTime);
    if (!first.paused) requestAnimationFrame(follow);
  }
  if (first) {
    first.addEventListener('play', () => { for (const film of films.slice(1)) film.play(); follow(); });
    first.addEventListener('pause', () => { for (const film of films.slice(1)) { film.pause(); film.currentTime = first.currentTime; } });
    first.addEventListener('seeked', () => {
      if (!first.paused) return;
      for (const film of films.slice(1)) film.currentTime = first.currentTime;
      show(first.currentTime);
    });
    first.addEventListener('ratechange', () => { for (const film of films.slice(1)) film.playbackRate = first.playbackRate; });
  }
  for (const p of plots) {
    const at = event => {
      const box = p.svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * p.svg.viewBox.baseVal.width;
      seek(p.low + (x - p.left) / (p.right - p.left) * (p.high - p.low));
    };
    p.svg.addEventListener('pointerdown', event => { p.svg.setPointerCapture(event.pointerId); at(event); });
    p.svg.addEventListener('pointermove', event => { if (event.buttons) at(event); });
  }
  show(0);
}
)";

/// "[0.25,null,...]" with four digits, which is what a reader can see.
std::string json_numbers(const std::vector<double>& values) {
  std::string text = "[";
  for (const double value : values) {
    if (text.size() > 1) text += ',';
    text += std::isfinite(value) ? fmt::format("{:.4g}", value) : "null";
  }
  return text + "]";
}

void add_films(Page& page, const ShownEpisode& episode) {
  if (episode.films.empty()) return;
  page.add("<div class=\"films\">");
  for (const ShownFilm& film : episode.films)
    page.add(
        "<figure><video {} muted playsinline preload=\"auto\" width=\"{}\" height=\"{}\" "
        "src=\"data:video/mp4;base64,{}\"></video><figcaption>{}</figcaption></figure>",
        &film == episode.films.data() ? "controls" : "", film.width, film.height, base64(film.mp4),
        escape(film.camera));
  page.add("</div>\n");
}

void add_signals(Page& page, const ShownEpisode& episode, int fps) {
  std::vector<double> time_s;
  for (int64_t i = 0; i < episode.frames; ++i) time_s.push_back(static_cast<double>(i) / fps);
  std::string values;
  for (const ShownSignal& signal : episode.signals) {
    std::vector<Line> lines = {{"recorded", time_s, signal.recorded}};
    if (!signal.predicted.empty()) lines.push_back({"model", time_s, signal.predicted});
    page.add(
        "<div class=\"signal\"><h3>{}{}</h3><output></output></div>\n<div class=\"scroll long "
        "seek\">{}</div>\n",
        escape(signal.name), signal.unit.empty() ? "" : fmt::format(" ({})", escape(signal.unit)),
        line_plot({.x_label = "seconds", .y_label = "", .height = 150}, lines));
    values += fmt::format("{}[{}{}{}]", values.empty() ? "" : ",", json_numbers(signal.recorded),
                          signal.predicted.empty() ? "" : ",",
                          signal.predicted.empty() ? "" : json_numbers(signal.predicted));
  }
  page.add("<script type=\"application/json\">[{}]</script>\n", values);
}

void add_episode(Page& page, const ShownEpisode& episode, int fps) {
  page.add("<section data-fps=\"{}\" data-frames=\"{}\"><h2>Episode {}{}</h2>\n", fps,
           episode.frames, episode.index,
           episode.source.empty() ? "" : " · " + escape(episode.source));
  page.add("<p class=\"quiet\">{}{} frames, {} · <span class=\"clock\"></span></p>\n",
           episode.task.empty() ? "" : escape(episode.task) + " · ", episode.frames,
           duration_text(static_cast<double>(episode.frames) / fps));
  if (!episode.provenance.empty())
    page.add("<p class=\"quiet\">cut out of another data set: {}</p>\n",
             escape(episode.provenance));
  add_films(page, episode);
  add_signals(page, episode, fps);
  page.end_section();
}

}  // namespace

std::string episodes_page(const ShownEpisodes& shown) {
  Page page(fmt::format("Episodes of {}", shown.dataset), kStyle);
  page.add("<header><div class=\"kind\">Episodes</div><h1>{}</h1>\n", escape(shown.dataset));
  page.add(
      "<p class=\"quiet\">{} episode{} at {} frames/s. The cursor goes with the film; click or "
      "drag on a plot to move both.</p>\n",
      shown.episodes.size(), shown.episodes.size() == 1 ? "" : "s", shown.fps);
  if (!shown.policy.empty())
    page.add(
        "<div class=\"key\"><span><i style=\"background:var(--recorded)\"></i>recorded</span>"
        "<span><i style=\"background:var(--model)\"></i>{}</span></div>\n",
        escape(shown.policy));
  for (const std::string& note : shown.notes) page.add("<p class=\"quiet\">{}</p>\n", escape(note));
  page.add("</header>\n");
  for (const ShownEpisode& episode : shown.episodes) add_episode(page, episode, shown.fps);
  return page.finish(kScript);
}

}  // namespace argosy::eval
