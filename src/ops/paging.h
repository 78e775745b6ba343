#pragma once
#include "ir/op.h"

namespace argosy::ops {

/// Keys and values of past tokens, kept in pages that sequences take as they grow. A page has
/// `page_size` places; a sequence's page p holds its tokens from p * page_size on.
/// keys    [page, head, width, place]: one key's numbers lie apart, so that scores of neighbouring
///         places are neighbours
/// values  [page, head, place, width]
struct Paging {
  int64_t pages, heads, width, page_size;
  int64_t sequences, longest;  ///< the table of pages: [sequences, longest]

  size_t key_at(int64_t page, int64_t head, int64_t place) const {
    return static_cast<size_t>((page * heads + head) * width * page_size + place);
  }
  size_t value_at(int64_t page, int64_t head, int64_t place) const {
    return static_cast<size_t>(((page * heads + head) * page_size + place) * width);
  }
};

/// Of keys, values and the table of pages.
Paging paging_of(const Type& keys, const Type& values, const Type& table);
bool are_pages(const Type& keys, const Type& values, const Type& table);

/// The page of the table in which the token at `position` of sequence `row` is.
int64_t page_at(const Paging& paging, std::span<const int32_t> table, int32_t row,
                int64_t position);

}  // namespace argosy::ops
