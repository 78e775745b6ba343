#pragma once
#include <string>
#include <string_view>

namespace argosy::text {

bool is_ascii(std::string_view text);

/// The text in Unicode's normalization form NFC: letters and their marks as one character where
/// there is one. What is no UTF-8 stays. In O(n log n).
std::string composed(std::string_view text);

}  // namespace argosy::text
