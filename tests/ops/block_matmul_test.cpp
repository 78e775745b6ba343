#include <doctest/doctest.h>

#include <limits>

#include "ir/panels.h"
#include "kernel_runs.h"
#include "ops/block_weights.h"

// Weights as files have them; ops/*_test.cpp compare what the samples' bytes happen to mean.

using namespace argosy;
using namespace argosy::test;

namespace {

Array panels_of(BlockFormat format, int64_t rows, int64_t columns, uint64_t seed) {
  Random random(seed, static_cast<uint64_t>(format));
  std::vector<float> numbers(static_cast<size_t>(rows * columns));
  for (float& number : numbers) number = random.normal();
  std::vector<std::byte> stored(static_cast<size_t>(rows * row_bytes(format, columns)));
  quantize(format, numbers, stored);
  Array panels(panels_type(format, {rows, columns}));
  pack_panels(format, columns, stored, panels.bytes);
  return panels;
}

struct Product {
  Attributes attributes;
  Arrays in;  ///< the rows first

  Product(std::vector<BlockFormat> formats, int64_t n, int64_t columns, int64_t rows) {
    Random random(3, 5);
    Array x({DType::f32, {n, columns}});
    for (float& number : x.as()) number = random.normal();
    in.push_back(x);
    for (const BlockFormat format : formats) in.push_back(panels_of(format, rows, columns, 9));
    attributes = {{"formats", ops::join_formats(formats)},
                  {"outputs", std::vector<int64_t>(formats.size(), rows)}};
  }
  Arrays by_kernel() const { return run_backend(ops::block_matmul, attributes, in); }
  Arrays by_reference() const { return run_reference(ops::block_matmul, attributes, in); }
};

/// Rows in groups, with a matrix of each group for each format.
struct GroupedProduct {
  Attributes attributes;
  Arrays in;  ///< the rows, the weights, the counts
  int64_t columns, rows;

  GroupedProduct(const std::vector<BlockFormat>& formats, int64_t n, int64_t columns, int64_t rows,
                 const std::vector<int32_t>& counts)
      : columns(columns), rows(rows) {
    const Product plain(formats, n, columns, rows);
    attributes = plain.attributes;
    in.push_back(plain.in[0]);
    const auto groups = static_cast<int64_t>(counts.size());
    for (const BlockFormat format : formats) {
      Array matrices(panels_type(format, {groups, rows, columns}));
      auto to = matrices.bytes.begin();
      for (uint64_t group = 0; group < counts.size(); ++group)
        to = std::ranges::copy(panels_of(format, rows, columns, 20 + group).bytes, to).out;
      in.push_back(matrices);
    }
    Array last({DType::i32, {groups}});
    std::ranges::copy(counts, last.as<int32_t>().begin());
    in.push_back(last);
  }
  Arrays by_kernel() const { return run_backend(ops::block_grouped_matmul, attributes, in); }
  Arrays by_reference() const { return run_reference(ops::block_grouped_matmul, attributes, in); }
  /// Row `row` alone, times the matrices of `group`.
  Arrays alone(int64_t row, int64_t group) const {
    Arrays operands = {Array({DType::f32, {1, columns}})};
    const auto x = in[0].as().subspan(static_cast<size_t>(row * columns));
    std::copy_n(x.begin(), columns, operands[0].as().begin());
    for (size_t i = 1; i + 1 < in.size(); ++i) {
      const Shape& shape = in[i].type.shape;
      Array& matrix = operands.emplace_back(Type{DType::u8, {shape[1], shape[2]}});
      const auto size = std::ssize(matrix.bytes);
      std::copy_n(in[i].bytes.begin() + group * size, size, matrix.bytes.begin());
    }
    return run_backend(ops::block_matmul, attributes, operands);
  }
};

/// With and without the instruction for bytes.
template <typename Body>
void on_every_kernel(Body body) {
  for (const bool bytes : {true, false}) {
    INFO(bytes);
    cpu::allow_byte_products(bytes);
    on_every_instruction_set(body);
  }
  cpu::allow_byte_products(true);
}

}  // namespace

TEST_CASE("block_matmul: every format gives the reference's products, by every kernel") {
  for (const BlockLayout& layout : block_layouts())
    for (const int64_t n : {1, 2, 7, 16}) {
      INFO(fmt::format("{}, {} rows", layout.name, n));
      const Product product({layout.format}, n, 512, 37);
      const Arrays wanted = product.by_reference();
      on_every_kernel([&] { CHECK(difference(product.by_kernel(), wanted, 1e-5) == ""); });
    }
}

