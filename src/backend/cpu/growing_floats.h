#pragma once
#include <cstddef>
#include <memory>

namespace argosy::cpu {

/// A thread's memory between the parts of a kernel: grows to the largest need and stays. It begins
/// on a cache line, so that no vector lies across two.
class GrowingFloats {
 public:
  float* at_least(size_t floats) {
    if (lines_ * kFloats < floats) {
      lines_ = (floats + kFloats - 1) / kFloats;
      memory_ = std::make_unique_for_overwrite<Line[]>(lines_);
    }
    return memory_ ? memory_[0].floats : nullptr;
  }

 private:
  static constexpr size_t kFloats = 16;
  struct alignas(64) Line {
    float floats[kFloats];
  };
  std::unique_ptr<Line[]> memory_;
  size_t lines_ = 0;
};

}  // namespace argosy::cpu
