#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace argosy {

/// A bar with rate and remaining time on standard error. On a terminal it is redrawn in place;
/// elsewhere a plain line is written every ten seconds and at the end. One bar lives at a time.
/// Call it from one thread.
class Progress {
 public:
  /// label  what is being done ("ingest"); unit  what is counted ("frames"); total  0 if unknown
  Progress(std::string label, std::string unit, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` units so far (since the start of the job, `resumed` of them before this process);
  /// `note` is shown behind the bar, e.g. "loss 0.31  812 samples/s".
  void update(int64_t done, std::string_view note = {});
  void set_resumed(int64_t done) { resumed_ = done; }
  void finish();

 private:
  std::string line(bool bar) const;
  void draw(bool last);

  std::string label_, unit_, note_;
  int64_t total_, done_ = 0, resumed_ = 0;
  bool finished_ = false;
  std::chrono::steady_clock::time_point start_, drawn_;
};

/// Writes a line to standard error, above the bar if one is shown.
void print_above_progress(std::string_view line);

/// "4 s", "3 min 20 s", "2 h 05 min".
std::string duration_text(double seconds);

}  // namespace argosy
