#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Plots as SVG text, without scripts. Colours come from the page: a line has class "stroke-NAME",
/// an area "fill-NAME", text and grid their own classes (see report_style.h). The attribute data-x
/// of a drawing, "LEFT RIGHT LOW HIGH", says where on it which x stands.
namespace argosy::eval {

/// Text for HTML and SVG, also inside quoted attributes.
std::string escape(std::string_view text);

struct Axes {
  std::string x_label, y_label;
  int width = 900, height = 240;                     ///< of the drawing; the page scales it
  std::optional<std::pair<double, double>> y_range;  ///< else from the values
};

struct Line {
  std::string colour;        ///< "recorded", "model", "ridge"
  std::vector<double> x, y;  ///< x rising; where a value is not finite the line is broken
};

/// Lines over a common x. Long ones are thinned to the least and greatest value per pixel column.
std::string line_plot(const Axes& axes, std::span<const Line> lines);

/// Points (x[i], y[i]) and the diagonal on which both agree; equal ranges on both axes. Of more
/// than 3000 points every n-th is drawn.
std::string scatter_plot(const Axes& axes, std::span<const double> x, std::span<const double> y);

/// How often values fall into `bins` bins of [-limit, limit], where limit covers 99 % of them; what
/// lies beyond is counted in the outermost.
std::string histogram(const Axes& axes, std::span<const double> values, int bins);

/// Round numbers (1, 2 or 5 times a power of ten apart) in [low, high], about `count` of them.
std::vector<double> ticks(double low, double high, int count);

}  // namespace argosy::eval
