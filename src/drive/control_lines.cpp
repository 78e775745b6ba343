#include "drive/control_lines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>

#include "base/error.h"

namespace argosy::drive {
namespace {

/// A JSON number; null for what JSON has no number for.
struct Number {
  double value;
};

}  // namespace
}  // namespace argosy::drive

template <>
struct fmt::formatter<argosy::drive::Number> : fmt::formatter<double> {
  template <typename Context>
  auto format(argosy::drive::Number number, Context& context) const {
    if (!std::isfinite(number.value)) return fmt::format_to(context.out(), "null");
    return fmt::format_to(context.out(), "{:.9g}", number.value);
  }
};

namespace argosy::drive {

ControlLines::ControlLines(const std::string& file)
    : file_(file == "-" ? "standard output" : file),
      descriptor_(file == "-"
                      ? dup(STDOUT_FILENO)
                      : open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) throw file_error("create", file_, errno);
}

ControlLines::~ControlLines() { close(descriptor_); }

void ControlLines::take(const Report& report) {
  const Prediction& p = report.prediction;
  std::array<char, 640> line;
  const auto end = fmt::format_to_n(
      line.data(), line.size(),
      "{{\"time_s\": {:.4f}, \"state\": \"{}\", \"angle\": {}, \"throttle\": {}, \"brake\": {}, "
      "\"frame\": {}, \"age_s\": {:.4f}, \"latency_s\": {:.6f}, \"policy_angle\": {}, "
      "\"policy_throttle\": {}}}\n",
      report.time_s, name_of(report.state), Number{report.controls.angle},
      Number{report.controls.throttle}, report.controls.brake, p.frame, report.age_s, p.latency_s(),
      Number{p.angle}, Number{p.throttle});
  for (size_t done = 0; done < end.size;) {
    const ssize_t n = write(descriptor_, line.data() + done, end.size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("write", file_, errno);
    done += static_cast<size_t>(n);
  }
}

}  // namespace argosy::drive
