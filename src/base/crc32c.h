#pragma once
#include <cstdint>
#include <string_view>

#include "base/files.h"

namespace argosy {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78). `before` is the value of the bytes that
/// come before these, so a long text can be summed in parts.
uint32_t crc32c(std::string_view bytes, uint32_t before = 0);

/// Of a whole file. Throws Error (file).
uint32_t crc32c_of_file(const Path& path);

}  // namespace argosy
