#include "model_files/language_model.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "model_files/format_tables.h"

namespace argosy::model_files {
namespace {

namespace fs = std::filesystem;

std::vector<Path> gguf_files(const Path& folder) {
  std::vector<Path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".gguf") files.push_back(entry.path());
  return files;
}

bool is_file(const Path& path) {
  std::error_code ignored;
  return !fs::is_directory(path, ignored);
}
bool is_hugging_face(const Path& path) { return is_there(path / "config.json"); }
bool has_one_gguf(const Path& path) { return gguf_files(path).size() == 1; }

LanguageModel open_only_gguf(const Path& folder) {
  return open_gguf_model(gguf_files(folder).front());
}

/// The kinds of models, in the order in which they are looked for.
constexpr struct {
  bool (*holds)(const Path&);
  LanguageModel (*open)(const Path&);
} kKinds[] = {
    {is_file, open_gguf_model},
    {is_hugging_face, open_hugging_face_model},
    {has_one_gguf, open_only_gguf},
};

/// Rows of matrices whose columns stand one behind another.
void read_transposed(const Weight& weight, int64_t first_row, std::span<float> numbers) {
  const int64_t columns = weight.columns(), height = weight.shape[weight.shape.size() - 2];
  const auto* stored = reinterpret_cast<const float*>(weight.bytes.data());
  for (size_t i = 0; i < numbers.size(); i += columns) {
    const int64_t row = first_row + static_cast<int64_t>(i) / columns;
    const float* first = stored + row / height * height * columns + row % height;
    for (int64_t column = 0; column < columns; ++column)
      numbers[i + column] = first[column * height];
  }
}

}  // namespace

int64_t Weight::stored_row(int64_t row) const {
  if (paired_heads == 0) return row;
  // row j of the first half of a head and row j of the second are the file's rows 2j and 2j + 1
  const int64_t head = rows() / paired_heads, half = head / 2, place = row % head;
  return row - place + place % half * 2 + place / half;
}

void read_rows(const Weight& weight, int64_t first_row, std::span<std::byte> bytes) {
  const int64_t step = weight.bytes_per_row(), rows = step ? std::ssize(bytes) / step : 0;
  check(rows * step == std::ssize(bytes) && first_row >= 0 && first_row + rows <= weight.rows(),
        "{}: {} bytes from row {}", weight.name, bytes.size(), first_row);
  const std::byte* stored = weight.bytes.data();
  if (weight.transposed) {
    check(weight.format == BlockFormat::f32, "{} is {}", weight.name, weight.format);
    return read_transposed(weight, first_row,
                           {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)});
  }
  if (weight.paired_heads == 0) {
    std::copy_n(stored + first_row * step, bytes.size(), bytes.data());
    return;
  }
  for (int64_t row = 0; row < rows; ++row)
    std::copy_n(stored + weight.stored_row(first_row + row) * step, step, &bytes[row * step]);
}

void read_rows_as(BlockFormat format, const Weight& weight, int64_t first_row,
                  std::span<std::byte> bytes) {
  if (format == weight.format) return read_rows(weight, first_row, bytes);
  const int64_t columns = weight.columns(), from = weight.bytes_per_row(),
                to = row_bytes(format, columns);
  std::vector<std::byte> stored(static_cast<size_t>(from));
  std::vector<float> numbers(static_cast<size_t>(columns));
  check(std::ssize(bytes) % to == 0, "{}: {} bytes", weight.name, bytes.size());
  for (int64_t row = 0; row < std::ssize(bytes) / to; ++row) {
    read_rows(weight, first_row + row, stored);
    dequantize(weight.format, stored, numbers);
    quantize(format, numbers, bytes.subspan(row * to, to));
  }
}

std::vector<float> read_numbers(const Weight& weight) {
  std::vector<float> numbers(static_cast<size_t>(count(weight.shape)));
  read_rows_as(BlockFormat::f32, weight, 0, std::as_writable_bytes(std::span(numbers)));
  return numbers;
}

std::vector<float> read_columns(const Weight& weight) {
  const std::vector<float> numbers = read_numbers(weight);
  std::vector<float> columns(numbers.size());
  const auto width = static_cast<size_t>(weight.columns()),
             height = static_cast<size_t>(weight.shape[weight.shape.size() - 2]),
             size = height * width;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t within = i % size;
    columns[i - within + within % width * height + within / width] = numbers[i];
  }
  return columns;
}

const Weight* LanguageModel::find(std::string_view weight) const {
  const auto found = std::ranges::find(weights, weight, &Weight::name);
  return found == weights.end() ? nullptr : &*found;
}

int64_t LanguageModel::parameters() const {
  int64_t total = 0;
  for (const Weight& weight : weights) total += count(weight.shape);
  return total;
}

size_t LanguageModel::bytes() const {
  size_t total = 0;
  for (const Weight& weight : weights) total += weight.bytes.size();
  return total;
}

bool is_model(const Path& path) {
  return std::ranges::any_of(kKinds, [&](const auto& kind) { return kind.holds(path); });
}

LanguageModel open_model(const Path& path) {
  for (const auto& kind : kKinds)
    if (kind.holds(path)) return kind.open(path);
  fail_model(
      path,
      "the folder holds no model: neither config.json nor one .gguf file, nor a run's recipe.toml",
      "give a GGUF file, the folder of a run, or a folder with config.json, weights and "
      "tokenizer.json");
}

}  // namespace argosy::model_files
