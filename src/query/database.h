#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/files.h"

namespace argosy::query {

enum class ColumnKind { number, boolean, text, list };

struct Column {
  std::string name;
  ColumnKind kind;
};

/// A value as text ("0.5", "nan", "true", "[1, 2]"); nothing for NULL.
using Row = std::vector<std::optional<std::string>>;

/// Told of the columns once, then of each row in order.
struct RowReader {
  std::function<void(std::span<const Column>)> begin;
  std::function<void(const Row&)> row;
};

struct RunOptions {
  int64_t limit = 0;                               ///< rows at most; 0: all
  const std::atomic<bool>* stop = nullptr;         ///< once true, the query ends soon
  std::function<void(double percentage)> progress; /**< called now and then by another thread */
};

/// An embedded analytic database (DuckDB) in memory, which never writes a file.
/// threads  one at a time
class Database {
 public:
  Database();
  ~Database();

  /// Trusted SQL, before confine().
  void execute(const std::string& sql);
  std::vector<Column> columns_of(const std::string& sql);
  using Cell = std::variant<std::monostate, int64_t, double, std::string>;
  void append(const std::string& table, std::span<const std::vector<Cell>> rows);

  /// From now on nothing but these files can be read, and no setting changed; who misspells a
  /// column is told the nearest one of `views`.
  void confine(std::span<const Path> readable, std::span<const std::string> views);

  /// One SELECT from outside, its rows as they come. False: `stop` became true.
  /// throws  Error: not one statement, not a SELECT, wrong SQL (with its line and column and the
  ///         nearest names), a file that may not be read, more memory than there is
  bool select(const std::string& sql, const RunOptions& options, const RowReader& reader);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string quoted_name(const std::string& name);  ///< "a""b"
std::string quoted_text(const std::string& text);  ///< 'a''b'
std::string library_version();

}  // namespace argosy::query
