#include "eval/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace argosy::eval {
namespace {

constexpr int kLeft = 56, kRight = 12, kTop = 10, kBottom = 42;
constexpr size_t kMostPoints = 3000;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(std::span<const double> values) {
    for (const double value : values)
      if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
  }
  /// A little wider than the values, and never empty.
  Range padded(double share) const {
    if (!(low <= high)) return {0, 1};
    const double pad = high > low ? share * (high - low) : 0.1 * std::max(std::abs(high), 1.0);
    return {low - pad, high + pad};
  }
};

/// The drawing's frame: grid, ticks and labels, and where a value goes.
class Canvas {
 public:
  Canvas(const Axes& axes, Range across, Range up) : axes_(axes), x_(across), y_(up) {
    add("<svg class=\"plot\" viewBox=\"0 0 {} {}\" data-x=\"{} {} {:.9g} {:.9g}\" role=\"img\" "
        "aria-label=\"{} over {}\">",
        axes.width, axes.height, kLeft, axes.width - kRight, x_.low, x_.high, escape(axes.y_label),
        escape(axes.x_label));
    for (const double tick : ticks(y_.low, y_.high, std::max(3, axes.height / 60))) {
      add("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
          axes.width - kRight, y(tick), y(tick));
      add("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.6g}</text>", kLeft - 8,
          y(tick) + 4, clean(tick));
    }
    for (const double tick : ticks(x_.low, x_.high, std::max(3, axes.width / 110)))
      add("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>",
          x(tick), axes.height - kBottom + 18, clean(tick));
    add("<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        (kLeft + axes.width - kRight) / 2, axes.height - 6, escape(axes.x_label));
    add("<text class=\"label\" transform=\"translate(14 {}) rotate(-90)\" "
        "text-anchor=\"middle\">{}</text>",
        (kTop + axes.height - kBottom) / 2, escape(axes.y_label));
  }

  double x(double value) const {
    return kLeft + (value - x_.low) / (x_.high - x_.low) * (axes_.width - kLeft - kRight);
  }
  double y(double value) const {
    return axes_.height - kBottom -
           (value - y_.low) / (y_.high - y_.low) * (axes_.height - kTop - kBottom);
  }
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }
  std::string finish() { return std::move(text_) + "</svg>"; }

 private:
  static double clean(double tick) { return std::abs(tick) < 1e-12 ? 0 : tick; }

  const Axes& axes_;
  Range x_, y_;
  std::string text_;
};

