#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace argosy {
namespace {

// kTables[k][b]: the sum of byte b followed by k zero bytes, so eight bytes go in one round.
constexpr auto kTables = [] {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t sum = byte;
    for (int bit = 0; bit < 8; ++bit) sum = sum >> 1 ^ (sum & 1 ? 0x82F63B78u : 0u);
    tables[0][byte] = sum;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 255];
  return tables;
}();

}  // namespace

uint32_t crc32c(std::string_view bytes, uint32_t before) {
  uint32_t sum = ~before;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), 8);  // little endian, as every machine that Argosy runs on
    word ^= sum;
    sum = 0;
    for (size_t k = 0; k < 8; ++k) sum ^= kTables[7 - k][word >> 8 * k & 255];
  }
  for (const char c : bytes) sum = sum >> 8 ^ kTables[0][(sum ^ static_cast<uint8_t>(c)) & 255];
  return ~sum;
}

uint32_t crc32c_of_file(const Path& path) {
  const MappedFile file(path);
  return crc32c({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

}  // namespace argosy
