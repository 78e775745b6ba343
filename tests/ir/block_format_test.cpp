#include "ir/block_format.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/random.h"
#include "engine/safetensors.h"
#include "ir/dtype.h"

using namespace argosy;

namespace {

/// What llama.cpp's package makes of numbers and blocks (tests/goldens/block_formats.py).
const SafetensorsFile& goldens() {
  static const SafetensorsFile file(Path(ARGOSY_SOURCE_DIR) /
                                    "tests/goldens/block_formats.safetensors");
  return file;
}

template <typename T>
std::span<const T> golden(const std::string& name) {
  const NamedTensor* tensor = goldens().find(name);
  REQUIRE(tensor != nullptr);
  return {reinterpret_cast<const T*>(tensor->bytes.data()), tensor->bytes.size() / sizeof(T)};
}

std::vector<float> random_numbers(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(n);
  for (float& number : numbers) number = random.normal();
  return numbers;
}

std::vector<std::byte> quantized(BlockFormat format, std::span<const float> numbers) {
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(format, std::ssize(numbers))));
  quantize(format, numbers, bytes);
  return bytes;
}

std::vector<float> there_and_back(BlockFormat format, std::span<const float> numbers) {
  std::vector<float> again(numbers.size());
  dequantize(format, quantized(format, numbers), again);
  return again;
}

/// Root of the mean squared difference over that of the numbers.
double error_of(BlockFormat format, std::span<const float> numbers) {
  const std::vector<float> again = there_and_back(format, numbers);
  double errors = 0, squares = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    errors += (again[i] - numbers[i]) * (again[i] - numbers[i]);
    squares += numbers[i] * numbers[i];
  }
  return std::sqrt(errors / squares);
}

}  // namespace

TEST_CASE("blocks: the numbers of any block are those that llama.cpp has, bit for bit") {
  int formats = 0;
  for (const BlockLayout& layout : block_layouts()) {
    const std::string name(layout.name);
    if (!goldens().find(name + "/blocks")) continue;
    ++formats;
    INFO(name);
    const auto wanted = golden<float>(name + "/numbers");
    std::vector<float> numbers(wanted.size());
    dequantize(layout.format, golden<std::byte>(name + "/blocks"), numbers);
    CHECK(std::ranges::equal(numbers, wanted));
  }
  CHECK(formats == 8);
}

TEST_CASE("blocks: numbers become the blocks of llama.cpp's reference, bit for bit") {
  int formats = 0;
  for (const BlockLayout& layout : block_layouts()) {
    const std::string name(layout.name);
    if (!goldens().find(name + "/quantized")) continue;
    ++formats;
    INFO(name);
    const auto bytes = quantized(layout.format, golden<float>("numbers"));
    const auto wanted = golden<std::byte>(name + "/quantized");
    REQUIRE(bytes.size() == wanted.size());
    for (size_t i = 0; i < bytes.size(); ++i) {
      INFO(i);
      REQUIRE(bytes[i] == wanted[i]);
    }
  }
  CHECK(formats == 5);
}

TEST_CASE("blocks: more bits lose less, and searched scales less than found ones") {
  const std::vector<float> numbers = random_numbers(4096, 1);
  using enum BlockFormat;
  const auto worse = [&](BlockFormat a, BlockFormat b) {
    INFO(name_of(a), " ", error_of(a, numbers), ", ", name_of(b), " ", error_of(b, numbers));
    CHECK(error_of(a, numbers) > error_of(b, numbers));
  };
  worse(q4_0, q4_1);
  worse(q4_1, q4_k);
  worse(q4_k, q5_0);
  worse(q5_0, q5_1);
  worse(q5_1, q5_k);
  worse(q5_k, q6_k);
  worse(q6_k, q8_0);
  worse(q8_0, bf16);
  worse(bf16, f16);
  worse(f16, f32);
  CHECK(error_of(f32, numbers) == 0);
  CHECK(error_of(q4_k, numbers) < 0.08);
  CHECK(error_of(q6_k, numbers) < 0.02);
}

TEST_CASE("blocks: rows of one value, of tiny and of large values stay finite and near") {
  for (const BlockLayout& layout : block_layouts()) {
    INFO(layout.name);
    for (const float value : {0.0f, 1.0f, -1.0f, 1e-30f, -1e-42f, 1e4f, -3e4f}) {
      INFO(value);
      const std::vector<float> row(512, value);
      for (const float again : there_and_back(layout.format, row)) {
        const float steps = std::fabs(value) < 1e-6f ? 1e-6f : std::fabs(value) * 0.05f;
        REQUIRE(std::fabs(again - value) <= steps);
      }
    }
    std::vector<float> row(256, 0.0f);
    row[7] = 1;
    CHECK(std::fabs(there_and_back(layout.format, row)[7] - 1) < 0.05f);
    CHECK(std::fabs(there_and_back(layout.format, row)[8]) < 0.05f);
  }
}

TEST_CASE("blocks: a row that is no whole number of blocks, or bytes of another size, are a bug") {
  std::vector<float> numbers(33);
  std::vector<std::byte> bytes(36);
  CHECK(!fits(BlockFormat::q8_0, 33));
  CHECK(fits(BlockFormat::f16, 33));
  CHECK_THROWS_AS(row_bytes(BlockFormat::q8_0, 33), Bug);
  CHECK_THROWS_AS(quantize(BlockFormat::q8_0, std::span(numbers).first(32), bytes), Bug);
  CHECK_THROWS_AS(dequantize(BlockFormat::q8_0, bytes, std::span(numbers).first(32)), Bug);
}

TEST_CASE("blocks: a format is found by its name") {
  for (const BlockLayout& layout : block_layouts()) {
    CHECK(block_format_named(layout.name) == layout.format);
    CHECK(&layout_of(layout.format) != nullptr);
    CHECK(layout_of(layout.format).name == layout.name);
  }
  CHECK(!block_format_named("q2_k"));
}

TEST_CASE("half precision: each of its values survives float, and floats round to the nearest") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    Float16 half;
    half.bits = static_cast<uint16_t>(bits);
    const auto value = static_cast<float>(half);
    if (value == value)
      REQUIRE(Float16(value).bits == bits);
    else
      REQUIRE((Float16(value).bits & 0x7FFF) > 0x7C00);
  }
  const auto numbers = golden<float>("halves/numbers");
  const auto bits = golden<int32_t>("halves/bits");
  for (size_t i = 0; i < numbers.size(); ++i) {
    INFO(numbers[i]);
    CHECK(Float16(numbers[i]).bits == bits[i]);
  }
}
