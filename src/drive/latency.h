#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace argosy::drive {

/// How long something took, many times over, in fixed memory: within 5 %.
class Latency {
 public:
  void add(double seconds);
  int64_t count() const { return count_; }
  double max_s() const { return max_s_; }
  /// The time that `share` of all took at most; 0 where there is none.
  double quantile_s(double share) const;
  /// "0.4 ms ▁▃█▅▂▁ 1.3 ms"
  std::string histogram() const;

 private:
  std::array<int64_t, 300> buckets_{};
  int64_t count_ = 0;
  double max_s_ = 0;
};

}  // namespace argosy::drive
