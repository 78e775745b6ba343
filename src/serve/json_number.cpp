#include "serve/json_number.h"

#include <algorithm>
#include <utility>

namespace argosy::serve {
namespace {

bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

int64_t power_of_ten(int32_t exponent) {
  int64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

/// What comes is a number by JSON's rules, in as many digits as the form has.
bool advance(const NumberForm& form, NumberText& text, uint8_t byte) {
  const auto go = [&](bool may, NumberText::Phase phase) {
    text.count = text.phase == phase ? text.count + 1 : 1;
    text.phase = phase;
    return may;
  };
  const bool digit = is_digit(byte), exponent = (byte | 0x20) == 'e' && form.exponent > 0;
  switch (text.phase) {
    case NumberText::kNothing:
      if (byte == '-') {
        text.negative = true;
        return go(true, NumberText::kMinus);
      }
      [[fallthrough]];
    case NumberText::kMinus:
      return go(digit, byte == '0' ? NumberText::kZero : NumberText::kDigits);
    case NumberText::kDigits:
      if (digit) return go(text.count < form.whole, NumberText::kDigits);
      [[fallthrough]];
    case NumberText::kZero:
      if (exponent) return go(true, NumberText::kExponent);
      return go(byte == '.' && form.fraction > 0, NumberText::kPoint);
    case NumberText::kPoint:
      return go(digit, NumberText::kFraction);
    case NumberText::kFraction:
      if (exponent) return go(true, NumberText::kExponent);
      return go(digit && text.count < form.fraction, NumberText::kFraction);
    case NumberText::kExponent:
      if (byte == '+' || byte == '-') return go(true, NumberText::kExponentSign);
      [[fallthrough]];
    case NumberText::kExponentSign:
      return go(digit, NumberText::kExponentDigits);
    case NumberText::kExponentDigits:
      return go(digit && text.count < form.exponent, NumberText::kExponentDigits);
  }
  return false;
}

/// The limits without their sign, for numbers of the text's sign: {low, high}, none if low > high.
std::pair<int64_t, int64_t> limits_of(const NumberForm& form, const NumberText& text) {
  if (text.negative) return {std::max<int64_t>(0, -form.high), -form.low};
  return {std::max<int64_t>(0, form.low), form.high};
}

/// What one digit more is worth in the form's units.
int64_t unit_of(const NumberForm& form, const NumberText& text) {
  return power_of_ten(form.fraction - (text.phase == NumberText::kFraction ? text.count : 0));
}

/// Whether what still can come makes it a number between the limits. So many digits more, and it is
/// one of the numbers from digits * unit to below (digits + 1) * unit.
bool reaches_limits(const NumberForm& form, const NumberText& text) {
  const auto [low, high] = limits_of(form, text);
  if (text.phase == NumberText::kMinus) return form.low < 0 && low <= high;
  const int32_t more = text.phase == NumberText::kDigits ? form.whole - text.count : 0;
  int64_t unit = unit_of(form, text);
  for (int32_t i = 0; i <= more; ++i, unit *= 10)
    if (text.digits * unit <= high && (text.digits + 1) * unit > low) return true;
  return false;
}

}  // namespace

bool NumberForm::next(NumberText& text, uint8_t byte) const {
  if (!advance(*this, text, byte)) return false;
  if (!limited) return true;
  if (is_digit(byte)) text.digits = text.digits * 10 + (byte - '0');
  return reaches_limits(*this, text);
}

bool NumberForm::ends(const NumberText& text) const {
  const bool whole = text.phase == NumberText::kZero || text.phase == NumberText::kDigits ||
                     text.phase == NumberText::kFraction ||
                     text.phase == NumberText::kExponentDigits;
  if (!whole || !limited) return whole;
  const auto [low, high] = limits_of(*this, text);
  const int64_t value = text.digits * unit_of(*this, text);
  return low <= value && value <= high;
}

}  // namespace argosy::serve
