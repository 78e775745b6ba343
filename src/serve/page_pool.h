#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "text/tokenizer.h"

namespace argosy::serve {

using text::Token;

/// Who uses which pages of keys and values. A page that is full and whose tokens are computed can
/// be kept for later: a sequence that begins with the same tokens shares it. Kept pages that nobody
/// uses are given away when others run out, the one that was needed longest ago first.
/// threads  one at a time
class PagePool {
 public:
  PagePool(int64_t pages, int64_t page_size);

  /// The kept pages that hold the beginning of `tokens`, in order; they are used by the caller from
  /// then on.
  std::vector<int32_t> find(std::span<const Token> tokens);
  /// A page for the caller to write; -1: all are in use.
  int32_t take();
  /// Keeps the `number`th page of a sequence: it holds the last page_size of `tokens`, the pages
  /// before it are pages[0], .. [number - 1]. Does nothing if there is one with the same tokens.
  void keep(std::span<const Token> tokens, std::span<const int32_t> pages, int64_t number);
  /// The caller uses the pages no longer.
  void release(std::span<const int32_t> pages);

  int64_t page_size() const { return page_size_; }
  int64_t used() const { return used_; }
  int64_t cached() const;  ///< kept, and used by nobody

 private:
  /// What stands in front of a page, and what it holds: equal only where all tokens are.
  struct Content {
    uint64_t before = 0;  ///< the serial number of the page in front; 0: none
    std::vector<Token> tokens;
    auto operator<=>(const Content&) const = default;
  };
  struct Page {
    int64_t users = 0;
    uint64_t serial = 0;    ///< of what it holds; 0: not kept
    uint64_t released = 0;  ///< when
    std::map<Content, int32_t>::iterator content;
  };
  Page& at(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  void use(int32_t page);

  int64_t page_size_, used_ = 0;
  std::vector<Page> pages_;
  std::vector<int32_t> free_;                      ///< hold nothing
  std::set<std::pair<uint64_t, int32_t>> unused_;  ///< kept: (released, page)
  std::map<Content, int32_t> kept_;
  uint64_t serials_ = 0, time_ = 0;
};

}  // namespace argosy::serve
