#include "backend/cpu/attention_parts.h"

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

int64_t pieces(int64_t n, int64_t size) { return (n + size - 1) / size; }

/// Item `i` of `n`, the first, the last, the second and so on: with causal attention neighbours
/// make pairs of equal work.
int64_t from_both_ends(int64_t i, int64_t n) { return i % 2 == 0 ? i / 2 : n - 1 - i / 2; }

}  // namespace

AttentionSweep::AttentionSweep(const AttentionShape& z, DType dtype, AttentionWork work,
                               const AttentionCut& cut, const AttentionPart& like)
    : shape_(z),
      work_(work),
      cut_(cut),
      like_(like),
      shares_(pieces(z.heads_per_group(), cut.heads)),
      blocks_(pieces(z.t, cut.queries)),
      tiles_(pieces(z.s, cut.keys)),
      parts_(z.b * z.g * shares_ * blocks_ * tiles_,
             work(z, AttentionData(dtype), part(0), nullptr)) {}  // no part is larger

AttentionPart AttentionSweep::part(int64_t item) const {
  const AttentionShape& z = shape_;
  const auto next = [&](int64_t n) {
    const int64_t at = item % n;
    item /= n;
    return at;
  };
  AttentionPart part = like_;
  part.query_begin = from_both_ends(next(blocks_), blocks_) * cut_.queries;
  part.query_end = std::min(z.t, part.query_begin + cut_.queries);
  part.key_begin = from_both_ends(next(tiles_), tiles_) * cut_.keys;
  part.key_end = std::min(z.s, part.key_begin + cut_.keys);
  const int64_t share = next(shares_);
  part.group = next(z.g);
  part.batch = item;
  part.head_begin = part.group * z.heads_per_group() + share * cut_.heads;
  part.head_end = std::min(part.head_begin + cut_.heads, (part.group + 1) * z.heads_per_group());
  return part;
}

void AttentionSweep::run(const AttentionData& data, std::byte* workspace) const {
  parts_.run(workspace, [&](int64_t begin, int64_t end, float* memory) {
    for (int64_t item = begin; item < end; ++item) work_(shape_, data, part(item), memory);
  });
}

int64_t heads_together(const AttentionShape& z) {
  return z.b * z.g * z.blocks() >= 4 * thread_count() ? z.heads_per_group() : 1;
}

}  // namespace argosy::cpu
