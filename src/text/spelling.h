#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// How vocabulary files spell the bytes of their entries.
namespace argosy::text {

/// Byte-level vocabularies, as GPT-2 began it: the printable characters of Latin-1 as they are, the
/// 68 other bytes as U+0100 and on.
uint32_t spelled_code_point(uint8_t byte);
std::string spelled(std::string_view bytes);
/// Nothing where a character stands for no byte.
std::optional<std::string> unspelled(std::string_view spelling);

/// SentencePiece: U+2581 means a space,
inline constexpr std::string_view kSpace = "\xE2\x96\x81";
std::string with_spaces(std::string_view spelling);
/// and "<0x0A>" a byte. -1 for any other name.
int byte_named(std::string_view name);

}  // namespace argosy::text
