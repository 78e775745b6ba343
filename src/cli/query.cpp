#include "query/query.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/table.h"
#include "query/clips.h"
#include "run/recipe.h"

namespace argosy::cli {
namespace {

using query::Column;
using query::ColumnKind;
using query::Row;

struct Options {
  std::string folder, sql, json, csv, to;
  int64_t limit = 0;
  double before_s = 0, after_s = 0;
};

/// A file that appears when it is whole, or standard output for "-".
class Output {
 public:
  explicit Output(const std::string& file) {
    if (!on_standard_output(file)) file_.emplace(file);
  }
  void write(std::string_view text) {
    if (file_)
      file_->write(text);
    else
      fmt::print("{}", text);
  }
  void finish() {
    if (file_) file_->commit();
  }

 private:
  std::optional<PartialFile> file_;
};

class Csv {
 public:
  explicit Csv(const std::string& file) : output_(file) {}
  void begin(std::span<const Column> columns) {
    Row names;
    for (const Column& column : columns) names.emplace_back(column.name);
    row(names);
  }
  /// RFC 4180; NULL is nothing at all, an empty text "".
  void row(const Row& row) {
    line_.clear();
    for (const auto& value : row) {
      if (&value != row.data()) line_ += ',';
      if (!value) continue;
      if (!value->empty() && value->find_first_of(",\"\r\n") == std::string::npos) {
        line_ += *value;
        continue;
      }
      line_ += '"';
      for (const char c : *value) line_.append(c == '"' ? 2 : 1, c);
      line_ += '"';
    }
    line_ += '\n';
    output_.write(line_);
  }
  void finish() { output_.finish(); }

 private:
  Output output_;
  std::string line_;
};

/// Written row by row, since a result may be larger than the memory.
class JsonRows {
 public:
  explicit JsonRows(const std::string& file) : output_(file) {}
  void begin(std::span<const Column> columns) {
    constexpr const char* kKinds[] = {"number", "boolean", "text", "text"};
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (const Column& column : columns) {
      kinds_.push_back(column.kind);
      names.push_back({{"name", column.name}, {"kind", kKinds[static_cast<int>(column.kind)]}});
    }
    output_.write("{\"columns\": " + text_of(names) + ",\n \"rows\": [");
  }
  void row(const Row& row) {
    line_ = rows_++ == 0 ? "\n  [" : ",\n  [";
    for (size_t c = 0; c < row.size(); ++c) {
      if (c > 0) line_ += ", ";
      const std::string value = row[c].value_or("");
      const bool raw = kinds_[c] == ColumnKind::number || kinds_[c] == ColumnKind::boolean;
      const bool finite = !raw || value.find_first_of("ai") == std::string::npos ||
                          kinds_[c] == ColumnKind::boolean;  // nan, inf
      line_ += !row[c] || !finite ? "null" : raw ? value : text_of(value);
    }
    output_.write(line_ + "]");
  }
  void finish() {
    output_.write(fmt::format("\n ],\n \"row_count\": {}}}\n", rows_));
    output_.finish();
  }

 private:
  static std::string text_of(const nlohmann::ordered_json& json) {
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }

  Output output_;
  std::vector<ColumnKind> kinds_;
  std::string line_;
  int64_t rows_ = 0;
};

/// The first rows of a result for a person.
class Page {
 public:
  void begin(std::span<const Column> columns) {
    columns_.assign(columns.begin(), columns.end());
    rows_.emplace_back();
    for (const Column& column : columns) rows_[0].push_back(cell(column.name));
  }
  void row(const Row& row) {
    if (++count_ > static_cast<int64_t>(kMostRows)) return;
    rows_.emplace_back();
    for (const auto& value : row) rows_.back().push_back(value ? cell(*value) : "");
  }
  void print() const {
    print_table(rows_, [&](size_t c) { return columns_[c].kind != ColumnKind::number; });
    const bool all = count_ <= static_cast<int64_t>(kMostRows);
    fmt::print("\n{} row{}{}\n", count_, count_ == 1 ? "" : "s",
               all ? ""
                   : fmt::format(", of which the first {} stand here; --csv FILE or --json FILE "
                                 "has them all",
                                 kMostRows));
  }

 private:
  /// One line of at most 60 characters, without what a terminal would obey.
  static std::string cell(const std::string& text) {
    std::string line;
    size_t characters = 0;
    for (const char c : text) {
      if ((c & 0xC0) != 0x80 && ++characters > 60) return line + "…";
      line += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
    }
    return line;
  }

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
  int64_t count_ = 0;
};

/// A bar for what takes longer than a second.
class LateProgress {
 public:
  LateProgress(std::string label, std::string unit) : label_(std::move(label)), unit_(unit) {}
  void update(int64_t done, int64_t total) {
    if (!bar_ && std::chrono::steady_clock::now() - start_ < std::chrono::seconds(1)) return;
    if (!bar_) bar_.emplace(label_, unit_, total);
    bar_->update(done);
  }
  /// All of it is done.
  void finish(int64_t total) {
    if (bar_) bar_->update(total);
  }

