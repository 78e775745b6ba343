#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
namespace argosy::text {

/// What stands at the beginning of a text.
struct Character {
  enum class State {
    whole,
    broken,  ///< `length` bytes that no character begins with
    cut,     ///< `length` bytes, all there are, that a character may begin with
  };
  size_t length = 0;  ///< in bytes; at least 1
  State state = State::whole;
  bool whole() const { return state == State::whole; }
};

Character first_character(std::string_view text);  ///< text is not empty

/// Bytes from the beginning that are whole characters.
size_t whole_characters(std::string_view text);
inline bool is_utf8(std::string_view text) { return whole_characters(text) == text.size(); }

void append_character(std::string& text, uint32_t code_point);
uint32_t code_point_of(std::string_view character);  ///< one whole character

/// Bytes that come in parts, as whole characters. Those that are no UTF-8 become U+FFFD.
class CharacterStream {
 public:
  /// All characters that are whole by now; what is cut waits for the next part.
  std::string push(std::string_view bytes);
  /// Nothing more comes: what is left.
  std::string finish();

 private:
  std::string waiting_;
};

}  // namespace argosy::text
