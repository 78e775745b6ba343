#pragma once
#include <cstdint>

namespace argosy::serve {

/// What has come of a number, byte by byte.
struct NumberText {
  enum Phase : int16_t {
    kNothing,
    kMinus,
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
  };
  Phase phase = kNothing;
  int32_t count = 0;  ///< digits in this part of it
  bool negative = false;
  int64_t digits = 0;  ///< before and after the point as one number, where there are limits
};

/// How numbers are written: with so few digits that they are finite in a double, and between two
/// limits if there are any.
struct NumberForm {
  int32_t whole = 15, fraction = 15, exponent = 2;  ///< most digits of a part; 0: there is none
  bool limited = false;
  int64_t low = 0, high = 0;  ///< in units of 10^-fraction; whole + fraction are at most 18 then

  static NumberForm integer() { return {.fraction = 0, .exponent = 0}; }

  /// Adds a byte; false if no number begins so.
  bool next(NumberText& text, uint8_t byte) const;
  /// Whether the number may end here.
  bool ends(const NumberText& text) const;
};

}  // namespace argosy::serve
