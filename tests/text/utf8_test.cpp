#include "text/utf8.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "text/spelling.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

TEST_CASE("utf8: every character is whole, and surrogates and what is beyond U+10FFFF are not") {
  for (uint32_t code_point = 0; code_point < 0x120000; ++code_point) {
    std::string character;
    append_character(character, code_point);
    const bool valid = code_point < 0x110000 && (code_point < 0xD800 || code_point > 0xDFFF);
    if (is_utf8(character) != valid) FAIL_CHECK(code_point);
    if (valid && code_point_of(character) != code_point) FAIL_CHECK(code_point);
  }
}

TEST_CASE("utf8: overlong forms, stray and cut bytes are no characters") {
  for (const char* text : {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xF0\x80\x80\x80", "\x80",
                           "\xFF", "\xC3", "\xE4\xB8", "\xF0\x9F\x91"})
    CHECK_FALSE(is_utf8(text));
}

TEST_CASE("utf8: however bytes are cut, the stream gives the same characters") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    const std::string bytes = test::random_text(random, 20);
    CharacterStream whole;
    std::string expected = whole.push(bytes);
    expected += whole.finish();
    CHECK(is_utf8(expected));
    CharacterStream stream;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = std::min<size_t>(1 + random.below(4), bytes.size() - at);
      const std::string part = stream.push(std::string_view(bytes).substr(at, length));
      CHECK(is_utf8(part));
      text += part;
      at += length;
    }
    text += stream.finish();
    CHECK(text == expected);
    if (is_utf8(bytes)) CHECK(expected == bytes);
  }
}

TEST_CASE("utf8: a character comes out with its last byte, and what is none as U+FFFD") {
  CharacterStream stream;
  CHECK(stream.push("\xE4\xB8") == "");
  CHECK(stream.push("\x96") == "世");
  CHECK(stream.push("\xE4x") == "\uFFFDx");
  CHECK(stream.push("\xF0\x9F") == "");
  CHECK(stream.finish() == "\uFFFD");
  CHECK(stream.finish() == "");
}

TEST_CASE("spelling: all 256 bytes have spellings of their own and come back") {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  CHECK(unspelled(spelled(bytes)) == bytes);
  CHECK(spelled(" a\n") == "ĠaĊ");
  CHECK_FALSE(unspelled("世"));
  CHECK_FALSE(unspelled("\xFF"));
  CHECK(with_spaces("▁a▁▁b") == " a  b");
  CHECK(byte_named("<0x0A>") == 10);
  CHECK(byte_named("<0xFF>") == 255);
  CHECK(byte_named("<0xfg>") == -1);
}
