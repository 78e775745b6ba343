#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace argosy {

/// "2 GB", "500MB", "1.5 GiB", "4096 B" as bytes; kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB,
/// TiB of 1024. "" is 0.
///
/// throws Error, with `where`: no number, another unit, not more than 0, or more than 64 bits hold
size_t read_byte_size(std::string_view text, const std::string& where);

/// In the unit that gives a number of one to three digits: "1.52 GB", "12.0 MB", "640 B".
std::string byte_size_text(size_t bytes);

}  // namespace argosy
