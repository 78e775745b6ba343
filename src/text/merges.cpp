#include "text/merges.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace argosy::text {
namespace {

constexpr Token kGone = -1;  // swallowed by its left neighbour

uint64_t pair_of(Token left, Token right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

Merges::Merges(std::span<const Merge> merges) : merges_(merges.begin(), merges.end()) {
  const size_t size = std::bit_ceil(2 * merges_.size() + 2);
  shift_ = 64 - std::countr_zero(size);
  slots_.resize(size);
  for (size_t i = 0; i < merges_.size(); ++i) {
    const uint64_t pair = pair_of(merges_[i].left, merges_[i].right);
    size_t slot = slot_of(pair);
    while (slots_[slot].merge >= 0 && slots_[slot].pair != pair) slot = (slot + 1) & (size - 1);
    if (slots_[slot].merge < 0) slots_[slot] = {pair, static_cast<int32_t>(i)};
  }
}

int32_t Merges::find(Token left, Token right) const {
  const uint64_t pair = pair_of(left, right);
  size_t slot = slot_of(pair);
  while (slots_[slot].merge >= 0 && slots_[slot].pair != pair)
    slot = (slot + 1) & (slots_.size() - 1);
  return slots_[slot].merge;
}

void Merges::apply(std::vector<Token>& tokens, Scratch& scratch) const {
  const auto count = static_cast<int32_t>(tokens.size());
  auto& [next, previous, heap] = scratch;
  next.resize(tokens.size());
  previous.resize(tokens.size());
  heap.clear();
  heap.reserve(tokens.size());  // growing by doubling would take twice as much of a long text
  const auto candidate = [&](int32_t position) {
    const int32_t merge = find(tokens[position], tokens[next[position]]);
    if (merge >= 0) heap.push_back({merges_[merge].rank, position, merge});
    return merge >= 0;
  };
  for (int32_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
    if (i + 1 < count) candidate(i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater());
  const auto push = [&](int32_t position) {
    if (candidate(position)) std::push_heap(heap.begin(), heap.end(), std::greater());
  };
  while (!heap.empty()) {
    const auto [rank, position, index] = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater());
    heap.pop_back();
    const Merge& merge = merges_[index];
    const int32_t right = next[position];
    // the pair may have changed since it became a candidate
    if (tokens[position] != merge.left || right == count || tokens[right] != merge.right) continue;
    tokens[position] = merge.result;
    tokens[right] = kGone;
    next[position] = next[right];
    if (next[position] < count) {
      previous[next[position]] = position;
      push(position);
    }
    if (previous[position] >= 0) push(previous[position]);
  }
  std::erase(tokens, kGone);
}

}  // namespace argosy::text
