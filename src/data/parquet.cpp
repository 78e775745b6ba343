#include "data/parquet.h"

// The only file that includes Arrow: its headers take ten seconds to compile.
#include <arrow/api.h>
#include <arrow/extension_type.h>
#include <arrow/io/api.h>
#include <arrow/util/key_value_metadata.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <cmath>
#include <limits>
#include <type_traits>

#include "base/check.h"
#include "base/error.h"

namespace argosy::data {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

Error broken(
    const Path& file, std::string what,
    std::string fix = "the file is damaged or was not written as a data set; copy it again") {
  return Error(
      {.what = std::move(what), .where = file, .fix = std::move(fix), .kind = ErrorKind::file});
}

/// Arrow's messages may span lines and end in a stack of places; the first line says what it is.
std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void require(const Path& file, const std::string& action, const arrow::Status& status) {
  if (!status.ok())
    throw broken(file, fmt::format("cannot {}: {}", action, first_line(status.ToString())));
}

template <typename Body>
auto guarded(const Path& file, const std::string& action, const Body& body) {
  try {
    return body();
  } catch (const parquet::ParquetException& error) {
    throw broken(file, fmt::format("cannot {}: {}", action, first_line(error.what())));
  } catch (const std::bad_alloc&) {
    throw broken(file, fmt::format("cannot {}: it asks for more memory than there is", action));
  } catch (const std::length_error&) {
    throw broken(file, fmt::format("cannot {}: it asks for more memory than there is", action));
  }
}

std::shared_ptr<arrow::Array> storage(const std::shared_ptr<arrow::Array>& array) {
  if (array->type_id() != arrow::Type::EXTENSION) return array;
  return std::static_pointer_cast<arrow::ExtensionArray>(array)->storage();
}

/// Appends the values of a plain array as T; false if it does not hold numbers.
template <typename T>
bool append_numbers(const arrow::Array& array, std::vector<T>& to) {
  const auto each = [&](const auto& typed) {
    for (int64_t i = 0; i < typed.length(); ++i)
      to.push_back(typed.IsNull(i) ? static_cast<T>(kMissing) : static_cast<T>(typed.Value(i)));
    return true;
  };
  switch (array.type_id()) {
    case arrow::Type::FLOAT:
      return each(static_cast<const arrow::FloatArray&>(array));
    case arrow::Type::DOUBLE:
      return each(static_cast<const arrow::DoubleArray&>(array));
    case arrow::Type::INT64:
      return each(static_cast<const arrow::Int64Array&>(array));
    case arrow::Type::INT32:
      return each(static_cast<const arrow::Int32Array&>(array));
    case arrow::Type::INT16:
      return each(static_cast<const arrow::Int16Array&>(array));
    case arrow::Type::INT8:
      return each(static_cast<const arrow::Int8Array&>(array));
    case arrow::Type::UINT64:
      return each(static_cast<const arrow::UInt64Array&>(array));
    case arrow::Type::UINT32:
      return each(static_cast<const arrow::UInt32Array&>(array));
    case arrow::Type::UINT16:
      return each(static_cast<const arrow::UInt16Array&>(array));
    case arrow::Type::UINT8:
      return each(static_cast<const arrow::UInt8Array&>(array));
    case arrow::Type::BOOL:
      return each(static_cast<const arrow::BooleanArray&>(array));
    default:
      return false;
  }
}

template <typename T>
bool append_texts(const arrow::Array& array, std::vector<T>& to) {
  const auto each = [&](const auto& typed) {
    for (int64_t i = 0; i < typed.length(); ++i)
      to.emplace_back(typed.IsNull(i) ? std::string_view() : typed.GetView(i));
    return true;
  };
  switch (array.type_id()) {
    case arrow::Type::STRING:
      return each(static_cast<const arrow::StringArray&>(array));
    case arrow::Type::LARGE_STRING:
      return each(static_cast<const arrow::LargeStringArray&>(array));
    default:
      return false;
  }
}

/// The values of a list array's rows; `length(i)` of row i; null if it is no list.
struct Lists {
  std::shared_ptr<arrow::Array> values;
  std::function<int64_t(int64_t)> offset, length;
};

Lists lists_of(const arrow::Array& array) {
  const auto make = [](const auto& typed) {
    return Lists{typed.values(), [&typed](int64_t i) { return int64_t{typed.value_offset(i)}; },
                 [&typed](int64_t i) { return int64_t{typed.value_length(i)}; }};
  };
  switch (array.type_id()) {
    case arrow::Type::LIST:
      return make(static_cast<const arrow::ListArray&>(array));
    case arrow::Type::LARGE_LIST:
      return make(static_cast<const arrow::LargeListArray&>(array));
    case arrow::Type::FIXED_SIZE_LIST: {
      const auto& typed = static_cast<const arrow::FixedSizeListArray&>(array);
      return {typed.values(), [&typed](int64_t i) { return typed.value_offset(i); },
              [&typed](int64_t) { return int64_t{typed.value_length()}; }};
    }
    default:
      return {};
  }
}

int64_t product(std::span<const int64_t> shape) {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace

struct ParquetReader::State {
  Path file;
  int64_t limit = 0;  ///< bytes that one column may take in memory
  std::unique_ptr<arrow::MemoryPool> pool;
  std::unique_ptr<arrow::CappedMemoryPool> capped;
  std::unique_ptr<parquet::arrow::FileReader> reader;
  std::shared_ptr<arrow::Schema> schema;
  int64_t rows = 0;

  std::shared_ptr<arrow::ChunkedArray> column(const std::string& name) const {
    const int field = schema->GetFieldIndex(name);
    if (field < 0)
      throw broken(file, fmt::format("there is no column \"{}\" (or more than one)", name),
                   "write the data set again, or correct meta/info.json");
    const std::string action = fmt::format("read column \"{}\"", name);
    return guarded(file, action, [&] {
      std::shared_ptr<arrow::ChunkedArray> values;
      require(file, action, reader->ReadColumn(field, &values));
      // offsets and lengths inside come from the file too
      require(file, action, values->ValidateFull());
      if (values->length() != rows)
        throw broken(file, fmt::format("column \"{}\" has {} rows, the file says {}", name,
                                       values->length(), rows));
      return values;
    });
  }

  /// Appends one array whose rows are shaped `shape`; null rows become NaN.
  template <typename T>
  void flatten(const std::string& name, const std::shared_ptr<arrow::Array>& given,
               std::span<const int64_t> shape, std::vector<T>& to) const {
    const std::shared_ptr<arrow::Array> array = storage(given);
    const Lists lists = lists_of(*array);
    if (!lists.values) {
      if (product(shape) != 1 || !append_numbers(*array, to))
        throw broken(file,
                     fmt::format("column \"{}\" holds {}, not numbers of shape {}", name,
                                 array->type()->ToString(), shape_text(shape)),
                     "correct the dtype and shape in meta/info.json");
      return;
    }
    if (shape.empty())
      throw broken(
          file,
          fmt::format("column \"{}\" has lists nested deeper than its shape in info.json", name),
          "correct the shape in meta/info.json");
    // runs of whole rows are taken at once; a null row stands between two runs
    const std::span<const int64_t> inner =
        shape.size() > 1 ? shape.subspan(1) : std::span<const int64_t>();
    int64_t i = 0;
    while (i < array->length()) {
      if (array->IsNull(i)) {
        to.insert(to.end(), static_cast<size_t>(product(shape)), static_cast<T>(kMissing));
        ++i;
        continue;
      }
      const int64_t begin = lists.offset(i);
      int64_t end = begin;
      for (; i < array->length() && !array->IsNull(i) && lists.offset(i) == end; ++i) {
        if (lists.length(i) != shape[0])
          throw broken(file,
                       fmt::format("row {} of column \"{}\" has {} values where info.json says {}",
                                   i, name, lists.length(i), shape_text(shape)),
                       "correct the shape in meta/info.json, or write the data set again");
        end += shape[0];
      }
      flatten(name, lists.values->Slice(begin, end - begin), inner, to);
    }
  }

  template <typename T>
  void read(const std::string& name, std::span<const int64_t> shape, std::vector<T>& to) const {
    const int64_t width = product(shape);
    if (rows > limit / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(1, width))
      throw broken(
          file, fmt::format("{} rows of {} numbers do not fit a file of this size", rows, width));
    const auto values = column(name);
    guarded(file, fmt::format("read column \"{}\"", name), [&] {
      for (const auto& chunk : values->chunks()) flatten(name, chunk, shape, to);
    });
  }
};

ParquetReader::ParquetReader(const Path& file) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.file = file;
  const MappedFile probe(file);
  const auto size = static_cast<int64_t>(probe.bytes().size());
  if (size < 12) throw broken(file, fmt::format("a file of {} bytes is no Parquet file", size));
  // Constant columns shrink a lot, so the bound is generous; it only has to be one.
  s.limit = (int64_t{512} << 20) + 256 * size;
  s.pool = arrow::MemoryPool::CreateDefault();
  s.capped = std::make_unique<arrow::CappedMemoryPool>(s.pool.get(), s.limit);
  guarded(file, "read the footer", [&] {
    auto opened = arrow::io::ReadableFile::Open(file.string(), s.capped.get());
    require(file, "open", opened.status());
    parquet::ReaderProperties properties(s.capped.get());
    properties.set_page_checksum_verification(true);
    properties.set_thrift_string_size_limit(
        static_cast<int32_t>(std::min<int64_t>(size + 1024, 100 << 20)));
    properties.set_thrift_container_size_limit(
        static_cast<int32_t>(std::min<int64_t>(size + 1024, 1 << 20)));
    auto raw = parquet::ParquetFileReader::Open(*opened, properties);
    auto made = parquet::arrow::FileReader::Make(s.capped.get(), std::move(raw));
    require(file, "read the footer", made.status());
    s.reader = std::move(*made);
    s.reader->set_use_threads(false);
    require(file, "read the schema", s.reader->GetSchema(&s.schema));
    const auto metadata = s.reader->parquet_reader()->metadata();
    int64_t rows = 0;
    for (int i = 0; i < metadata->num_row_groups(); ++i) {
      const int64_t n = metadata->RowGroup(i)->num_rows();
      if (n < 0 || n > 64 * size)
        throw broken(file,
                     fmt::format("row group {} claims {} rows in a file of {} bytes", i, n, size));
      rows += n;
    }
    if (rows != metadata->num_rows() || rows > 64 * size)
      throw broken(file, fmt::format("the file claims {} rows, its row groups {}",
                                     metadata->num_rows(), rows));
    s.rows = rows;
  });
}

ParquetReader::~ParquetReader() = default;
ParquetReader::ParquetReader(ParquetReader&&) noexcept = default;

int64_t ParquetReader::rows() const { return state_->rows; }
std::vector<std::string> ParquetReader::columns() const { return state_->schema->field_names(); }
bool ParquetReader::has(const std::string& column) const {
  return state_->schema->GetFieldIndex(column) >= 0;
}

void ParquetReader::read(const std::string& column, std::span<const int64_t> shape,
                         std::vector<float>& to) const {
  state_->read(column, shape, to);
}
void ParquetReader::read(const std::string& column, std::span<const int64_t> shape,
                         std::vector<double>& to) const {
  state_->read(column, shape, to);
}

std::vector<double> ParquetReader::numbers(const std::string& column) const {
  constexpr int64_t kScalar[] = {1};
  std::vector<double> values;
  read(column, kScalar, values);
  return values;
}

std::vector<int64_t> ParquetReader::integers(const std::string& column) const {
  constexpr double kLargest = 1e15;  // exact in a double, more than any row number
  std::vector<int64_t> result;
  for (const double value : numbers(column)) {
    if (!(std::abs(value) <= kLargest) || value != std::floor(value))
      throw broken(state_->file,
                   fmt::format("row {} of column \"{}\" holds {} where a whole number belongs",
                               result.size(), column, value));
    result.push_back(static_cast<int64_t>(value));
  }
  return result;
}

std::vector<std::string> ParquetReader::texts(const std::string& column) const {
  std::vector<std::string> result;
  const auto values = state_->column(column);
  guarded(state_->file, fmt::format("read column \"{}\"", column), [&] {
    for (const auto& chunk : values->chunks())
      if (!append_texts(*storage(chunk), result))
        throw broken(state_->file, fmt::format("column \"{}\" holds {}, not text", column,
                                               chunk->type()->ToString()));
  });
  return result;
}

std::vector<std::vector<std::string>> ParquetReader::text_lists(const std::string& column) const {
  std::vector<std::vector<std::string>> result;
  const auto values = state_->column(column);
  guarded(state_->file, fmt::format("read column \"{}\"", column), [&] {
    for (const auto& given : values->chunks()) {
      const auto chunk = storage(given);
      const Lists lists = lists_of(*chunk);
      std::vector<std::string> texts;
      if (!lists.values || !append_texts(*storage(lists.values), texts))
        throw broken(state_->file, fmt::format("column \"{}\" holds {}, not lists of text", column,
                                               chunk->type()->ToString()));
      for (int64_t i = 0; i < chunk->length(); ++i) {
        const int64_t begin = lists.offset(i), length = chunk->IsNull(i) ? 0 : lists.length(i);
        result.emplace_back(texts.begin() + begin, texts.begin() + begin + length);
      }
    }
  });
  return result;
}

namespace {

template <typename Builder>
std::shared_ptr<arrow::Array> build(const std::vector<double>& numbers) {
  using Value = typename Builder::value_type;
  Builder builder;
  check(builder.Reserve(static_cast<int64_t>(numbers.size())).ok(), "memory for a column");
  for (const double number : numbers) {
    if constexpr (std::is_same_v<Value, bool>)
      builder.UnsafeAppend(number != 0);
    else
      builder.UnsafeAppend(static_cast<Value>(number));
  }
  return builder.Finish().ValueOrDie();
}

std::shared_ptr<arrow::Array> build_texts(const std::vector<std::string>& texts) {
  arrow::StringBuilder builder;
  check(builder.AppendValues(texts).ok(), "memory for a column");
  return builder.Finish().ValueOrDie();
}

std::shared_ptr<arrow::Array> build_numbers(const ParquetColumn& column) {
  const auto& n = column.numbers;
  const std::string& type = column.type;
  if (type == "float32") return build<arrow::FloatBuilder>(n);
  if (type == "float64") return build<arrow::DoubleBuilder>(n);
  if (type == "int64") return build<arrow::Int64Builder>(n);
  if (type == "int32") return build<arrow::Int32Builder>(n);
  if (type == "int16") return build<arrow::Int16Builder>(n);
  if (type == "int8") return build<arrow::Int8Builder>(n);
  if (type == "uint32") return build<arrow::UInt32Builder>(n);
  if (type == "uint16") return build<arrow::UInt16Builder>(n);
  if (type == "uint8") return build<arrow::UInt8Builder>(n);
  check(type == "bool", "a column of type {}", type);
  return build<arrow::BooleanBuilder>(n);
}

std::shared_ptr<arrow::Array> list_of(std::shared_ptr<arrow::Array> values,
                                      std::vector<int32_t> offsets) {
  arrow::Int32Builder builder;
  check(builder.AppendValues(offsets).ok(), "memory for a column");
  const auto array = builder.Finish().ValueOrDie();
  return arrow::ListArray::FromArrays(*array, *values).ValueOrDie();
}

std::shared_ptr<arrow::Array> build_column(const ParquetColumn& column) {
  if (column.type == "string") return build_texts(column.texts);
  if (column.type == "strings") {
    std::vector<std::string> all;
    std::vector<int32_t> offsets = {0};
    for (const auto& texts : column.text_lists) {
      all.insert(all.end(), texts.begin(), texts.end());
      offsets.push_back(static_cast<int32_t>(all.size()));
    }
    return list_of(build_texts(all), offsets);
  }
  std::shared_ptr<arrow::Array> array = build_numbers(column);
  if (product(column.shape) == 1 && column.shape.size() <= 1 && !column.lists_of_one) return array;
  for (size_t d = column.shape.size(); d-- > 0;) {
    const int64_t step = column.shape[d], lists = array->length() / step;
    check(array->length() == lists * step && array->length() < INT32_MAX, "column {} has its shape",
          column.name);
    std::vector<int32_t> offsets;
    for (int64_t i = 0; i <= lists; ++i) offsets.push_back(static_cast<int32_t>(i * step));
    array = list_of(array, offsets);
  }
  return array;
}

}  // namespace

struct ParquetWriter::State {
  Path file;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::shared_ptr<arrow::io::FileOutputStream> sink;
  std::unique_ptr<parquet::arrow::FileWriter> writer;
  int64_t rows = 0;

