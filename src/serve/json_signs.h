#pragma once
#include <cstdint>

/// What may follow in JSON, byte by byte: spaces and strings as small state machines.
namespace argosy::serve {

/// Between values and signs: nothing, one space, or a line break and up to 20 blanks. 0: none yet;
/// -1: this byte cannot stand here.
int16_t next_space(int16_t space, uint8_t byte);

/// What stands next inside of a string.
enum Inside : int16_t {
  kQuote,  // the first quote
  kText,   // a character, an escape or the last quote
  kOneMore,
  kTwoMore,  // bytes of a character
  kAfterE0,
  kAfterED,
  kAfterF0,
  kAfterF4,  // where not each byte may follow, see RFC 3629
  kAfterF1,  // three more
  kEscape,
  kHex1,
  kHex2,
  kHex2AfterD,
  kHex3,
  kHex4,
  kStringEnd,
  kRefused,
};

Inside next_inside(int16_t state, uint8_t byte);

}  // namespace argosy::serve
