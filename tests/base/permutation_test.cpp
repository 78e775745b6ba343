#include "base/permutation.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <set>

using namespace argosy;

TEST_CASE("permutation: it is one for any size, also where sizes are no power of two") {
  for (const int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 100, 1023, 1024, 1025}) {
    const Permutation permutation(n, 11);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < n; ++i) seen.insert(permutation(i));
    CHECK(seen.size() == static_cast<size_t>(n));
    CHECK(*seen.rbegin() == n - 1);
  }
}

TEST_CASE("permutation: over many keys each number stands at each position equally often") {
  // 5 numbers, 10,000 keys: 2,000 expected at each place, standard deviation 40
  int counts[5][5] = {};
  for (uint64_t key = 0; key < 10000; ++key) {
    const Permutation permutation(5, key * 977);
    for (int i = 0; i < 5; ++i) ++counts[i][permutation(i)];
  }
  for (const auto& row : counts)
    for (const int count : row) CHECK(std::abs(count - 2000) < 200);
}

TEST_CASE("permutation: neighbours are as far apart as chance has it") {
  // the mean distance of two random places in [0, n) is n / 3
  const int64_t n = 30000;
  const Permutation permutation(n, 3);
  double sum = 0;
  for (int64_t i = 1; i < n; ++i)
    sum += static_cast<double>(std::abs(permutation(i) - permutation(i - 1)));
  CHECK(sum / n == doctest::Approx(n / 3.0).epsilon(0.02));
}
