#include <algorithm>
#include <functional>
#include <map>

#include "base/aligned_bytes.h"
#include "compile/program.h"

namespace argosy {
namespace {

/// A piece of the arena, held by what shares its memory.
struct Block {
  size_t bytes = 0;
  int32_t first = 0, last = 0;  ///< calls during which it is alive
  size_t offset = 0;
  size_t end() const { return offset + bytes; }
};

/// Gives each block in turn the lowest place that is free during its whole life. Returns the end of
/// the highest.
size_t place(const std::vector<Block*>& blocks) {
  std::vector<const Block*> placed;  // by offset
  size_t end = 0;
  for (Block* block : blocks) {
    size_t offset = 0;
    for (const Block* other : placed) {
      if (other->last < block->first || block->last < other->first) continue;
      if (other->offset >= offset + block->bytes) break;
      offset = std::max(offset, other->end());
    }
    block->offset = offset;
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), block,
                         [](const Block* a, const Block* b) { return a->offset < b->offset; }),
        block);
    end = std::max(end, block->end());
  }
  return end;
}

/// What the calls of one run keep alive, by call.
std::vector<size_t> live_bytes(const std::vector<Block*>& blocks, size_t calls) {
  std::vector<size_t> live(calls, 0);
  for (const Block* block : blocks)
    for (int32_t i = block->first; i <= block->last; ++i)
      live[static_cast<size_t>(i)] += block->bytes;
  return live;
}

/// Places the blocks so that the arena ends within a fiftieth of the largest live set, which it
/// cannot be below, or as near as was found. It begins with several orders (the largest first, what
/// fills most of the arena's time, what lives where it is most crowded, what lives longest), and
/// whichever block ends highest gets its turn sooner in the next round.
size_t place_well(const std::vector<Block*>& blocks, const std::vector<size_t>& live) {
  if (blocks.empty()) return 0;
  constexpr size_t kPlacements = 200'000;  // of single blocks, for each of the orders to begin with
  const size_t rounds = std::max<size_t>(1, kPlacements / blocks.size());
  const size_t bound = *std::max_element(live.begin(), live.end()), good = bound + bound / 50;
  using Weight = std::pair<size_t, size_t>;  // compared in this order
  const auto life = [](const Block& b) { return static_cast<size_t>(b.last - b.first + 1); };
  const std::function<Weight(const Block&)> weights[] = {
      [](const Block& b) { return Weight(b.bytes, 0); },
      [&](const Block& b) { return Weight(b.bytes * life(b), 0); },
      [&](const Block& b) {
        const auto begin = live.begin() + b.first;
        return Weight(*std::max_element(begin, live.begin() + b.last + 1), b.bytes);
      },
      [&](const Block& b) { return Weight(life(b), b.bytes); },
  };
  std::vector<size_t> offsets(blocks.size());
  size_t best = SIZE_MAX;
  for (const auto& weight : weights) {
    std::vector<std::pair<Weight, Block*>> weighted;
    for (Block* block : blocks) weighted.emplace_back(weight(*block), block);
    std::stable_sort(weighted.begin(), weighted.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<Block*> order;
    for (const auto& [by, block] : weighted) order.push_back(block);
    for (size_t round = 0; round < rounds && best > good; ++round) {
      if (const size_t end = place(order); end < best) {
        best = end;
        for (size_t i = 0; i < blocks.size(); ++i) offsets[i] = blocks[i]->offset;
      }
      const auto highest =
          std::max_element(order.begin(), order.end(),
                           [](const Block* a, const Block* b) { return a->end() < b->end(); });
      const auto sooner = order.begin() + (highest - order.begin()) / (round % 4 == 3 ? 16 : 2);
      if (sooner == highest) break;
      std::rotate(sooner, highest, highest + 1);
    }
  }
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i]->offset = offsets[i];
  return best;
}

}  // namespace

void plan_memory(Program& program) {
  // one block for each owner (lower() left its number in offset), one for each workspace
  std::map<size_t, Block> owners;
  const auto touch = [&](int32_t buffer, int32_t call) {
    const Buffer& b = program.buffers[static_cast<size_t>(buffer)];
    if (b.region != Region::arena) return;
    const auto [block, added] = owners.try_emplace(b.offset, Block{.first = call});
    block->second.bytes = std::max(block->second.bytes, aligned_bytes(b.type.bytes()));
    block->second.last = call;
  };
  const auto calls = static_cast<int32_t>(program.calls.size());
  for (int32_t i = 0; i < calls; ++i) {
    for (const int32_t buffer : program.calls[static_cast<size_t>(i)].inputs) touch(buffer, i);
    for (const int32_t buffer : program.calls[static_cast<size_t>(i)].outputs) touch(buffer, i);
  }
  for (const NamedBuffer& output : program.outputs) touch(output.buffer, calls);

  std::vector<Block*> blocks;
  for (auto& [owner, block] : owners) blocks.push_back(&block);
  std::vector<Block> workspaces(program.calls.size());
  for (int32_t i = 0; i < calls; ++i) {
    const size_t bytes = aligned_bytes(program.calls[static_cast<size_t>(i)].workspace_bytes);
    workspaces[static_cast<size_t>(i)] = {bytes, i, i, 0};
    if (bytes > 0) blocks.push_back(&workspaces[static_cast<size_t>(i)]);
  }

  const std::vector<size_t> live = live_bytes(blocks, program.calls.size() + 1);
  const auto peak = std::max_element(live.begin(), live.end());
  program.largest_live_bytes = *peak;
  program.largest_live_call = static_cast<int32_t>(peak - live.begin());
  for (const auto& [owner, block] : owners)
    if (block.first <= program.largest_live_call && program.largest_live_call <= block.last)
      program.largest_live.push_back(static_cast<int32_t>(owner));

  program.arena_bytes = place_well(blocks, live);
  for (Buffer& buffer : program.buffers)
    if (buffer.region == Region::arena) {
      const auto found = owners.find(buffer.offset);
      buffer.offset = found == owners.end() ? 0 : found->second.offset;
    }
  for (size_t i = 0; i < program.calls.size(); ++i)
    program.calls[i].workspace_offset = workspaces[i].offset;
}

}  // namespace argosy
