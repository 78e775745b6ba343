#include "text/normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace argosy::text {
namespace {

int class_of(utf8proc_int32_t point) { return utf8proc_get_property(point)->combining_class; }

/// Whole characters. The library's own call for all of it orders marks in a time that grows with
/// the square of their number.
void append_composed(std::string_view text, std::string& to) {
  std::vector<utf8proc_int32_t> points;
  points.reserve(text.size());
  int unused = 0;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, first_character(text).length);
    text.remove_prefix(character.size());
    utf8proc_int32_t parts[8];  // four at most
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(code_point_of(character)), parts, std::size(parts),
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &unused);
    check(count >= 0 && count <= std::ssize(parts), "a character of {} parts", count);
    points.insert(points.end(), parts, parts + count);
  }
  for (auto begin = points.begin(); begin != points.end();) {
    begin = std::find_if(begin, points.end(), class_of);
    const auto end = std::find_if_not(begin, points.end(), class_of);
    std::stable_sort(begin, end, [](auto a, auto b) { return class_of(a) < class_of(b); });
    begin = end;
  }
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(points.data(), std::ssize(points),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  for (const utf8proc_int32_t point : std::span(points).first(static_cast<size_t>(count)))
    append_character(to, static_cast<uint32_t>(point));
}

}  // namespace

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string composed(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t whole = whole_characters(text);
    append_composed(text.substr(0, whole), result);
    text.remove_prefix(whole);
    if (text.empty()) break;
    const size_t broken = first_character(text).length;
    result += text.substr(0, broken);
    text.remove_prefix(broken);
  }
  return result;
}

}  // namespace argosy::text
