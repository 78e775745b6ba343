#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <mutex>

#include "base/log.h"

namespace argosy {
namespace {

std::mutex mutex;
std::string shown;  // the bar now on the terminal's last line, if any

/// The first part of a line that fits into one row of the terminal: a wrapped line could not be
/// drawn over.
std::string cut_to_terminal(const std::string& line) {
  struct winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return line;
  int columns = 0;
  for (size_t i = 0; i < line.size(); ++i)  // bytes 10xxxxxx continue a character
    if ((line[i] & 0xC0) != 0x80 && ++columns > size.ws_col) return line.substr(0, i);
  return line;
}

void show(const std::string& bar) {
  const std::scoped_lock lock(mutex);
  shown = bar;
  fmt::print(stderr, "\r\033[K{}", bar);
  std::fflush(stderr);
}

}  // namespace

void print_above_progress(std::string_view line) {
  const std::scoped_lock lock(mutex);
  if (shown.empty()) {
    fmt::print(stderr, "{}\n", line);
  } else {
    fmt::print(stderr, "\r\033[K{}\n{}", line, shown);
  }
  std::fflush(stderr);
}

std::string duration_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
}

Progress::Progress(std::string label, std::string unit, int64_t total)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_) {}

Progress::~Progress() { finish(); }

std::string Progress::line(bool bar) const {
  const double elapsed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double rate = elapsed > 0 ? static_cast<double>(done_ - resumed_) / elapsed : 0;
  std::string text = label_;
  if (total_ > 0) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    if (bar) {
      constexpr int kWidth = 24;
      const int full = static_cast<int>(share * kWidth);
      text += " [";
      for (int i = 0; i < kWidth; ++i) text += i < full ? "█" : "·";
      text += "]";
    }
    text += fmt::format(" {:3.0f}% {}/{} {}", std::floor(100 * share), done_, total_, unit_);
  } else {
    text += fmt::format(" {} {}", done_, unit_);
  }
  if (rate > 0) text += fmt::format("  {:.{}f} {}/s", rate, rate < 10 ? 1 : 0, unit_);
  if (done_ < total_ && rate > 0)
    text += fmt::format("  {} left", duration_text(static_cast<double>(total_ - done_) / rate));
  if (done_ >= total_) text += fmt::format("  in {}", duration_text(elapsed));
  if (!note_.empty()) text += "  " + note_;
  return text;
}

void Progress::draw(bool last) {
  const auto now = std::chrono::steady_clock::now();
  using namespace std::chrono_literals;
  if (log::terminal()) {
    if (!last && now - drawn_ < 100ms) return;
    const std::string whole = line(true), cut = cut_to_terminal(whole);
    show(cut == whole ? whole : cut_to_terminal(line(false)));  // figures before the bar
    if (last) {
      const std::scoped_lock lock(mutex);
      shown.clear();
      fmt::print(stderr, "\n");
    }
  } else {
    if (!last && now - drawn_ < 10s) return;
    print_above_progress(line(false));
  }
  drawn_ = now;
}

void Progress::update(int64_t done, std::string_view note) {
  done_ = done;
  note_ = note;
  draw(false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  draw(true);
}

}  // namespace argosy
