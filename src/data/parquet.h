#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"

namespace argosy::data {

/// A Parquet file's columns as plain values. Opening reads the footer; a column is read when asked
/// for. Everything is bounded by the size of the file: a header that lies ends in an Error.
/// threads  one at a time each
/// throws   Error: not a Parquet file, cut off or damaged (page checksums where there are any),
///          missing column, wrong type or shape
class ParquetReader {
 public:
  explicit ParquetReader(const Path& file);
  ~ParquetReader();
  ParquetReader(ParquetReader&&) noexcept;

  int64_t rows() const;
  std::vector<std::string> columns() const;
  bool has(const std::string& column) const;

  /// The numbers (or booleans as 0 and 1) of a column whose rows are lists nested as `shape` says
  /// ({1}: plain numbers, or lists of one); row-major [rows, shape...]; a null is NaN.
  void read(const std::string& column, std::span<const int64_t> shape,
            std::vector<float>& to) const;
  void read(const std::string& column, std::span<const int64_t> shape,
            std::vector<double>& to) const;
  std::vector<double> numbers(const std::string& column) const;     ///< of shape {1}
  std::vector<int64_t> integers(const std::string& column) const;   ///< exact; a null is an Error
  std::vector<std::string> texts(const std::string& column) const;  ///< a null is ""
  std::vector<std::vector<std::string>> text_lists(const std::string& column) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// One column of a table to be written: numbers, texts or lists of texts.
struct ParquetColumn {
  std::string name;
  std::string type;             ///< NumPy's name ("float32", "bool", ...), "string" or "strings"
  std::vector<int64_t> shape;   ///< of a row; {} or {1}: plain values; otherwise nested lists
  std::vector<double> numbers;  ///< row-major [rows, shape...]
  std::vector<std::string> texts;
  std::vector<std::vector<std::string>> text_lists;
  bool lists_of_one = false;  ///< a shape of {1} is written as a list too
};

/// Writes row groups of equal columns (snappy, dictionaries, page checksums).
class ParquetWriter {
 public:
  /// `metadata`: key-value pairs for the footer.
  explicit ParquetWriter(const Path& file,
                         std::vector<std::pair<std::string, std::string>> metadata = {});
  ~ParquetWriter();  ///< without finish() the file is not whole
  ParquetWriter(ParquetWriter&&) noexcept;

  void write(std::span<const ParquetColumn> columns);  ///< one row group
  int64_t rows() const;
  int64_t bytes() const;  ///< written so far
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
