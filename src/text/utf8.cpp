#include "text/utf8.h"

namespace argosy::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

Character first_character(std::string_view text) {
  using enum Character::State;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, whole};
  if (lead < 0xC2 || lead > 0xF4) return {1, broken};
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // the second byte's limits keep out overlong forms, surrogates and what is above U+10FFFF
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (i == text.size()) return {i, cut};
    if (byte(i) < low || byte(i) > high) return {i, broken};
  }
  return {length, whole};
}

size_t whole_characters(std::string_view text) {
  size_t done = 0;
  while (done < text.size()) {
    const Character next = first_character(text.substr(done));
    if (!next.whole()) break;
    done += next.length;
  }
  return done;
}

void append_character(std::string& text, uint32_t code_point) {
  const auto add = [&](uint32_t byte) { text += static_cast<char>(byte); };
  const auto tail = [&](int shift) { add(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) return add(code_point);
  if (code_point < 0x800) {
    add(0xC0 | code_point >> 6);
  } else {
    if (code_point < 0x10000) {
      add(0xE0 | code_point >> 12);
    } else {
      add(0xF0 | code_point >> 18);
      tail(12);
    }
    tail(6);
  }
  tail(0);
}

uint32_t code_point_of(std::string_view character) {
  const auto lead = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) return lead;
  uint32_t value = lead & (0x7F >> character.size());
  for (const char c : character.substr(1)) value = value << 6 | (static_cast<uint8_t>(c) & 0x3F);
  return value;
}

std::string CharacterStream::push(std::string_view bytes) {
  waiting_ += bytes;
  std::string text;
  std::string_view rest = waiting_;
  while (!rest.empty()) {
    const Character next = first_character(rest);
    if (next.state == Character::State::cut) break;
    text += next.whole() ? rest.substr(0, next.length) : kReplacement;
    rest.remove_prefix(next.length);
  }
  waiting_ = std::string(rest);
  return text;
}

std::string CharacterStream::finish() {
  const bool cut = !waiting_.empty();
  waiting_.clear();
  return cut ? std::string(kReplacement) : std::string();
}

}  // namespace argosy::text
