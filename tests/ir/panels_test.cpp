#include "ir/panels.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/random.h"

using namespace argosy;

namespace {

/// Rows of random numbers in the format, as a file has them.
std::vector<std::byte> random_rows(BlockFormat format, int64_t rows, int64_t columns) {
  Random random(static_cast<uint64_t>(format) + 1, static_cast<uint64_t>(rows));
  std::vector<float> numbers(static_cast<size_t>(rows * columns));
  for (float& number : numbers) number = random.normal() * 0.1f + 0.03f;
  std::vector<std::byte> bytes(static_cast<size_t>(rows * row_bytes(format, columns)));
  quantize(format, numbers, bytes);
  return bytes;
}

}  // namespace

TEST_CASE("panels: every row reads back as its blocks say, in every format") {
  for (const BlockLayout& layout : block_layouts())
    for (const int64_t rows : {1, 16, 17, 45}) {
      INFO(fmt::format("{} x {}", layout.name, rows));
      const int64_t columns = layout.values == 1 ? 7 : 512;
      const std::vector<std::byte> stored = random_rows(layout.format, rows, columns);
      const Type type = panels_type(layout.format, {rows, columns});
      std::vector<std::byte> panels(type.bytes());
      pack_panels(layout.format, columns, stored, panels);
      std::vector<float> wanted(static_cast<size_t>(rows * columns));
      dequantize(layout.format, stored, wanted);
      std::vector<float> row(static_cast<size_t>(columns));
      double largest = 0;
      for (int64_t i = 0; i < rows; ++i) {
        read_row(layout.format, columns, panels, i, row);
        for (int64_t j = 0; j < columns; ++j)
          largest =
              std::max<double>(largest, std::fabs(row[static_cast<size_t>(j)] -
                                                  wanted[static_cast<size_t>(i * columns + j)]));
      }
      CHECK(largest <= 1e-7);  // a scale times a factor may be rounded in another order
    }
}

TEST_CASE("panels: take the bytes of the blocks, but for factors of 6 bits, which take 8") {
  for (const BlockLayout& layout : block_layouts()) {
    INFO(layout.name);
    const auto blocks = static_cast<double>(16 * row_bytes(layout.format, 2048)),
               panel = static_cast<double>(panel_bytes(layout.format, 2048));
    CHECK(panel >= blocks);
    CHECK(panel <= blocks * 1.03);
  }
}

TEST_CASE("panels: rows that a panel lacks are 0") {
  const int64_t columns = 64;
  std::vector<std::byte> panels(panels_type(BlockFormat::q4_0, {3, columns}).bytes(),
                                std::byte{0x33});
  pack_panels(BlockFormat::q4_0, columns, random_rows(BlockFormat::q4_0, 3, columns), panels);
  std::vector<float> row(columns);
  read_row(BlockFormat::q4_0, columns, panels, 7, row);
  for (const float number : row) CHECK(number == 0);
}