  /// A failed write keeps errno's meaning where Arrow tells it.
  void require_written(const arrow::Status& status) const {
    if (status.ok()) return;
    const std::string text = status.ToString();
    for (const int number : {ENOSPC, EFBIG, EDQUOT, EIO})
      if (text.find(fmt::format("[errno {}]", number)) != std::string::npos)
        throw file_error("write", file, number);
    throw broken(file, fmt::format("cannot write: {}", first_line(text)), "check the disk");
  }

  template <typename Body>
  void guarded_write(const Body& body) const {
    try {
      body();
    } catch (const parquet::ParquetException& error) {
      require_written(arrow::Status::IOError(error.what()));
    }
  }
};

ParquetWriter::ParquetWriter(const Path& file,
                             std::vector<std::pair<std::string, std::string>> metadata)
    : state_(std::make_unique<State>()) {
  state_->file = file;
  state_->metadata = std::move(metadata);
  auto opened = arrow::io::FileOutputStream::Open(file.string());
  state_->require_written(opened.status());
  state_->sink = *opened;
}

ParquetWriter::~ParquetWriter() {
  if (!state_) return;
  // an unfinished file is thrown away by its owner, so what closing says does not matter
  try {
    state_->writer.reset();
  } catch (const std::exception&) {
  }
  if (!state_->sink->closed()) (void)state_->sink->Close();
}
ParquetWriter::ParquetWriter(ParquetWriter&&) noexcept = default;

int64_t ParquetWriter::rows() const { return state_->rows; }

int64_t ParquetWriter::bytes() const {
  const auto at = state_->sink->Tell();
  return at.ok() ? *at : 0;
}

void ParquetWriter::write(std::span<const ParquetColumn> columns) {
  State& s = *state_;
  s.guarded_write([&] {
    arrow::FieldVector fields;
    arrow::ArrayVector arrays;
    for (const ParquetColumn& column : columns) {
      arrays.push_back(build_column(column));
      check(arrays.back()->length() == arrays.front()->length(),
            "column {} has as many rows as the others", column.name);
      fields.push_back(arrow::field(column.name, arrays.back()->type()));
    }
    const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
    if (!s.writer) {
      const auto properties = parquet::WriterProperties::Builder()
                                  .compression(parquet::Compression::SNAPPY)
                                  ->enable_page_checksum()
                                  ->build();
      auto opened = parquet::arrow::FileWriter::Open(*table->schema(), arrow::default_memory_pool(),
                                                     s.sink, properties);
      s.require_written(opened.status());
      s.writer = std::move(*opened);
    }
    s.require_written(s.writer->WriteTable(*table, std::max<int64_t>(1, table->num_rows())));
    s.rows += table->num_rows();
  });
}

void ParquetWriter::finish() {
  State& s = *state_;
  check(s.writer != nullptr, "a Parquet file has at least one row group");
  s.guarded_write([&] {
    if (!s.metadata.empty()) {
      auto pairs = std::make_shared<arrow::KeyValueMetadata>();
      for (const auto& [key, value] : s.metadata) pairs->Append(key, value);
      s.require_written(s.writer->AddKeyValueMetadata(pairs));
    }
    s.require_written(s.writer->Close());
    s.require_written(s.sink->Close());
  });
}

}  // namespace argosy::data
