#include "eval/track_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace argosy::eval {
namespace {

constexpr double kSide = 320;
constexpr double kMargin_m = 0.6;  // a car that leaves the road is still on the map

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
    low_x_ -= kMargin_m;
    low_y_ -= kMargin_m;
    high_x_ += kMargin_m;
    high_y_ += kMargin_m;
    per_m_ = kSide / std::max(high_x_ - low_x_, high_y_ - low_y_);
  }
  double x(double x_m) const { return (x_m - low_x_) * per_m_; }
  double y(double y_m) const { return (high_y_ - y_m) * per_m_; }
  double width() const { return (high_x_ - low_x_) * per_m_; }
  double height() const { return (high_y_ - low_y_) * per_m_; }

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
      const bool begins = i == 0 || step.intervention;
      begins ? pen.move(step.x_m, step.y_m) : pen.draw(step.x_m, step.y_m);
    }
    svg += "\"/>";
  }
  const std::vector<DriveStep>& steps = drive.steps;
  for (size_t begin = 0, end; begin < steps.size(); begin = end) {
    const int error = error_class(steps[begin]);
    svg += fmt::format("<path class=\"stroke-error-{}\" d=\"", error);
    Pen pen(scale, svg);
    pen.move(steps[begin].x_m, steps[begin].y_m);
    for (end = begin + 1; end < steps.size() && !steps[end].intervention; ++end) {
      pen.draw(steps[end].x_m, steps[end].y_m);
      if (error_class(steps[end]) != error) break;
    }
    svg += "\"/>";
  }
  for (size_t i = 1; i < steps.size(); ++i)
    if (steps[i].intervention)
      svg += fmt::format("<circle class=\"taken-over\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"/>",
                         scale.x(steps[i - 1].x_m), scale.y(steps[i - 1].y_m));
  return svg + "</svg>";
}

}  // namespace argosy::eval
