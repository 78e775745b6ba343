#include "backend/cpu/attention_parts.h"

#include <vector>

#include "base/threads.h"

namespace argosy::cpu {

AttentionShape::AttentionShape(const KernelRequest& request, size_t first, size_t segments)
    : b(request.in[first].shape[0]),
      t(request.in[first].shape[1]),
      s(request.in[first + 1].shape[1]),
      h(request.in[first].shape[2]),
      g(request.in[first + 1].shape[2]),
      d(request.in[first].shape[3]),
      options(ops::attention_options(request.attributes)),
      segmented(request.in.size() > segments) {
  if (options.window >= s) options.window = 0;  // longer than any past; vectors count in int32
}

void AttentionData::read_segments(const KernelArgs& k, size_t first) {
  if (k.in_types.size() <= first) return;
  segments = k.in<int32_t>(first).data();
  key_segments = k.in_types.size() > first + 1 ? k.in<int32_t>(first + 1).data() : segments;
}

namespace {

/// This thread's memory of at least so many floats, from a cache line on; it grows to the largest
/// and stays.
float* thread_memory(int64_t floats) {
  static thread_local std::vector<float> memory;
  const size_t needed = static_cast<size_t>(floats) + kWidest;
  if (memory.size() < needed) memory = std::vector<float>(needed);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return memory.data() + (64 - address % 64) % 64 / sizeof(float);
}

/// Item `i` of `n`, the first, the last, the second and so on: with causal attention neighbours
/// make pairs of equal work.
int64_t from_both_ends(int64_t i, int64_t n) { return i % 2 == 0 ? i / 2 : n - 1 - i / 2; }

}  // namespace

void run_attention(const AttentionShape& z, const AttentionData& data, AttentionWork work,
                   int64_t heads, int64_t queries, int64_t keys, const AttentionPart& like) {
  const auto pieces = [](int64_t n, int64_t size) { return (n + size - 1) / size; };
  const int64_t blocks = pieces(z.t, queries), shares = pieces(z.heads_per_group(), heads),
                tiles = pieces(z.s, keys);
  parallel_for(z.b * z.g * shares * blocks * tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      int64_t left = item;
      const auto next = [&](int64_t n) {
        const int64_t at = left % n;
        left /= n;
        return at;
      };
      AttentionPart part = like;
      part.query_begin = from_both_ends(next(blocks), blocks) * queries;
      part.query_end = std::min(z.t, part.query_begin + queries);
      part.key_begin = from_both_ends(next(tiles), tiles) * keys;
      part.key_end = std::min(z.s, part.key_begin + keys);
      const int64_t share = next(shares);
      part.group = next(z.g);
      part.batch = left;
      part.head_begin = part.group * z.heads_per_group() + share * heads;
      part.head_end = std::min(part.head_begin + heads, (part.group + 1) * z.heads_per_group());
      work(z, data, part, thread_memory(work(z, data, part, nullptr)));
    }
  });
}

int64_t heads_together(const AttentionShape& z) {
  return z.b * z.g * z.blocks() >= 4 * thread_count() ? z.heads_per_group() : 1;
}

}  // namespace argosy::cpu
