#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace argosy::text {

/// Two neighbours become one token.
struct Merge {
  Token left = 0, right = 0, result = 0;
  int32_t rank = 0;  ///< the lower goes first
};

/// Byte-pair encoding: of all pairs of neighbours that have a merge, the one of the lowest rank is
/// merged, of equals the leftmost, until none is left.
class Merges {
 public:
  /// Of two merges of the same pair the first counts.
  explicit Merges(std::span<const Merge> merges);

  /// Memory that is used again from call to call.
  struct Scratch {
    struct Candidate {
      int32_t rank, position, merge;
      bool operator>(const Candidate& other) const {
        return rank != other.rank ? rank > other.rank : position > other.position;
      }
    };
    std::vector<int32_t> next, previous;
    std::vector<Candidate> heap;
  };

  /// Merges what is in `tokens`, in O(n log n). At most 2^31 - 1 of them.
  void apply(std::vector<Token>& tokens, Scratch& scratch) const;

 private:
  struct Slot {
    uint64_t pair = 0;
    int32_t merge = -1;
  };
  size_t slot_of(uint64_t pair) const { return pair * 0x9E3779B97F4A7C15ull >> shift_; }
  int32_t find(Token left, Token right) const;  // -1: none

  std::vector<Merge> merges_;
  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_ = 0;
};

}  // namespace argosy::text