 private:
  std::string label_, unit_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::optional<Progress> bar_;
};

bool write_dataset(const Options& options, const data::Dataset& dataset,
                   const query::ClipCollector& collector, bool talk) {
  const std::vector<query::Clip> clips = collector.clips();
  {
    LateProgress bar("clips", "frames");
    const query::ClipsOptions job{
        .sql = options.sql, .stop = &stop_asked, .progress = [&](int64_t done, int64_t total) {
          bar.update(done, total);
        }};
    if (!query::write_clips(dataset, clips, options.to, job)) return false;
  }
  int64_t frames = 0;
  std::set<int64_t> episodes;
  for (const query::Clip& clip : clips) {
    frames += clip.to - clip.from;
    episodes.insert(clip.episode);
  }
  if (talk)
    fmt::print("data set: {} ({} clip{} of {} episode{}, {} frames, {} at {} frames/s)\n",
               options.to, clips.size(), clips.size() == 1 ? "" : "s", episodes.size(),
               episodes.size() == 1 ? "" : "s", frames,
               duration_text(static_cast<double>(frames) / dataset.fps()), dataset.fps());
  return true;
}

int run(const Options& options) {
  if (on_standard_output(options.json) && on_standard_output(options.csv))
    throw Error({.what = "two things cannot both be written to standard output",
                 .where = "--json and --csv",
                 .fix = "name a file for one of them"});
  if (options.limit < 0)
    throw Error({.what = fmt::format("{} is no number of rows", options.limit),
                 .where = "--limit",
                 .fix = "give 1 or more, or 0 for all rows"});
  if (options.to.empty() && (options.before_s != 0 || options.after_s != 0))
    throw Error({.what = "there are no clips to lengthen",
                 .where = "--before and --after",
                 .fix = "give --to NEW_DATASET too"});
  stop_on_signals();
  const data::Dataset dataset = data::Dataset::open(options.folder);
  query::DatasetQuery database(dataset, run::Recipe().data.holdout_share);
  Page page;
  std::optional<Csv> csv;
  std::optional<JsonRows> json;
  std::optional<query::ClipCollector> clips;
  if (!options.csv.empty()) csv.emplace(options.csv);
  if (!options.json.empty()) json.emplace(options.json);
  if (!options.to.empty()) clips.emplace(dataset, options.before_s, options.after_s);
  const query::RowReader reader{.begin =
                                    [&](std::span<const Column> columns) {
                                      page.begin(columns);
                                      if (clips) clips->begin(columns);
                                      if (csv) csv->begin(columns);
                                      if (json) json->begin(columns);
                                    },
                                .row =
                                    [&](const Row& row) {
                                      page.row(row);
                                      if (clips) clips->add(row);
                                      if (csv) csv->row(row);
                                      if (json) json->row(row);
                                    }};
  {
    LateProgress bar("query", "%");
    const auto progress = [&](double percentage) {
      if (percentage >= 0) bar.update(std::lround(percentage), 100);
    };
    if (!database.select(options.sql,
                         {.limit = options.limit, .stop = &stop_asked, .progress = progress},
                         reader))
      return kInterruptedExitCode;
    bar.finish(100);
  }
  if (csv) csv->finish();
  if (json) json->finish();
  const bool talk = !on_standard_output(options.json) && !on_standard_output(options.csv);
  if (talk && !csv && !json && !clips) page.print();
  if (clips && !write_dataset(options, dataset, *clips, talk)) return kInterruptedExitCode;
  return 0;
}

}  // namespace

std::function<int()> data_query(Arguments& arguments) {
  const auto options = std::make_shared<Options>();
  arguments.positional("FOLDER", options->folder, "a data set (LeRobotDataset v3.0)");
  arguments.positional("SQL", options->sql,
                       "one SELECT on the views frames and episodes; \"DESCRIBE frames\" lists "
                       "the columns");
  arguments.option("--csv", options->csv, "write the rows to this file; -: to standard output");
  arguments.option("--json", options->json,
                   "write the rows as JSON to this file; -: to standard output");
  arguments.option("--limit", options->limit, "rows at most; 0: all");
  arguments.option("--to", options->to,
                   "a new data set of the frames or episodes that the rows name");
  arguments.option("--before", options->before_s,
                   "with --to: seconds taken along before each frame");
  arguments.option("--after", options->after_s, "with --to: seconds taken along after each frame");
  return [options] { return run(*options); };
}

}  // namespace argosy::cli
