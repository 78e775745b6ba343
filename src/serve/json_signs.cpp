#include "serve/json_signs.h"

#include <string_view>

namespace argosy::serve {
namespace {

bool is_between(uint8_t byte, int low, int high) { return byte >= low && byte <= high; }
bool is_digit(uint8_t byte) { return is_between(byte, '0', '9'); }
bool is_hex(uint8_t byte) {
  return is_digit(byte) || is_between(byte, 'a', 'f') || is_between(byte, 'A', 'F');
}

}  // namespace

int16_t next_space(int16_t space, uint8_t byte) {
  constexpr int16_t kSpace = 1, kBreak = 2, kMostBlanks = 20;
  if (space == 0 && byte == ' ') return kSpace;
  if (space == 0 && byte == '\n') return kBreak;
  if (space >= kBreak && space < kBreak + kMostBlanks && (byte == ' ' || byte == '\t'))
    return static_cast<int16_t>(space + 1);
  return -1;
}

Inside next_inside(int16_t state, uint8_t byte) {
  const auto if_between = [&](int low, int high, Inside next) {
    return is_between(byte, low, high) ? next : kRefused;
  };
  switch (state) {
    case kQuote:
      return byte == '"' ? kText : kRefused;
    case kText:
      if (byte == '"') return kStringEnd;
      if (byte == '\\') return kEscape;
      if (byte < 0x20) return kRefused;
      if (byte < 0x80) return kText;
      if (byte == 0xE0) return kAfterE0;
      if (byte == 0xED) return kAfterED;
      if (byte == 0xF0) return kAfterF0;
      if (byte == 0xF4) return kAfterF4;
      if (is_between(byte, 0xC2, 0xDF)) return kOneMore;
      if (is_between(byte, 0xE1, 0xEF)) return kTwoMore;
      return if_between(0xF1, 0xF3, kAfterF1);
    case kOneMore:
      return if_between(0x80, 0xBF, kText);
    case kTwoMore:
      return if_between(0x80, 0xBF, kOneMore);
    case kAfterE0:
      return if_between(0xA0, 0xBF, kOneMore);
    case kAfterED:
      return if_between(0x80, 0x9F, kOneMore);
    case kAfterF0:
      return if_between(0x90, 0xBF, kTwoMore);
    case kAfterF1:
      return if_between(0x80, 0xBF, kTwoMore);
    case kAfterF4:
      return if_between(0x80, 0x8F, kTwoMore);
    case kEscape:
      if (byte == 'u') return kHex1;
      return std::string_view("\"\\/bfnrt").find(static_cast<char>(byte)) != std::string_view::npos
                 ? kText
                 : kRefused;
    // \ud800 to \udfff are halves of a character: such characters are written as they are
    case kHex1:
      return !is_hex(byte) ? kRefused : (byte | 0x20) == 'd' ? kHex2AfterD : kHex2;
    case kHex2AfterD:
      return if_between('0', '7', kHex3);
    case kHex2:
      return is_hex(byte) ? kHex3 : kRefused;
    case kHex3:
      return is_hex(byte) ? kHex4 : kRefused;
    case kHex4:
      return is_hex(byte) ? kText : kRefused;
    default:
      return kRefused;
  }
}

}  // namespace argosy::serve
