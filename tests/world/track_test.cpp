#include <doctest/doctest.h>

#include "world/track.h"

using namespace argosy::world;
TEST_CASE("track: x") { CHECK(Track::generate(1, Difficulty::moderate).length_m() > 10); }