/// Indices to draw: all, or per pixel column the first, the least, the greatest and the last.
std::vector<size_t> thinned(const Line& line, const Canvas& canvas) {
  std::vector<size_t> kept;
  if (line.x.size() <= 1500) {
    for (size_t i = 0; i < line.x.size(); ++i) kept.push_back(i);
    return kept;
  }
  for (size_t begin = 0; begin < line.x.size();) {
    const double column = std::floor(canvas.x(line.x[begin]));
    size_t end = begin, least = begin, greatest = begin, missing = line.x.size();
    for (; end < line.x.size() && std::floor(canvas.x(line.x[end])) == column; ++end) {
      if (line.y[end] < line.y[least]) least = end;
      if (line.y[end] > line.y[greatest]) greatest = end;
      if (!std::isfinite(line.y[end])) missing = end;
    }
    if (end == begin) ++end;  // an x that is not finite has no column
    std::vector<size_t> column_points = {begin, least, greatest, end - 1};
    if (missing < line.x.size()) column_points.push_back(missing);
    std::sort(column_points.begin(), column_points.end());
    column_points.erase(std::unique(column_points.begin(), column_points.end()),
                        column_points.end());
    kept.insert(kept.end(), column_points.begin(), column_points.end());
    begin = end;
  }
  return kept;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::vector<double> ticks(double low, double high, int count) {
  if (!(low < high) || !std::isfinite(high - low) || count < 1) return {};
  const double rough = (high - low) / count, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double part = rough / power;
  const double step = power * (part < 1.5 ? 1 : part < 3.5 ? 2 : part < 7.5 ? 5 : 10);
  std::vector<double> found;
  for (double i = std::ceil(low / step); i * step <= high && found.size() < 100; ++i)
    found.push_back(i * step);
  return found;
}

std::string line_plot(const Axes& axes, std::span<const Line> lines) {
  Range x, y;
  for (const Line& line : lines) {
    x.add(line.x);
    y.add(line.y);
  }
  const Range y_shown =
      axes.y_range ? Range{axes.y_range->first, axes.y_range->second} : y.padded(0.05);
  Canvas canvas(axes, x.padded(0), y_shown);
  if (y_shown.low < 0 && y_shown.high > 0)
    canvas.add("<line class=\"zero\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft,
               axes.width - kRight, canvas.y(0), canvas.y(0));
  for (const Line& line : lines) {
    canvas.add("<path class=\"stroke-{}\" d=\"", escape(line.colour));
    bool drawing = false;
    for (const size_t i : thinned(line, canvas)) {
      const bool finite = std::isfinite(line.x[i]) && std::isfinite(line.y[i]);
      if (finite)
        canvas.add("{}{:.1f} {:.1f}", drawing ? 'L' : 'M', canvas.x(line.x[i]),
                   canvas.y(std::clamp(line.y[i], y_shown.low, y_shown.high)));
      drawing = finite;
    }
    canvas.add("\"/>");
  }
  return canvas.finish();
}

std::string scatter_plot(const Axes& axes, std::span<const double> x, std::span<const double> y) {
  Range both;
  both.add(x);
  both.add(y);
  both = both.padded(0.05);
  Canvas canvas(axes, both, both);
  canvas.add(
      "<path class=\"diagonal\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\"/><g class=\"fill-model "
      "points\">",
      canvas.x(both.low), canvas.y(both.low), canvas.x(both.high), canvas.y(both.high));
  const size_t step = std::max<size_t>(1, (x.size() + kMostPoints - 1) / kMostPoints);
  for (size_t i = 0; i < x.size(); i += step)
    if (std::isfinite(x[i]) && std::isfinite(y[i]))
      canvas.add("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.2\"/>", canvas.x(x[i]), canvas.y(y[i]));
  canvas.add("</g>");
  return canvas.finish();
}

std::string histogram(const Axes& axes, std::span<const double> values, int bins) {
  std::vector<double> sizes;
  for (const double value : values)
    if (std::isfinite(value)) sizes.push_back(std::abs(value));
  double limit = 1;
  if (!sizes.empty()) {
    const auto rank = static_cast<std::ptrdiff_t>(0.99 * static_cast<double>(sizes.size() - 1));
    std::nth_element(sizes.begin(), sizes.begin() + rank, sizes.end());
    if (sizes[static_cast<size_t>(rank)] > 0) limit = sizes[static_cast<size_t>(rank)];
  }
  std::vector<double> counts(static_cast<size_t>(bins));
  for (const double value : values)
    if (std::isfinite(value)) {
      const double place = (value + limit) / (2 * limit) * bins;
      ++counts[static_cast<size_t>(std::clamp(place, 0.0, bins - 1.0))];
    }
  const double most = std::max(1.0, *std::max_element(counts.begin(), counts.end()));
  Canvas canvas(axes, {-limit, limit}, {0, most * 1.05});
  canvas.add("<g class=\"fill-model\">");
  for (size_t i = 0; i < counts.size(); ++i) {
    const double left = canvas.x(-limit + 2 * limit * static_cast<double>(i) / bins);
    const double right = canvas.x(-limit + 2 * limit * static_cast<double>(i + 1) / bins);
    canvas.add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>", left + 0.5,
               canvas.y(counts[i]), std::max(0.5, right - left - 1),
               canvas.y(0) - canvas.y(counts[i]));
  }
  canvas.add("</g><line class=\"zero\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2:.1f}\"/>",
             canvas.x(0), kTop, canvas.y(0));
  return canvas.finish();
}

}  // namespace argosy::eval
