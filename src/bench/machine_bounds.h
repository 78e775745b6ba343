#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "compile/program.h"

namespace argosy::bench {

/// What this machine can do at most, with the threads that compute now: the measure for kernels.
struct MachineBounds {
  double f32_flops = 0, bf16_flops = 0;  ///< of a matrix product, a second; bf16 0: not measured
  double copy_bytes = 0;  ///< of a copy in memory, read and written ones together, a second

  /// The time that the flops take at the peak of the operands' format.
  double product_s(const Program& program, const Call& call) const;
  /// The least time of a call: its flops at that peak or its bytes at the copy's rate, whichever
  /// takes longer. What the caches still hold comes faster than by a copy.
  double least_s(const Program& program, const Call& call) const;
};

/// Takes some tenths of a second. The product is the backend's own on squares that fit the caches;
/// bf16 is measured where the program multiplies it.
MachineBounds measure_bounds(const Program& program);

/// A copy between two arrays far larger than the caches, with stores that go past these: ordinary
/// ones read each line before they write it.
class MemoryCopy {
 public:
  MemoryCopy();
  void run();
  /// Read and written ones together.
  double bytes() const { return 2.0 * sizeof(Line) * static_cast<double>(lines_); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  int64_t lines_;
  std::unique_ptr<Line[]> from_, to_;
};

/// One sweep through as much memory, that only reads.
class MemoryRead {
 public:
  MemoryRead();
  void run();
  double bytes() const { return sizeof(uint64_t) * static_cast<double>(words_); }

 private:
  int64_t words_;
  std::unique_ptr<uint64_t[]> memory_;
};

/// Bytes a second that the threads read at most from memory, one after another.
double measure_read_bytes();

/// One line for readers.
std::string to_text(const MachineBounds& bounds);

}  // namespace argosy::bench
