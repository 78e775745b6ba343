#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/threads.h"

namespace argosy::cpu {

/// Parts of a kernel's work that need memory of their own while they are computed: a workspace
/// with as many pieces of it as there are threads when the kernel is made.
class PartsWithMemory {
 public:
  /// `parts` in all, `floats` for one at a time; ranges of at least `least` of them go together.
  PartsWithMemory(int64_t parts, int64_t floats, int64_t least = 1)
      : parts_(parts),
        floats_(floats),
        pieces_(std::clamp<int64_t>(parts / least, 1, thread_count())),
        least_(least) {}

  size_t workspace_bytes() const { return static_cast<size_t>(pieces_ * floats_) * sizeof(float); }

  /// Calls body(begin, end, memory) for ranges of the parts, on the threads.
  template <typename Body>
  void run(std::byte* workspace, const Body& body) const {
    // each range takes the next piece: no more ranges than pieces, even where there are more
    // threads by now
    const int64_t least =
        thread_count() > pieces_ ? std::max(least_, (parts_ + pieces_ - 1) / pieces_) : least_;
    std::atomic<int64_t> taken = 0;
    parallel_for(parts_, least, [&](int64_t begin, int64_t end) {
      body(begin, end, reinterpret_cast<float*>(workspace) + taken++ * floats_);
    });
  }

 private:
  int64_t parts_, floats_, pieces_, least_;
};

}  // namespace argosy::cpu