TEST_CASE("block_matmul: the largest levels do not overflow the sums of 16 bits") {
  for (const BlockLayout& layout : block_layouts()) {
    if (layout.values == 1) continue;
    INFO(layout.name);
    Product product({layout.format}, 1, 256, 16);
    const PanelLayout panel = panel_layout(layout.format);
    // all levels' bits set; with 8 bits the most negative one, which no quantisation gives
    std::fill(product.in[1].bytes.begin() + levels_offset(layout.format, 256),
              product.in[1].bytes.end(),
              std::byte{panel.bits == 8 ? uint8_t{0x80} : uint8_t{0xFF}});
    std::ranges::fill(product.in[0].as(), 1.0f);
    const Arrays wanted = product.by_reference();
    on_every_kernel([&] { CHECK(difference(product.by_kernel(), wanted, 1e-5) == ""); });
  }
}

TEST_CASE("block_matmul: a row's result is the same, bit for bit, whatever rows stand beside it") {
  for (const BlockLayout& layout : block_layouts()) {
    INFO(layout.name);
    const Product all({layout.format}, 15, 256, 40);
    on_every_kernel([&] {
      Arrays together = all.by_kernel();
      for (const int64_t row : {0, 6, 14}) {
        Product alone = all;
        alone.in[0] = Array({DType::f32, {1, 256}});
        std::ranges::copy(all.in[0].as().subspan(static_cast<size_t>(row * 256), 256),
                          alone.in[0].as().begin());
        Array wanted({DType::f32, {1, 40}});
        std::ranges::copy(together[0].as().subspan(static_cast<size_t>(row * 40), 40),
                          wanted.as().begin());
        CHECK(difference(alone.by_kernel()[0], wanted, 0) == "");
      }
    });
  }
}

TEST_CASE("block_matmul: weights of one call do not touch one another's results") {
  using enum BlockFormat;
  const Product all({q4_1, f32, q8_0}, 3, 256, 24);
  const Arrays together = all.by_kernel();
  for (size_t i = 0; i < 3; ++i) {
    const BlockFormat format = std::vector{q4_1, f32, q8_0}[i];
    CHECK(difference(Product({format}, 3, 256, 24).by_kernel()[0], together[i], 0) == "");
  }
}

TEST_CASE("block_matmul: what is not finite stays in its row; zeros and tiny numbers give 0") {
  for (const BlockFormat format : {BlockFormat::q4_0, BlockFormat::q6_k, BlockFormat::f16}) {
    INFO(format);
    Product product({format}, 4, 256, 20);
    const auto x = product.in[0].as();
    x[3] = std::numeric_limits<float>::quiet_NaN();
    x[256 + 77] = std::numeric_limits<float>::infinity();
    std::fill_n(x.begin() + 512, 256, 0.0f);
    std::fill_n(x.begin() + 768, 256, std::numeric_limits<float>::denorm_min());
    on_every_kernel([&] {
      const Arrays got = product.by_kernel();
      for (size_t i = 0; i < 80; ++i) {
        const float y = got[0].as()[i];
        if (i < 40) CHECK_FALSE(std::isfinite(y));
        if (i >= 40) CHECK(std::fabs(y) < 1e-30f);
      }
    });
  }
}

TEST_CASE("block_grouped_matmul: counts of every kind give the reference's products") {
  using enum BlockFormat;
  for (const std::vector<int32_t>& counts : std::vector<std::vector<int32_t>>{
           {5, 0, 7}, {0, 0, 0}, {1, 1, 1}, {30, 2, 1}, {-4, 3, INT32_MAX}, {12}}) {
    INFO(fmt::format("{}", counts));
    for (const std::vector<BlockFormat>& formats :
         std::vector<std::vector<BlockFormat>>{{q8_0}, {q4_k, f32}, {bf16, q6_k, q4_1}}) {
      const GroupedProduct product(formats, 12, 256, 37, counts);
      const Arrays wanted = product.by_reference();
      on_every_kernel([&] { CHECK(difference(product.by_kernel(), wanted, 1e-5) == ""); });
    }
  }
}

TEST_CASE(
    "block_grouped_matmul: a row's result is that of its group's matrix alone, bit for bit, "
    "whatever the rows beside it and the threads") {
  const int threads = thread_count();
  const std::vector<int32_t> counts = {3, 0, 11, 1};
  for (const BlockLayout& layout : block_layouts()) {
    INFO(layout.name);
    const GroupedProduct product({layout.format, BlockFormat::q8_0}, 16, 256, 200, counts);
    on_every_kernel([&] {
      set_thread_count(1);
      const Arrays together = product.by_kernel();
      for (const auto& [row, group] : {std::pair(0, 0), {2, 0}, {3, 2}, {13, 2}, {14, 3}})
        for (const Arrays alone = product.alone(row, group); const size_t i : {0, 1})
          CHECK(std::ranges::equal(alone[i].as(),
                                   together[i].as().subspan(static_cast<size_t>(row * 200), 200)));
      for (const size_t i : {0, 1})  // after the last group
        for (const float y : together[i].as().last(200)) CHECK(y == 0);
      for (const int count : {2, 3, 7}) {
        set_thread_count(count);
        CHECK(difference(product.by_kernel(), together, 0) == "");
      }
    });
  }
  set_thread_count(threads);
}
