#include "serve/answer_text.h"

#include <doctest/doctest.h>

using namespace argosy::serve;

namespace {

/// What comes out when `bytes` come in parts of `size`.
std::string in_parts(const std::string& bytes, size_t size, const std::vector<std::string>& stops) {
  AnswerText text(stops);
  std::string out;
  for (size_t i = 0; i < bytes.size() && !text.stopped(); i += size)
    out += text.push(std::string_view(bytes).substr(i, size));
  return out + text.finish();
}

}  // namespace

TEST_CASE("answer text: it ends before the first stop sequence, in whatever parts it comes") {
  for (size_t size = 1; size < 20; ++size) {
    CHECK(in_parts("one two three", size, {}) == "one two three");
    CHECK(in_parts("one two three", size, {"two"}) == "one ");
    CHECK(in_parts("one two three", size, {"three", "e t"}) == "on");
    CHECK(in_parts("ababac", size, {"abac"}) == "ab");
    CHECK(in_parts("abab", size, {"abac"}) == "abab");
    CHECK(in_parts("a😀b", size, {"😀"}) == "a");
    CHECK(in_parts("end", size, {"end"}) == "");
  }
}

TEST_CASE("answer text: nothing is given out that a stop sequence may have begun in") {
  AnswerText text({"stop"});
  CHECK(text.push("a st") == "a ");
  CHECK(text.push("e") == "ste");
  CHECK(text.push("sto") == "");
  CHECK(text.push("p it") == "");
  CHECK(text.stopped());
  CHECK(text.push("more") == "");
}

TEST_CASE("answer text: half a character waits for its other half, and is replaced at the end") {
  AnswerText text({});
  CHECK(text.push("\xF0\x9F") == "");
  CHECK(text.push("\x98\x80!") == "😀!");
  CHECK(text.push("\xF0\x9F") == "");
  CHECK(text.finish() == "\xEF\xBF\xBD");
}
