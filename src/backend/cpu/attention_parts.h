#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

#include "backend/cpu/backend.h"
#include "backend/cpu/conversions.h"
#include "backend/cpu/parts_with_memory.h"
#include "ops/ops.h"

/// How attention's work is cut, and who sees whom; the kernels are in attention.cpp and
/// attention_gradient.cpp.
namespace argosy::cpu {

constexpr int64_t kKeys = 64;      // in a tile
constexpr int64_t kQueries = 192;  // in a block: whole panels on every instruction set
constexpr int64_t kWidest = 16;    // floats in the longest vector
constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

struct AttentionShape {
  int64_t b, t, s, h, g, d;
  ops::AttentionOptions options;
  bool segmented;

  /// q and k are operands `first` and after it; perhaps segments, from operand `segments` on.
  AttentionShape(const KernelRequest& request, size_t first, size_t segments);

  int64_t padded() const { return (d + kWidest - 1) / kWidest * kWidest; }
  int64_t blocks() const { return (t + kQueries - 1) / kQueries; }
  int64_t heads_per_group() const { return h / g; }
  int64_t last_key(int64_t query) const { return options.causal ? s - t + query : s - 1; }
  int64_t first_key(int64_t query) const {
    return options.window > 0 ? std::max<int64_t>(0, last_key(query) - options.window + 1) : 0;
  }
  /// Products of these with keys are scores times log2(e), or a soft cap's argument.
  float query_factor() const {
    return static_cast<float>(options.soft_cap > 0 ? options.scale / options.soft_cap
                                                   : options.scale * kLog2E);
  }
  float scale() const { return static_cast<float>(options.scale); }
  /// The soft cap of scores times log2(e).
  float cap() const { return static_cast<float>(options.soft_cap * kLog2E); }

  int64_t query_step() const { return h * d; }
  int64_t key_step() const { return g * d; }
  int64_t query(int64_t batch, int64_t i, int64_t head) const {
    return ((batch * t + i) * h + head) * d;
  }
  int64_t key(int64_t batch, int64_t i, int64_t group) const {
    return ((batch * s + i) * g + group) * d;
  }
  int64_t row(int64_t batch, int64_t head, int64_t i) const { return (batch * h + head) * t + i; }
};

/// Operands and results in one dtype, f32 or bf16; the log-sum-exp in f32.
struct AttentionData {
  explicit AttentionData(DType dtype) : bf16(dtype == DType::bf16), narrow(find_narrow(dtype)) {}
  bool bf16;
  NarrowFunction narrow;
  const std::byte *dy = nullptr, *q = nullptr, *k = nullptr, *v = nullptr, *y = nullptr;
  const float* lse = nullptr;
  const int32_t *segments = nullptr, *key_segments = nullptr;  ///< [B, T]; [B, S]
  std::byte *out = nullptr, *dq = nullptr, *dk = nullptr, *dv = nullptr;
  float* lse_out = nullptr;

  /// Segments, and perhaps those of the keys, stand from operand `first` on.
  void read_segments(const KernelArgs& k, size_t first);
};

/// What one thread computes at a time: these queries of some heads of a group with these keys.
struct AttentionPart {
  int64_t batch, group, head_begin, head_end, query_begin, query_end, key_begin, key_end;
  bool gives_dq = false, gives_dkv = false;
};

/// Segment numbers that occur in a row of them.
struct SegmentRange {
  int32_t low = std::numeric_limits<int32_t>::max(), high = -1;
  bool padding = false;

  SegmentRange(const int32_t* numbers, int64_t n) {
    if (!numbers) low = high = 0;
    for (int64_t i = 0; numbers && i < n; ++i) {
      padding |= numbers[i] < 0;
      if (numbers[i] < 0) continue;
      low = std::min(low, numbers[i]), high = std::max(high, numbers[i]);
    }
  }
  bool meets(const SegmentRange& other) const { return low <= other.high && other.low <= high; }
  bool is_one_with(const SegmentRange& other) const {
    return !padding && !other.padding && low == high && other.low == low && other.high == low;
  }
};

/// Queries side by side; a run of keys.
struct Run {
  int64_t begin, count;
  const int32_t* numbers;
  SegmentRange segments;

  static Run of_queries(const AttentionShape& z, const AttentionData& a, int64_t batch,
                        int64_t first, int64_t n) {
    return {first, n, z.segmented ? a.segments + batch * z.t + first : nullptr};
  }
  static Run of_keys(const AttentionShape& z, const AttentionData& a, int64_t batch, int64_t first,
                     int64_t n) {
    return {first, n, z.segmented ? a.key_segments + batch * z.s + first : nullptr};
  }

 private:
  Run(int64_t first, int64_t n, const int32_t* of_each)
      : begin(first), count(n), numbers(of_each), segments(of_each, n) {}
};

/// The keys of a tile, counted from its first, that some query of a panel sees; with masks where
/// not every query sees all of them.
struct Meeting {
  int64_t begin = 0, end = 0;
  bool masked = false;

  Meeting(const AttentionShape& z, const Run& panel, const Run& tile) {
    if (!panel.segments.meets(tile.segments)) return;
    const int64_t last = panel.begin + panel.count - 1;
    begin = std::max<int64_t>(0, z.first_key(panel.begin) - tile.begin);
    end = std::min(tile.count, z.last_key(last) + 1 - tile.begin);
    masked = tile.begin + begin < z.first_key(last) ||
             tile.begin + end - 1 > z.last_key(panel.begin) ||
             !panel.segments.is_one_with(tile.segments);
  }
  bool empty() const { return begin >= end; }
};

/// Computes a part in memory of the thread and returns how many floats of it that needs; without
/// memory it does nothing else.
using AttentionWork = int64_t (*)(const AttentionShape&, const AttentionData&, const AttentionPart&,
                                  float* memory);

/// Parts of one group each: how many of its heads, queries and keys they have at most.
struct AttentionCut {
  int64_t heads, queries, keys;
};

/// `work` on all parts that a cut makes, in memory of the kernel's workspace.
class AttentionSweep {
 public:
  /// `like` says what the parts give.
  AttentionSweep(const AttentionShape& z, DType dtype, AttentionWork work, const AttentionCut& cut,
                 const AttentionPart& like = {});
  size_t workspace_bytes() const { return parts_.workspace_bytes(); }
  void run(const AttentionData& data, std::byte* workspace) const;

 private:
  AttentionPart part(int64_t item) const;

  AttentionShape shape_;
  AttentionWork work_;
  AttentionCut cut_;
  AttentionPart like_;
  int64_t shares_, blocks_, tiles_;  // pieces of a group's heads, of queries, of keys
  PartsWithMemory parts_;
};

/// The group's heads stay together, so that they share what is packed of keys and values, unless
/// that leaves too few parts for the threads.
int64_t heads_together(const AttentionShape& z);

}  // namespace argosy::cpu
