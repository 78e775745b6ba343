#include "query/database.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/check.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/nearest.h"
#include "base/threads.h"
#include "query/duckdb_interface.h"

namespace argosy::query {
namespace {

constexpr const char* kAskOneSelect =
    "give one SELECT on the views frames and episodes (\"DESCRIBE frames\" lists the columns)";
constexpr int64_t kLeastMemory = int64_t{256} << 20;

/// Handles of the C interface, released at the end of their scope.
template <typename Handle, auto release>
struct Owned {
  Handle handle{};
  Owned() = default;
  ~Owned() { release(&handle); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  operator Handle() const { return handle; }
  Handle* operator&() { return &handle; }
};
using Result = Owned<duckdb_result, duckdb_destroy_result>;
using Prepared = Owned<duckdb_prepared_statement, duckdb_destroy_prepare>;
using Extracted = Owned<duckdb_extracted_statements, duckdb_destroy_extracted>;
using Chunk = Owned<duckdb_data_chunk, duckdb_destroy_data_chunk>;
using Appender = Owned<duckdb_appender, [](duckdb_appender* a) { duckdb_appender_destroy(a); }>;

/// Thrown where a query was stopped from outside.
struct Interrupted {};

/// "the SQL, line 2, column 7" for a byte of it, as an editor counts.
std::string place_in(const std::string& sql, size_t position) {
  const std::string before = sql.substr(0, position);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  return fmt::format("the SQL, line {}, column {}", line, column);
}

/// The parts of "a,b" or "a or b".
std::vector<std::string> names_in(std::string list) {
  for (size_t at; (at = list.find(" or ")) != std::string::npos;) list.replace(at, 4, ",");
  std::vector<std::string> names;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    names.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

/// What DuckDB says (JSON, by the setting errors_as_json), with the place in the user's own text,
/// which begins `offset` bytes into what was run. `columns`: known ones.
[[noreturn]] void throw_sql_error(const std::string& said, const std::string& sql,
                                  size_t offset = 0, std::span<const std::string> columns = {}) {
  const size_t brace = said.find('{');
  const auto json = nlohmann::json::parse(
      brace == std::string::npos ? std::string() : said.substr(brace), nullptr, false);
  const auto text = [&](const char* key) {
    return json.is_object() && json.contains(key) && json[key].is_string()
               ? json[key].get<std::string>()
               : std::string();
  };
  ErrorText error{.what = text("exception_message"), .where = "the SQL", .fix = kAskOneSelect};
  if (error.what.empty()) error.what = said;
  error.what = error.what.substr(0, error.what.find('\n'));
  while (error.what.ends_with('!') || error.what.ends_with('.')) error.what.pop_back();
  if (const std::string position = text("position"); !position.empty()) {
    const size_t at = std::strtoull(position.c_str(), nullptr, 10);
    if (at >= offset && at - offset <= sql.size()) error.where = place_in(sql, at - offset);
  }
  const std::string kind = text("exception_type");
  std::vector<std::string> names = names_in(text("candidates"));
  if (text("error_subtype") == "COLUMN_NOT_FOUND")  // DuckDB names some, not always the nearest
    names.insert(names.end(), columns.begin(), columns.end());
  const std::string nearest = nearest_name(text("name"), names);
  if (!nearest.empty())
    error.fix = fmt::format("did you mean {}? DESCRIBE frames lists all columns",
                            nearest.find_first_of(" ./-") == std::string::npos
                                ? nearest
                                : quoted_name(nearest) + ", in double quotes");
  if (kind == "Permission")
    error.fix = std::string("a query reads its data set's rows and no file: ") + kAskOneSelect;
  if (kind == "Conversion")
    error.fix = "correct the value, or let TRY_CAST make NULL of what cannot be converted";
  if (kind == "Out of Memory") {
    error.kind = ErrorKind::device;
    error.fix = "ask for fewer columns or rows at once, e.g. with a WHERE or a LIMIT";
  }
  throw Error(error);
}

ColumnKind kind_of(duckdb_type type) {
  if (type == DUCKDB_TYPE_BOOLEAN) return ColumnKind::boolean;
  if (type == DUCKDB_TYPE_LIST || type == DUCKDB_TYPE_ARRAY) return ColumnKind::list;
  const bool number = (type >= DUCKDB_TYPE_TINYINT && type <= DUCKDB_TYPE_DOUBLE) ||
                      type == DUCKDB_TYPE_HUGEINT || type == DUCKDB_TYPE_DECIMAL ||
                      type == DUCKDB_TYPE_UHUGEINT;
  return number ? ColumnKind::number : ColumnKind::text;
}

std::vector<Column> columns_of_prepared(duckdb_prepared_statement statement) {
  std::vector<Column> columns;
  for (uint64_t c = 0; c < duckdb_prepared_statement_column_count(statement); ++c) {
    const char* name = duckdb_prepared_statement_column_name(statement, c);
    columns.push_back(
        {name ? name : "", kind_of(duckdb_prepared_statement_column_type(statement, c))});
    duckdb_free(const_cast<char*>(name));
  }
  return columns;
}

/// While it lives, a thread looks at `stop` and tells of the progress.
class Watch {
 public:
  Watch(duckdb_connection connection, const RunOptions& options)
      : thread_([this, connection, &options] {
          std::unique_lock lock(mutex_);
          while (!done_) {
            wake_.wait_for(lock, std::chrono::milliseconds(50));
            if (done_) return;
            if (options.stop && *options.stop) duckdb_interrupt(connection);
            if (options.progress) options.progress(duckdb_query_progress(connection).percentage);
          }
        }) {}
  ~Watch() {
    {
      const std::scoped_lock lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};

void read_rows(duckdb_result result, size_t columns, const RunOptions& options,
               const RowReader& reader) {
  Row row(columns);
  while (true) {
    if (options.stop && *options.stop) throw Interrupted{};
    Chunk chunk;
    *&chunk = duckdb_fetch_chunk(result);
    if (!chunk.handle) return;
    const uint64_t size = duckdb_data_chunk_get_size(chunk);
    if (size == 0) return;
    for (uint64_t i = 0; i < size; ++i) {
      for (size_t c = 0; c < columns; ++c) {
        const duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, c);
        const uint64_t* valid = duckdb_vector_get_validity(vector);
        auto* texts = static_cast<duckdb_string_t*>(duckdb_vector_get_data(vector));
        if (valid && !(valid[i / 64] >> (i % 64) & 1))
          row[c].reset();
        else
          row[c].emplace(duckdb_string_t_data(&texts[i]), duckdb_string_t_length(texts[i]));
      }
      reader.row(row);
    }
  }
}

}  // namespace

struct Database::State {
  duckdb_database database{};
  duckdb_connection connection{};
  std::vector<std::string> columns;  // of the views, for whoever misspells one

  ~State() {
    duckdb_disconnect(&connection);
    duckdb_close(&database);
  }

  [[noreturn]] void fail(const std::string& said, const RunOptions& options, const std::string& sql,
                         size_t offset = 0) const {
    if (options.stop && *options.stop) throw Interrupted{};
    throw_sql_error(said, sql, offset, columns);
  }

  /// The columns of a text that is one SELECT.
  std::vector<Column> examine(const std::string& sql, const RunOptions& options) const {
    Extracted statements;
    const uint64_t count = duckdb_extract_statements(connection, sql.c_str(), &statements);
    if (const char* said = duckdb_extract_statements_error(statements); count == 0 && said)
      fail(said, options, sql);
    if (count != 1)
      throw Error({.what = fmt::format("{} statements instead of one", count),
                   .where = "the SQL",
                   .fix = kAskOneSelect});
    Prepared statement;
    if (duckdb_prepare(connection, sql.c_str(), &statement) == DuckDBError)
      fail(duckdb_prepare_error(statement), options, sql);
    if (duckdb_prepared_statement_type(statement) != DUCKDB_STATEMENT_TYPE_SELECT)
      throw Error({.what = "the statement is no SELECT, and a query only reads",
                   .where = "the SQL",
                   .fix = kAskOneSelect});
    if (duckdb_nparams(statement) > 0)
      throw Error({.what = "the statement has parameters, which nothing fills in",
                   .where = "the SQL",
                   .fix = "write the values into it"});
    return columns_of_prepared(statement);
  }

  void run(const std::string& sql, const RunOptions& options, const RowReader& reader) const {
    const std::vector<Column> columns = examine(sql, options);
    // around it: every value as text, whatever its type, and the limit
    std::vector<std::string> names, texts;
    for (size_t c = 0; c < columns.size(); ++c) {
      names.push_back(fmt::format("c{}", c));
      texts.push_back(fmt::format("c{}::VARCHAR", c));
    }
    const size_t end = sql.find_last_not_of("; \t\r\n");
    const std::string before = fmt::format("SELECT {} FROM (\n", fmt::join(texts, ", "));
    const std::string whole = fmt::format(
        "{}{}\n) AS result({}){}", before, sql.substr(0, end + 1), fmt::join(names, ", "),
        options.limit > 0 ? fmt::format(" LIMIT {}", options.limit) : "");
    Prepared statement;
    if (duckdb_prepare(connection, whole.c_str(), &statement) == DuckDBError)
      throw Error({.what = "the statement cannot stand in brackets, as in FROM (SELECT ...)",
                   .where = "the SQL",
                   .fix = std::string("end it without a semicolon; ") + kAskOneSelect});
    Result result;
    if (duckdb_execute_prepared_streaming(statement, &result) == DuckDBError)
      fail(duckdb_result_error(&result), options, sql, before.size());
    reader.begin(columns);
    read_rows(result, columns.size(), options, reader);
    if (const char* said = duckdb_result_error(&result); said && *said)
      fail(said, options, sql, before.size());
  }
};

Database::Database() : state_(std::make_unique<State>()) {
  check(duckdb_open(nullptr, &state_->database) == DuckDBSuccess &&
            duckdb_connect(state_->database, &state_->connection) == DuckDBSuccess,
        "an empty database in memory cannot be opened");
  const int64_t memory = std::max(kLeastMemory, available_memory_bytes() / 2);
  execute(
      fmt::format("SET memory_limit = '{}B'; SET threads = {}; SET temp_directory = '';"
                  "SET autoinstall_known_extensions = false;"
                  "SET autoload_known_extensions = false; SET errors_as_json = true;"
                  "SET enable_progress_bar = true; SET enable_progress_bar_print = false",
                  memory, thread_count()));
}

Database::~Database() = default;

void Database::execute(const std::string& sql) {
  Result result;
  if (duckdb_query(state_->connection, sql.c_str(), &result) == DuckDBError)
    throw_sql_error(duckdb_result_error(&result), sql);
}

std::vector<Column> Database::columns_of(const std::string& sql) {
  Prepared statement;
  if (duckdb_prepare(state_->connection, sql.c_str(), &statement) == DuckDBError)
    throw_sql_error(duckdb_prepare_error(statement), sql);
  return columns_of_prepared(statement);
}

void Database::append(const std::string& table, std::span<const std::vector<Cell>> rows) {
  Appender appender;
  bool good = duckdb_appender_create(state_->connection, nullptr, table.c_str(), &appender) ==
              DuckDBSuccess;
  const auto put = [&](const Cell& cell) {
    if (const auto* integer = std::get_if<int64_t>(&cell))
      return duckdb_append_int64(appender, *integer);
    if (const auto* number = std::get_if<double>(&cell))
      return duckdb_append_double(appender, *number);
    if (const auto* text = std::get_if<std::string>(&cell))
      return duckdb_append_varchar_length(appender, text->data(), text->size());
    return duckdb_append_null(appender);
  };
  for (const auto& row : rows) {
    for (const Cell& cell : row) good = good && put(cell) == DuckDBSuccess;
    good = good && duckdb_appender_end_row(appender) == DuckDBSuccess;
  }
  good = good && duckdb_appender_close(appender) == DuckDBSuccess;
  check(good, "the table {} does not take its rows", table);
}

void Database::confine(std::span<const Path> readable, std::span<const std::string> views) {
  for (const std::string& view : views)
    for (const Column& column : columns_of("SELECT * FROM " + view))
      state_->columns.push_back(column.name);
  std::vector<std::string> paths;
  for (const Path& path : readable) paths.push_back(quoted_text(path.string()));
  execute(
      fmt::format("SET allowed_paths = [{}]; SET enable_external_access = false;"
                  "SET lock_configuration = true",
                  fmt::join(paths, ", ")));
}

bool Database::select(const std::string& sql, const RunOptions& options, const RowReader& reader) {
  const Watch watch(state_->connection, options);
  try {
    state_->run(sql, options, reader);
    return true;
  } catch (const Interrupted&) {
    return false;
  }
}

namespace {
std::string quoted(const std::string& text, char mark) {
  std::string result(1, mark);
  for (const char c : text) result.append(c == mark ? 2 : 1, c);
  return result + mark;
}
}  // namespace

std::string quoted_name(const std::string& name) { return quoted(name, '"'); }
std::string quoted_text(const std::string& text) { return quoted(text, '\''); }
std::string library_version() { return duckdb_library_version(); }

}  // namespace argosy::query
