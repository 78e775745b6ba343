#include "serve/page_pool.h"

#include <doctest/doctest.h>

#include <numeric>

using namespace argosy::serve;

namespace {

std::vector<Token> tokens(int64_t count, Token first = 0) {
  std::vector<Token> list(static_cast<size_t>(count));
  std::iota(list.begin(), list.end(), first);
  return list;
}

/// Takes pages for all tokens and keeps those that are full.
std::vector<int32_t> fill(PagePool& pool, const std::vector<Token>& list) {
  std::vector<int32_t> pages = pool.find(list);
  while (std::ssize(pages) * pool.page_size() < std::ssize(list)) {
    const int32_t page = pool.take();
    REQUIRE(page >= 0);
    pages.push_back(page);
    const auto filled = static_cast<size_t>(std::ssize(pages) * pool.page_size());
    if (filled <= list.size())
      pool.keep(std::span(list).first(filled), pages, std::ssize(pages) - 1);
  }
  return pages;
}

}  // namespace

TEST_CASE("page pool: a sequence with the same beginning shares its whole pages") {
  PagePool pool(8, 4);
  const std::vector<int32_t> first = fill(pool, tokens(10));
  CHECK(pool.find(tokens(10)) == std::vector(first.begin(), first.begin() + 2));
  CHECK(pool.find(tokens(7)) == std::vector(first.begin(), first.begin() + 1));
  CHECK(pool.find(tokens(3)).empty());
  CHECK(pool.find(tokens(10, 1)).empty());
  CHECK(pool.used() == 3);
}

TEST_CASE("page pool: equal tokens after another beginning are another page") {
  PagePool pool(8, 2);
  fill(pool, {1, 2, 5, 6});
  fill(pool, {3, 4, 5, 6});
  CHECK(pool.used() == 4);
  CHECK(pool.find(std::vector<Token>{5, 6}).empty());
}

TEST_CASE("page pool: what nobody uses is found again until its page is needed, the oldest first") {
  PagePool pool(4, 2);
  const auto old = fill(pool, {1, 2});
  const auto later = fill(pool, {3, 4});
  pool.release(old);
  pool.release(later);
  CHECK(pool.used() == 0);
  CHECK(pool.cached() == 2);
  const int32_t taken[] = {pool.take(), pool.take(), pool.take()};
  CHECK(taken[2] == old[0]);
  CHECK(pool.find(std::vector<Token>{1, 2}).empty());
  CHECK(pool.find(std::vector<Token>{3, 4}) == later);
  CHECK(pool.take() == -1);
}

TEST_CASE("page pool: of one sequence the last page is given away first") {
  PagePool pool(3, 2);
  const auto pages = fill(pool, tokens(6));
  pool.release(pages);
  CHECK(pool.take() == pages[2]);
  CHECK(pool.find(tokens(6)) == std::vector(pages.begin(), pages.begin() + 2));
}

TEST_CASE("page pool: pages that were not full are free once released") {
  PagePool pool(2, 4);
  pool.release(fill(pool, tokens(6)));
  CHECK(pool.cached() == 1);
  CHECK(pool.take() >= 0);
  CHECK(pool.cached() == 1);
}
