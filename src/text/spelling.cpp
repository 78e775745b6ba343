#include "text/spelling.h"

#include <array>

#include "text/utf8.h"

namespace argosy::text {
namespace {

constexpr uint32_t kOthers = 0x100;  // where the code points of the bytes without a picture begin

constexpr bool printable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

struct Alphabet {
  std::array<uint32_t, 256> code_points{};
  std::array<int, 512> bytes{};  // by code point; -1: none
  constexpr Alphabet() {
    bytes.fill(-1);
    uint32_t others = kOthers;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      code_points[byte] = printable(byte) ? byte : others++;
      bytes[code_points[byte]] = static_cast<int>(byte);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

uint32_t spelled_code_point(uint8_t byte) { return kAlphabet.code_points[byte]; }

std::string spelled(std::string_view bytes) {
  std::string spelling;
  for (const char c : bytes)
    append_character(spelling, spelled_code_point(static_cast<uint8_t>(c)));
  return spelling;
}

std::optional<std::string> unspelled(std::string_view spelling) {
  std::string bytes;
  while (!spelling.empty()) {
    const Character next = first_character(spelling);
    if (!next.whole()) return std::nullopt;
    const uint32_t code_point = code_point_of(spelling.substr(0, next.length));
    if (code_point >= kAlphabet.bytes.size() || kAlphabet.bytes[code_point] < 0)
      return std::nullopt;
    bytes += static_cast<char>(kAlphabet.bytes[code_point]);
    spelling.remove_prefix(next.length);
  }
  return bytes;
}

std::string with_spaces(std::string_view spelling) {
  std::string bytes;
  for (size_t at = 0; at < spelling.size();) {
    const bool space = spelling.substr(at).starts_with(kSpace);
    bytes += space ? ' ' : spelling[at];
    at += space ? kSpace.size() : 1;
  }
  return bytes;
}

int byte_named(std::string_view name) {
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return -1;
  int value = 0;
  for (const char c : name.substr(3, 2)) {
    const size_t digit = std::string_view("0123456789ABCDEF").find(c);
    if (digit == std::string_view::npos) return -1;
    value = value * 16 + static_cast<int>(digit);
  }
  return value;
}

}  // namespace argosy::text
