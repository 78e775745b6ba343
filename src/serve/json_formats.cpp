#include "serve/json_formats.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace argosy::serve {
namespace {

using Kind = JsonGrammar::Kind;

class Formats {
 public:
  explicit Formats(JsonGrammar& grammar) : grammar_(grammar) {}

  std::optional<int32_t> string(const std::string& format) {
    const auto quoted = [&](int32_t inner) {
      const int32_t quote = text("\"");
      return sequence({quote, inner, quote});
    };
    if (format == "date") return quoted(date());
    if (format == "time") return quoted(time());
    if (format == "date-time") return quoted(sequence({date(), text("T"), time()}));
    if (format == "uuid") return quoted(uuid());
    return {};
  }

 private:
  int32_t sequence(std::vector<int32_t> parts) {
    return grammar_.add({.kind = Kind::sequence, .parts = std::move(parts)});
  }
  int32_t one_of(std::vector<int32_t> parts) {
    return grammar_.add({.kind = Kind::any_of, .parts = std::move(parts)});
  }
  /// They are sorted, and none begins as another.
  int32_t texts(std::vector<std::string> texts) {
    return grammar_.add({.kind = Kind::literals, .literals = std::move(texts)});
  }
  int32_t text(const char* only) { return texts({only}); }
  /// In two digits.
  int32_t numbers(int from, int to) {
    std::vector<std::string> all;
    for (int i = from; i <= to; ++i) all.push_back(fmt::format("{:02}", i));
    return texts(std::move(all));
  }

  /// No 29th of February, so that no year need be looked at.
  int32_t date() {
    const int32_t dash = text("-");
    const auto days = [&](int32_t months, int from, int to) {
      return sequence({months, dash, numbers(from, to)});
    };
    const int32_t day = one_of(
        {days(numbers(1, 12), 1, 28),
         days(texts({"01", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12"}), 29, 30),
         days(texts({"01", "03", "05", "07", "08", "10", "12"}), 31, 31)});
    return sequence({numbers(10, 99), numbers(0, 99), dash, day});
  }

  int32_t time() {
    const int32_t colon = text(":"), minutes = numbers(0, 59), hours = numbers(0, 23);
    const int32_t offset = sequence({texts({"+", "-"}), hours, colon, minutes});
    return sequence({hours, colon, minutes, colon, minutes, one_of({text("Z"), offset})});
  }

  int32_t uuid() {
    std::vector<std::string> digits;
    for (int i = 0; i < 16; ++i) digits.push_back(fmt::format("{:x}", i));
    const int32_t digit = texts(std::move(digits)), dash = text("-");
    std::vector<int32_t> parts;
    for (const size_t length : {8, 4, 4, 4, 12}) {
      if (!parts.empty()) parts.push_back(dash);
      parts.insert(parts.end(), length, digit);
    }
    return sequence(std::move(parts));
  }

  JsonGrammar& grammar_;
};

}  // namespace

std::optional<int32_t> add_format(const std::string& name, JsonGrammar& grammar) {
  return Formats(grammar).string(name);
}

}  // namespace argosy::serve
