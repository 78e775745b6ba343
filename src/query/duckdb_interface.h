#pragma once
#include <cstdint>

/// The part of DuckDB's C interface that is used here, which its makers keep stable: the wheel has
/// the library without its header.
extern "C" {

enum duckdb_state { DuckDBSuccess = 0, DuckDBError = 1 };

/// The kinds that are looked at; the library knows more.
enum duckdb_statement_type : int { DUCKDB_STATEMENT_TYPE_SELECT = 1 };
enum duckdb_type : int {
  DUCKDB_TYPE_BOOLEAN = 1,
  DUCKDB_TYPE_TINYINT = 2,
  DUCKDB_TYPE_DOUBLE = 11,  // TINYINT to DOUBLE: integers and floats
  DUCKDB_TYPE_HUGEINT = 16,
  DUCKDB_TYPE_DECIMAL = 19,
  DUCKDB_TYPE_LIST = 24,
  DUCKDB_TYPE_UHUGEINT = 32,
  DUCKDB_TYPE_ARRAY = 33
};

using duckdb_database = struct duckdb_database_state*;
using duckdb_connection = struct duckdb_connection_state*;
using duckdb_prepared_statement = struct duckdb_prepared_statement_state*;
using duckdb_extracted_statements = struct duckdb_extracted_statements_state*;
using duckdb_appender = struct duckdb_appender_state*;
using duckdb_data_chunk = struct duckdb_data_chunk_state*;
using duckdb_vector = struct duckdb_vector_state*;

struct duckdb_result {
  uint64_t deprecated_counts[3];
  void* deprecated_columns;
  char* deprecated_message;
  void* internal_data;
};

/// A text of up to 12 bytes stands in the value itself.
struct duckdb_string_t {
  uint32_t words[4];
};

struct duckdb_query_progress_type {
  double percentage;  // -1 where it is not known
  uint64_t rows_processed, total_rows_to_process;
};

const char* duckdb_library_version();

duckdb_state duckdb_open(const char* path, duckdb_database* out);
void duckdb_close(duckdb_database* database);
duckdb_state duckdb_connect(duckdb_database database, duckdb_connection* out);
void duckdb_disconnect(duckdb_connection* connection);
void duckdb_interrupt(duckdb_connection connection);
duckdb_query_progress_type duckdb_query_progress(duckdb_connection connection);

duckdb_state duckdb_query(duckdb_connection connection, const char* sql, duckdb_result* out);
const char* duckdb_result_error(duckdb_result* result);
void duckdb_destroy_result(duckdb_result* result);

uint64_t duckdb_extract_statements(duckdb_connection connection, const char* sql,
                                   duckdb_extracted_statements* out);
const char* duckdb_extract_statements_error(duckdb_extracted_statements statements);
void duckdb_destroy_extracted(duckdb_extracted_statements* statements);
duckdb_state duckdb_prepare(duckdb_connection connection, const char* sql,
                            duckdb_prepared_statement* out);
const char* duckdb_prepare_error(duckdb_prepared_statement statement);
duckdb_statement_type duckdb_prepared_statement_type(duckdb_prepared_statement statement);
uint64_t duckdb_nparams(duckdb_prepared_statement statement);
uint64_t duckdb_prepared_statement_column_count(duckdb_prepared_statement statement);
const char* duckdb_prepared_statement_column_name(duckdb_prepared_statement statement,
                                                  uint64_t column);
duckdb_type duckdb_prepared_statement_column_type(duckdb_prepared_statement statement,
                                                  uint64_t column);
duckdb_state duckdb_execute_prepared_streaming(duckdb_prepared_statement statement,
                                               duckdb_result* out);
void duckdb_destroy_prepare(duckdb_prepared_statement* statement);
void duckdb_free(void* memory);

duckdb_data_chunk duckdb_fetch_chunk(duckdb_result result);
uint64_t duckdb_data_chunk_get_size(duckdb_data_chunk chunk);
duckdb_vector duckdb_data_chunk_get_vector(duckdb_data_chunk chunk, uint64_t column);
void duckdb_destroy_data_chunk(duckdb_data_chunk* chunk);
void* duckdb_vector_get_data(duckdb_vector vector);
uint64_t* duckdb_vector_get_validity(duckdb_vector vector);
uint32_t duckdb_string_t_length(duckdb_string_t text);
const char* duckdb_string_t_data(duckdb_string_t* text);

duckdb_state duckdb_appender_create(duckdb_connection connection, const char* schema,
                                    const char* table, duckdb_appender* out);
duckdb_state duckdb_append_int64(duckdb_appender appender, int64_t value);
duckdb_state duckdb_append_double(duckdb_appender appender, double value);
duckdb_state duckdb_append_varchar_length(duckdb_appender appender, const char* text,
                                          uint64_t length);
duckdb_state duckdb_append_null(duckdb_appender appender);
duckdb_state duckdb_appender_end_row(duckdb_appender appender);
duckdb_state duckdb_appender_close(duckdb_appender appender);
duckdb_state duckdb_appender_destroy(duckdb_appender* appender);

}  // extern "C"
