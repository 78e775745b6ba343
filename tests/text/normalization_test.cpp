#include "text/normalization.h"

#include <doctest/doctest.h>

#include "base/random.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

TEST_CASE("normalization: letters and marks become one character where there is one") {
  for (const auto& [text, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"", ""},
           {"plain", "plain"},
           {"e\u0301", "\u00E9"},
           {"\u00E9", "\u00E9"},
           {"\u212B", "\u00C5"},                // the unit is the letter
           {"q\u0307\u0323", "q\u0323\u0307"},  // marks have an order
           {"o\u0302\u0301", "\u1ED1"},         // two marks
           {"\u1112\u1161\u11AB", "\uD55C"},    // Hangul
           {"\u0958", "\u0915\u093C"},          // never composed
           {"\U0001F600e\u0301\n", "\U0001F600\u00E9\n"}})
    CHECK(composed(text) == wanted);
}

TEST_CASE("normalization: what is no UTF-8 stays, and what is composed stays so") {
  CHECK(composed("\xFF"
                 "e\u0301\xC3") == "\xFF\u00E9\xC3");
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    const std::string once = composed(test::random_text(random, 40) + "e\u0301\u0323");
    CHECK(composed(once) == once);
  }
}

TEST_CASE("normalization: marks without end are put in order without a look at each pair") {
  std::string text = "a", above, below;
  for (int i = 0; i < 300'000; ++i) {
    text += "\u0301\u0323";
    below += "\u0323";
    above += "\u0301";
  }
  // the first of each kind is in the letter: a with a dot below, and no letter with both
  CHECK(composed(text) == "\u1EA1" + below.substr(2) + above);
}
