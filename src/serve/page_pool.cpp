#include "serve/page_pool.h"

#include <algorithm>

#include "base/check.h"

namespace argosy::serve {
namespace {

std::span<const Token> page_of(std::span<const Token> tokens, size_t number, size_t size) {
  return tokens.subspan(number * size, size);
}

}  // namespace

PagePool::PagePool(int64_t pages, int64_t page_size)
    : page_size_(page_size), pages_(static_cast<size_t>(pages)) {
  for (int64_t page = pages; page-- > 0;) free_.push_back(static_cast<int32_t>(page));
}

int64_t PagePool::cached() const { return std::ssize(unused_); }

void PagePool::use(int32_t page) {
  Page& p = at(page);
  if (p.users++ > 0) return;
  ++used_;
  unused_.erase({p.released, page});
}

std::vector<int32_t> PagePool::find(std::span<const Token> tokens) {
  const auto size = static_cast<size_t>(page_size_);
  std::vector<int32_t> found;
  uint64_t before = 0;
  for (size_t number = 0; (number + 1) * size <= tokens.size(); ++number) {
    const auto part = page_of(tokens, number, size);
    const auto place = kept_.find(Content{before, {part.begin(), part.end()}});
    if (place == kept_.end()) break;
    found.push_back(place->second);
    use(place->second);
    before = at(place->second).serial;
  }
  return found;
}

int32_t PagePool::take() {
  int32_t page = -1;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (!unused_.empty()) {
    page = unused_.begin()->second;
    Page& p = at(page);
    kept_.erase(p.content);
    p.serial = 0;
  } else {
    return -1;
  }
  use(page);
  return page;
}

void PagePool::keep(std::span<const Token> tokens, std::span<const int32_t> pages, int64_t number) {
  const auto size = static_cast<size_t>(page_size_), last = static_cast<size_t>(number);
  check(tokens.size() == (last + 1) * size && pages.size() > last, "page {} of {} tokens", number,
        tokens.size());
  Page& page = at(pages[last]);
  if (page.serial != 0) return;
  const uint64_t before = number == 0 ? 0 : at(pages[last - 1]).serial;
  if (number > 0 && before == 0) return;  // the page in front is another one's twin, not kept
  const auto part = page_of(tokens, last, size);
  const auto [place, added] =
      kept_.try_emplace(Content{before, {part.begin(), part.end()}}, pages[last]);
  if (!added) return;
  page.content = place;
  page.serial = ++serials_;
}

void PagePool::release(std::span<const int32_t> pages) {
  // the last page of a sequence is given away before those that it needs in front of it
  for (auto place = pages.rbegin(); place != pages.rend(); ++place) {
    const int32_t number = *place;
    Page& page = at(number);
    check(page.users > 0, "page {} is released by nobody", number);
    if (--page.users > 0) continue;
    --used_;
    if (page.serial == 0) {
      free_.push_back(number);
      continue;
    }
    page.released = ++time_;
    unused_.insert({page.released, number});
  }
}

}  // namespace argosy::serve
