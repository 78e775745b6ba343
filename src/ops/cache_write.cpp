#include <algorithm>

#include "ops/ops.h"
#include "ops/paging.h"

// Keys and values of new tokens go to their places in pages (ops/paging.h). Positions, rows and
// pages are made by the program that runs the graph, never by its user: one out of range is a Bug.
namespace argosy::ops {

bool are_pages(const Type& keys, const Type& values, const Type& table) {
  const Shape &k = keys.shape, &v = values.shape;
  return k.size() == 4 && v.size() == 4 && k[0] == v[0] && k[1] == v[1] && k[2] == v[3] &&
         k[3] == v[2] && keys.dtype == values.dtype && is_floating(keys.dtype) &&
         table.dtype == DType::i32 && table.shape.size() == 2 && count(k) > 0;
}

Paging paging_of(const Type& keys, const Type&, const Type& table) {
  return {.pages = keys.shape[0],
          .heads = keys.shape[1],
          .width = keys.shape[2],
          .page_size = keys.shape[3],
          .sequences = table.shape[0],
          .longest = table.shape[1]};
}

int64_t page_at(const Paging& paging, std::span<const int32_t> table, int32_t row,
                int64_t position) {
  const int64_t number = position / paging.page_size;
  check(row >= 0 && row < paging.sequences && number < paging.longest,
        "position {} of sequence {} in a table of {} by {} pages", position, row, paging.sequences,
        paging.longest);
  const int32_t page = table[static_cast<size_t>(row * paging.longest + number)];
  check(page >= 0 && page < paging.pages, "page {} of {}", page, paging.pages);
  return page;
}

namespace {

// keys, values, new keys [N, G, D], new values [N, G, D], positions [N], rows [N], table [S, P]
std::vector<Type> infer(const InferArgs& args) {
  args.require(args.in.size() == 7 && are_pages(args.in[0], args.in[1], args.in[6]),
               "needs pages of keys [C, G, D, S] and values [C, G, S, D], what goes into them, and "
               "an i32 table of pages");
  const Shape& pages = args.in[0].shape;
  const Shape& rows = args.in[4].shape;
  args.require(rows.size() == 1 && args.in[4].dtype == DType::i32 && args.in[5] == args.in[4],
               "needs i32 positions and rows [N]");
  for (const size_t i : {2, 3})
    args.require(args.in[i] == Type{DType::f32, {rows[0], pages[1], pages[2]}},
                 "needs f32 keys and values [N, G, D]");
  return {args.in[0], args.in[1]};
}

template <typename Element>
void write(KernelArgs& k) {
  const Paging paging = paging_of(k.in_types[0], k.in_types[1], k.in_types[6]);
  const auto positions = k.in<int32_t>(4), rows = k.in<int32_t>(5), table = k.in<int32_t>(6);
  for (size_t cache = 0; cache < 2; ++cache)
    if (k.in_bytes[cache] != k.out_bytes[cache])
      std::copy_n(k.in_bytes[cache], k.in_types[cache].bytes(), k.out_bytes[cache]);
  for (size_t n = 0; n < positions.size(); ++n) {
    if (positions[n] < 0) continue;
    const int64_t page = page_at(paging, table, rows[n], positions[n]),
                  place = positions[n] % paging.page_size;
    for (int64_t head = 0; head < paging.heads; ++head) {
      const auto from = (n * static_cast<size_t>(paging.heads) + static_cast<size_t>(head)) *
                        static_cast<size_t>(paging.width);
      Element* keys = k.out<Element>(0).data() + paging.key_at(page, head, place);
      Element* values = k.out<Element>(1).data() + paging.value_at(page, head, place);
      const float *key = &k.in(2)[from], *value = &k.in(3)[from];
      for (int64_t d = 0; d < paging.width; ++d) {
        keys[d * paging.page_size] = Element(key[d]);
        values[d] = Element(value[d]);
      }
    }
  }
}

void reference(KernelArgs& k) {
  if (k.in_types[0].dtype == DType::bf16)
    write<BFloat16>(k);
  else
    write<float>(k);
}

/// Positions, sequences and pages are drawn from [0, limit).
Sample pages(DType dtype, int64_t n, int64_t heads, int64_t width, int64_t page_size,
             int64_t limit) {
  const Type counts = {DType::i32, {n}}, tokens = {DType::f32, {n, heads, width}};
  return {.inputs = {{dtype, {limit, heads, width, page_size}},
                     {dtype, {limit, heads, page_size, width}},
                     tokens,
                     tokens,
                     counts,
                     counts,
                     {DType::i32, {limit, limit}}},
          .index_limit = limit};
}

}  // namespace

extern const OpDef cache_write = {
    .name = "cache_write",
    .formula =
        "keys and values, with those of token n at place positions[n] of sequence rows[n], whose "
        "pages are table[rows[n], ...]; a negative position writes nothing; of two tokens at one "
        "place the last stays",
    .infer = infer,
    .reference = reference,
    .any_dtype = true,
    .exact = true,
    .in_place = {0, 1},
    .samples = {pages(DType::f32, 3, 2, 5, 4, 7), pages(DType::f32, 1, 1, 16, 7, 3),
                pages(DType::bf16, 6, 3, 8, 16, 40)},
};

}  // namespace argosy::ops
