#include "query/query.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "data/frame_columns.h"
#include "data/sample.h"
#include "program.h"
#include "shared.h"

using namespace argosy;
using query::Column;
using query::ColumnKind;
using query::Row;

namespace {

struct Answer {
  std::vector<Column> columns;
  std::vector<Row> rows;
  bool whole = false;
};

Answer ask(const data::Dataset& dataset, const std::string& sql, query::RunOptions options = {}) {
  Answer answer;
  query::DatasetQuery database(dataset, 0.25);
  answer.whole = database.select(
      sql, options,
      {.begin = [&](std::span<const Column> c) { answer.columns.assign(c.begin(), c.end()); },
       .row = [&](const Row& row) { answer.rows.push_back(row); }});
  return answer;
}

/// A data set of two episodes with numbers of every kind.
struct Sample {
  test::TemporaryFolder temporary;
  Path folder;
  data::Dataset dataset;

  explicit Sample(const std::string& name = "sample")
      : folder(temporary.path() / name), dataset(make(folder)) {}
  static data::Dataset make(const Path& folder) {
    test::write_sample(folder, {7, 5}, test::sample_options());
    return data::Dataset::open(folder);
  }
};

std::string error_of(const data::Dataset& dataset, const std::string& sql) {
  try {
    ask(dataset, sql);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("query: frames has every number of the data set, each element by its name") {
  const Sample sample;
  const auto columns = data::frame_columns(sample.dataset);
  std::vector<std::string> names;
  for (const auto& column : columns) names.push_back(column.name);
  CHECK(names == std::vector<std::string>{"x", "y", "z", "action.0", "action.1", "speed", "counter",
                                          "grid.0", "grid.1", "grid.2", "grid.3", "grid.4",
                                          "grid.5", "flags.0", "flags.1", "note"});
  const Answer all = ask(sample.dataset, "SELECT * FROM frames ORDER BY \"index\"");
  REQUIRE(all.whole);
  REQUIRE(all.rows.size() == 12);
  REQUIRE(all.columns.size() == 5 + names.size());
  for (size_t c = 0; c < columns.size(); ++c) {
    INFO(names[c]);
    CHECK(all.columns[5 + c].name == names[c]);
    const data::Feature& feature = sample.dataset.feature(columns[c].feature);
    for (size_t row = 0; row < 12; ++row) {
      const auto& cell = all.rows[row][5 + c];
      if (feature.dtype == "string") {
        CHECK(cell == sample.dataset.texts(feature.name)[row]);
        continue;
      }
      const double value =
          sample.dataset.column_f64(feature.name)[row * static_cast<size_t>(feature.width()) +
                                                  static_cast<size_t>(columns[c].element)];
      CHECK(cell.has_value() == !std::isnan(value));  // missing is NULL
      if (!cell) continue;
      if (feature.dtype == "bool")
        CHECK(*cell == (value != 0 ? "true" : "false"));
      else if (feature.dtype == "float32")
        CHECK(std::stof(*cell) == static_cast<float>(value));
      else
        CHECK(std::stod(*cell) == value);
    }
  }
  CHECK(all.rows[8][0] == "1");  // episode_index, frame_index, timestamp, task, index
  CHECK(all.rows[8][1] == "1");
  CHECK(all.rows[8][2] == "0.1");
  CHECK(all.rows[8][3] == "drive on");
  CHECK(all.rows[8][4] == "8");
}

TEST_CASE("query: episodes has length, duration, task, source and split") {
  const Sample sample;
  const Answer answer = ask(sample.dataset, "SELECT * FROM episodes ORDER BY episode_index");
  REQUIRE(answer.rows.size() == 2);
  CHECK(answer.rows[1] == Row{"1", "5", "0.5", "drive on", "recording 7", "training", "7", {}});
}

TEST_CASE("query: a name that several features have gets its feature, one taken already a number") {
  const test::TemporaryFolder temporary;
  data::DatasetOptions options{.fps = 10};
  options.features = {
      {.name = "observation.state", .dtype = "float32", .shape = {2}, .names = {"arm", "index"}},
      {.name = "action", .dtype = "float32", .shape = {2}, .names = {"Arm", "wheel"}},
      {.name = "twice", .dtype = "float32", .shape = {2}, .names = {"same", "SAME"}}};
  test::write_sample(temporary.path() / "set", {3}, options);
  const data::Dataset dataset = data::Dataset::open(temporary.path() / "set");
  std::vector<std::string> names;
  for (const auto& column : data::frame_columns(dataset)) names.push_back(column.name);
  CHECK(names == std::vector<std::string>{"observation.state/arm", "observation.state/index",
                                          "action/Arm", "wheel", "twice/same", "twice/SAME_2"});
  CHECK(ask(dataset, "SELECT * FROM frames").rows.size() == 3);
}

TEST_CASE("query: windows by episode find what happens before something else") {
  const Sample sample;
  const Answer answer = ask(sample.dataset,
                            "SELECT episode_index, frame_index, lead(x, 2) OVER (PARTITION BY "
                            "episode_index ORDER BY frame_index) - x AS step FROM frames "
                            "WHERE x > 0 QUALIFY step IS NULL ORDER BY 1, 2");
  // the last two frames of each episode have no frame two later
  REQUIRE(answer.rows.size() == 4);
  CHECK(answer.rows[0] == Row{"0", "5", {}});
  CHECK(answer.rows[3] == Row{"1", "4", {}});
}

TEST_CASE("query: values of any type come as text, in the order that was asked for") {
  const Sample sample;
  const Answer answer = ask(sample.dataset,
                            "SELECT [1, 2] AS a, {'k': 1} AS b, DATE '2020-02-29' AS c, true AS d, "
                            "NULL AS d, sum(counter) AS e, 0.5 AS f FROM frames -- and a remark");
  REQUIRE(answer.rows.size() == 1);
  CHECK(answer.rows[0] == Row{"[1, 2]", "{'k': 1}", "2020-02-29", "true", {}, "66000198", "0.5"});
  CHECK(answer.columns[4].name == "d");
  CHECK(answer.columns[5].kind == ColumnKind::number);
  const Answer last =
      ask(sample.dataset, "FROM frames SELECT counter ORDER BY counter DESC;", {.limit = 2});
  CHECK(last.rows == std::vector<Row>{{"11000033"}, {"10000030"}});
}

TEST_CASE("query: DESCRIBE and SUMMARIZE tell of the columns") {
  const Sample sample;
  CHECK(ask(sample.dataset, "DESCRIBE frames").rows.size() == 21);
  CHECK(ask(sample.dataset, "SUMMARIZE episodes").rows.size() == 8);
}

TEST_CASE("query: wrong SQL is said with line, column and the nearest name") {
  const Sample sample;
  CHECK(error_of(sample.dataset, "SELECT episode_index,\n  sped FROM frames") ==
        "the SQL, line 2, column 3: Referenced column \"sped\" not found in FROM clause; did you "
        "mean speed? DESCRIBE frames lists all columns");
  CHECK(error_of(sample.dataset, "SELECT \"action.0.\" FROM frames")
            .find("did you mean \"action.0\", in double quotes?") != std::string::npos);
  CHECK(error_of(sample.dataset, "SELECT * FROM frame").find("line 1, column 15") !=
        std::string::npos);
  CHECK(error_of(sample.dataset, "SELECT note::INTEGER FROM frames").find("TRY_CAST") !=
        std::string::npos);
  for (const char* wrong : {"", " ;", "-- nothing", "SELEC 1", "SELECT", "SELECT 1; SELECT 2",
                            "SELECT ?", "SELECT 1) UNION (SELECT 2", "\xff\xfe", "SELECT 1; --"})
    CHECK_MESSAGE(!error_of(sample.dataset, wrong).empty(), wrong);
}

TEST_CASE("query: what writes, attaches, installs or reads another file is refused") {
  const Sample sample;
  const std::string other = (sample.folder / "meta/info.json").string(),
                    made = (sample.temporary.path() / "made").string();
  const std::string parquet = (sample.folder / "meta/tasks.parquet").string();
  for (const std::string& sql : {fmt::format("COPY (SELECT 1) TO '{}'", made),
                                 fmt::format("ATTACH '{}'", made),
                                 fmt::format("EXPORT DATABASE '{}'", made),
                                 fmt::format("SELECT * FROM '{}'", parquet),
                                 fmt::format("SELECT * FROM read_text('{}')", other),
                                 fmt::format("SELECT * FROM read_parquet('{}')", parquet),
                                 fmt::format("SELECT * FROM read_csv('{}')", other),
                                 fmt::format("SELECT * FROM glob('{}/*')", sample.folder.string()),
                                 fmt::format("SELECT * FROM parquet_schema('{}')", parquet),
                                 std::string("INSTALL httpfs"),
                                 std::string("LOAD httpfs"),
                                 std::string("CREATE TABLE t(a INT)"),
                                 std::string("DELETE FROM episodes"),
                                 std::string("DROP VIEW frames"),
                                 std::string("INSERT INTO episodes(length) VALUES (1)"),
                                 std::string("SET memory_limit = '100GB'"),
                                 std::string("RESET enable_external_access"),
                                 std::string("PRAGMA enable_external_access"),
                                 std::string("CALL pragma_version()"),
                                 std::string("CHECKPOINT"),
                                 std::string("VACUUM"),
                                 std::string("BEGIN"),
                                 std::string("EXPLAIN ANALYZE SELECT 1"),
                                 std::string("SELECT getenv('HOME')")}) {
    INFO(sql);
    CHECK(!error_of(sample.dataset, sql).empty());
  }
  CHECK(!std::filesystem::exists(made));
  CHECK(ask(sample.dataset, "SELECT * FROM episodes").rows.size() == 2);
}

TEST_CASE("query: a folder's name may have signs that patterns and SQL know") {
  const Sample sample("it's [a-b] * ?");
  CHECK(ask(sample.dataset, "SELECT * FROM frames").rows.size() == 12);
}

TEST_CASE("query: once it is told to stop it ends, and the rows are not whole") {
  const Sample sample;
  const std::atomic<bool> stop = true;
  const Answer answer = ask(sample.dataset,
                            "SELECT sum(hash(a.range + b.range)) FROM range(1000000) a, "
                            "range(1000000) b",
                            {.stop = &stop});
  CHECK(!answer.whole);
}

TEST_CASE("data query: the rows as CSV and as JSON are those of the page") {
  const Sample sample;
  const std::string folder = sample.folder.string();
  const std::string sql =
      "SELECT note AS \"a \"\"note\"\"\", speed, 'NaN'::FLOAT AS nan, '' AS empty, '1,2' AS comma "
      "FROM frames ORDER BY \"index\" LIMIT 4";
  const Path there = sample.temporary.path() / "rows.json";
  const auto csv = test::run_program(sample.temporary.path(),
                                     {"data", "query", folder, sql, "--csv", "-", "--json", there});
  CHECK(csv.code == 0);
  CHECK(csv.out ==
        "\"a \"\"note\"\"\",speed,nan,empty,comma\n"
        "row 0,2.0,nan,\"\",\"1,2\"\nrow 1,2.25,nan,\"\",\"1,2\"\n"
        "row 2,2.5,nan,\"\",\"1,2\"\nrow 3,,nan,\"\",\"1,2\"\n");
  const auto json = nlohmann::json::parse(read_file(there));
  CHECK(json["row_count"] == 4);
  CHECK(json["columns"][0] == nlohmann::json{{"name", "a \"note\""}, {"kind", "text"}});
  CHECK(json["rows"][1] == nlohmann::json{"row 1", 2.25, nullptr, "", "1,2"});
  CHECK(json["rows"][3] == nlohmann::json{"row 3", nullptr, nullptr, "", "1,2"});
  const auto page = test::run_program(
      sample.temporary.path(),
      {"data", "query", folder, "SELECT x FROM frames ORDER BY x", "--limit", "1"});
  CHECK(page.out == "  x\n0.0\n\n1 row\n");
}

TEST_CASE("data query: a signal ends it with 130 and leaves no file") {
  const Sample sample;
  const Path there = sample.temporary.path() / "rows.csv";
  test::Program program(sample.temporary.path(),
                        {"data", "query", sample.folder.string(),
                         "SELECT sum(hash(a.range + b.range)) FROM range(10000000) a, "
                         "range(10000000) b",
                         "--csv", there});
  while (!std::filesystem::exists(there.string() + ".partial-" + fmt::to_string(program.id())))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  program.signal(SIGINT);
  CHECK(program.wait().code == 130);
  for (const auto& entry : std::filesystem::directory_iterator(sample.temporary.path()))
    CHECK(entry.path().filename().string().find("rows") == std::string::npos);
}
