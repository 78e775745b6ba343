#include "eval/track_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace argosy::eval {
namespace {

constexpr double kSide = 320, kMargin = 10;

/// From metres to the drawing: the whole road fits, y points up.
class Scale {
 public:
  explicit Scale(const TrackShape& track) {
    for (const auto* edge : {&track.left, &track.right})
      for (const MapPoint& point : *edge) {
        low_x_ = std::min(low_x_, point.x_m);
        high_x_ = std::max(high_x_, point.x_m);
        low_y_ = std::min(low_y_, point.y_m);
        high_y_ = std::max(high_y_, point.y_m);
      }
    per_m_ = (kSide - 2 * kMargin) / std::max({high_x_ - low_x_, high_y_ - low_y_, 1e-6});
  }
  double x(double x_m) const { return kMargin + (x_m - low_x_) * per_m_; }
  double y(double y_m) const { return kMargin + (high_y_ - y_m) * per_m_; }
  double width() const { return 2 * kMargin + (high_x_ - low_x_) * per_m_; }
  double height() const { return 2 * kMargin + (high_y_ - low_y_) * per_m_; }

 private:
  double low_x_ = std::numeric_limits<double>::infinity(), high_x_ = -low_x_;
  double low_y_ = low_x_, high_y_ = -low_x_;
  double per_m_ = 1;
};

/// Pieces of an SVG path.
class Pen {
 public:
  Pen(const Scale& scale, std::string& to) : scale_(scale), to_(to) {}
  void move(double x_m, double y_m) { point('M', x_m, y_m); }
  void draw(double x_m, double y_m) { point('L', x_m, y_m); }

 private:
  void point(char kind, double x_m, double y_m) {
    fmt::format_to(std::back_inserter(to_), "{}{:.1f} {:.1f}", kind, scale_.x(x_m), scale_.y(y_m));
  }
  const Scale& scale_;
  std::string& to_;
};

int error_class(const DriveStep& step) {
  if (step.off_road) return kErrorClasses - 1;
  const double share = std::abs(step.lateral_m) / step.half_width_m;
  return static_cast<int>(std::clamp(share * (kErrorClasses - 1), 0.0, kErrorClasses - 1.0));
}

void add_road(const TrackShape& track, const Scale& scale, std::string& svg) {
  svg += "<path class=\"road\" d=\"";
  Pen pen(scale, svg);
  for (const auto* edge : {&track.left, &track.right}) {
    for (size_t i = 0; i < edge->size(); ++i)
      i == 0 ? pen.move((*edge)[i].x_m, (*edge)[i].y_m) : pen.draw((*edge)[i].x_m, (*edge)[i].y_m);
    svg += "Z";
  }
  svg += "\"/>";
}

}  // namespace

std::string track_map(const TrackShape& track, const DriveTrace& drive, const DriveTrace* other) {
  const Scale scale(track);
  std::string svg = fmt::format(
      "<svg class=\"map\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"track {} from "
      "above\">",
      scale.width(), scale.height(), track.seed);
  add_road(track, scale, svg);
  if (other) {
    svg += "<path class=\"stroke-ridge\" d=\"";
    Pen pen(scale, svg);
    for (size_t i = 0; i < other->steps.size(); ++i) {
      const DriveStep& step = other->steps[i];
      const bool begins = i == 0 || step.intervention != other->steps[i - 1].intervention;
      begins ? pen.move(step.x_m, step.y_m) : pen.draw(step.x_m, step.y_m);
    }
    svg += "\"/>";
  }
  for (size_t begin = 0; begin + 1 < drive.steps.size();) {
    const DriveStep& first = drive.steps[begin];
    const int error = error_class(first);
    const auto alike = [&](const DriveStep& step) {
      return step.intervention == first.intervention && error_class(step) == error;
    };
    if (first.intervention)
      svg += "<path class=\"stroke-help\" d=\"";
    else
      svg += fmt::format("<path class=\"stroke-error-{}\" d=\"", error);
    Pen pen(scale, svg);
    pen.move(first.x_m, first.y_m);
    size_t end = begin;
    while (end + 1 < drive.steps.size()) {
      const DriveStep& next = drive.steps[++end];
      pen.draw(next.x_m, next.y_m);
      if (!alike(next)) break;
    }
    svg += "\"/>";
    begin = end;
  }
  bool before = false;
  for (const DriveStep& step : drive.steps) {
    if (step.intervention && !before)
      svg += fmt::format("<circle class=\"taken-over\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"/>",
                         scale.x(step.x_m), scale.y(step.y_m));
    before = step.intervention;
  }
  return svg + "</svg>";
}

}  // namespace argosy::eval
