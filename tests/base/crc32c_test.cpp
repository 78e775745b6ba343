#include "base/crc32c.h"

#include <doctest/doctest.h>

#include <numeric>

#include "shared.h"

using namespace argosy;

TEST_CASE("crc32c: the vectors of RFC 3720, appendix B.4") {
  std::string rising(32, '\0');
  std::iota(rising.begin(), rising.end(), '\0');
  const std::string falling(rising.rbegin(), rising.rend());
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62A8AB43);
  CHECK(crc32c(rising) == 0x46DD794E);
  CHECK(crc32c(falling) == 0x113FDB5C);
  CHECK(crc32c("123456789") == 0xE3069283);
  CHECK(crc32c("") == 0);
}

TEST_CASE("crc32c: parts give the sum of the whole, in memory and in a file") {
  const std::string text = "one text, cut at every place there is";
  for (size_t cut = 0; cut <= text.size(); ++cut)
    CHECK(crc32c(text.substr(cut), crc32c(text.substr(0, cut))) == crc32c(text));
  const test::TemporaryFolder temporary;
  write_file(temporary.path() / "f", text);
  CHECK(crc32c_of_file(temporary.path() / "f") == crc32c(text));
}
