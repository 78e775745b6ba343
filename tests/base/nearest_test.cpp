#include "base/nearest.h"

#include <doctest/doctest.h>

#include <vector>

using namespace argosy;

TEST_CASE("nearest: edits are counted as by hand") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("batch_szie", "batch_size") == 1);  // two neighbours swapped
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("ADAM", "adam") == 0);
}

TEST_CASE("nearest: a typing error finds its name, and very long names end quickly") {
  const std::vector<std::string> known = {"batch_size", "seed", "steps"};
  CHECK(nearest_name("step", known) == "steps");
  CHECK(nearest_name("batchsize", known) == "batch_size");
  CHECK(nearest_name(std::string(1 << 20, 'x'), known) == "batch_size");
  CHECK(nearest_name("anything", {}).empty());
}
