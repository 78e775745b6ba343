#include "base/byte_size.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace argosy;

TEST_CASE("byte size: a number and a unit, with or without a blank") {
  CHECK(read_byte_size("2 GB", "here") == 2'000'000'000);
  CHECK(read_byte_size("500MB", "here") == 500'000'000);
  CHECK(read_byte_size("1.5 GiB", "here") == size_t{3} << 29);
  CHECK(read_byte_size("64 B", "here") == 64);
  CHECK(read_byte_size("", "here") == 0);
}

TEST_CASE("byte size: what is none names the units") {
  CHECK_THROWS_WITH_AS(read_byte_size("2 gigs", "memory.limit"),
                       "memory.limit: \"2 gigs\" is no size of memory; write a number and B, kB, "
                       "MB, GB, TB, KiB, MiB, GiB or TiB, e.g. \"2 GB\"",
                       Error);
  for (const char* text :
       {"2", "GB", "-1 GB", "0 MB", "nan GB", "inf GB", "1e30 TB", " 2 GB", "2 GB more", "0.5 B"}) {
    INFO(text);
    CHECK_THROWS_AS(read_byte_size(text, "here"), Error);
  }
}

TEST_CASE("byte size: is shown with three digits") {
  CHECK(byte_size_text(640) == "640 B");
  CHECK(byte_size_text(12'345'678) == "12.3 MB");
  CHECK(byte_size_text(999'900'000) == "1 GB");
  CHECK(byte_size_text(2'000'000'000) == "2 GB");
}
