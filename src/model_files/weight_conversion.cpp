#include "model_files/weight_conversion.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "base/error.h"
#include "base/threads.h"

namespace argosy::model_files {

std::span<const std::byte> WeightConversion::convert(const Weight& from, const Weight& to) {
  const int64_t rows = from.rows(), columns = from.columns();
  const int64_t step = from.bytes_per_row(), new_step = to.bytes_per_row();
  check(to.shape == from.shape && !to.transposed, "{} to {}", from.shape, to.shape);
  bytes_.resize(static_cast<size_t>(rows * new_step));
  struct RowSums {
    double squares = 0, squared_errors = 0;
  };
  std::vector<RowSums> of_rows(
      static_cast<size_t>(rows));  // added up in order, whatever the threads
  parallel_for(rows, 1 + 65536 / columns, [&](int64_t begin, int64_t end) {
    std::vector<std::byte> source(static_cast<size_t>(step));
    std::vector<float> numbers(static_cast<size_t>(columns)), again(numbers);
    for (int64_t row = begin; row < end; ++row) {
      read_rows(from, row, source);
      const auto target = std::span(bytes_).subspan(to.stored_row(row) * new_step, new_step);
      dequantize(from.format, source, numbers);
      RowSums& sums = of_rows[row];
      for (const float number : numbers) sums.squares += double{number} * number;
      if (!std::isfinite(sums.squares)) continue;
      if (to.format == from.format)
        std::ranges::copy(source, target.begin());
      else
        quantize(to.format, numbers, target);
      dequantize(to.format, target, again);
      for (int64_t i = 0; i < columns; ++i) {
        const double difference = double{again[i]} - numbers[i];
        sums.squared_errors += difference * difference;
      }
    }
  });
  auto found =
      std::ranges::find(sums_, to.format, [](const Sums& sums) { return sums.share.format; });
  if (found == sums_.end()) {
    sums_.push_back({.share = {.format = to.format}});
    found = sums_.end() - 1;
  }
  for (const RowSums& sums : of_rows) {
    found->squares += sums.squares;
    found->squared_errors += sums.squared_errors;
    if (!std::isfinite(sums.squares) || !std::isfinite(sums.squared_errors))
      throw Error({.what = fmt::format("weight {} has a number that is not finite in {}", from.name,
                                       to.format),
                   .where = to.name,
                   .fix = "use a format with a wider range (bf16 or f32), or a sound model",
                   .kind = ErrorKind::file});
  }
  found->share.weights += 1;
  found->share.numbers += rows * columns;
  found->share.bytes += rows * new_step;
  return bytes_;
}

std::vector<FormatShare> WeightConversion::shares() const {
  std::vector<FormatShare> shares;
  for (const Sums& sums : sums_) {
    shares.push_back(sums.share);
    if (sums.squares > 0) shares.back().error = std::sqrt(sums.squared_errors / sums.squares);
  }
  std::ranges::sort(shares, std::greater(), &FormatShare::bytes);
  return shares;
}

BlockFormat quantised_format(const StoredTensor& weight, int64_t vocabulary, BlockFormat wanted) {
  using enum BlockFormat;
  if (weight.shape.size() < 2) return f32;
  const auto bits = [](BlockFormat format) {
    return 8.0 * static_cast<double>(layout_of(format).bytes) /
           static_cast<double>(layout_of(format).values);
  };
  BlockFormat format = wanted;
  if (weight.shape[0] == vocabulary && bits(format) < bits(q8_0)) format = q8_0;
  // the formats of 256 have one of 32 with nearly as many bits
  constexpr std::pair<BlockFormat, BlockFormat> kNext[] = {
      {q4_k, q5_0}, {q5_k, q5_1}, {q6_k, q8_0}};
  for (const auto& [large, small] : kNext)
    if (format == large && !fits(format, weight.columns())) format = small;
  return fits(format, weight.columns()) ? format : f16;
}

}  // namespace argosy::model_files
