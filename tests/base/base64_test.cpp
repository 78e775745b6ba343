#include "base/base64.h"

#include <doctest/doctest.h>

using namespace argosy;

TEST_CASE("base64: the vectors of RFC 4648, section 10") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe") == "//4=");
}

TEST_CASE("base64: what was written is read again, and nothing else is") {
  for (const char* text : {"", "f", "fo", "foo", "foobar", "\xff\xfe"})
    CHECK(from_base64(base64(text)) == text);
  for (const char* text : {"Zg", "Zg=", "Zh==", "Zg==Zg==", "Z", "====", "Zm9 v", "Zm9v\n"})
    CHECK(!from_base64(text));
}
