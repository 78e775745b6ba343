#include "bench/profile.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/files.h"
#include "compile/memory_report.h"
#include "ir/op.h"

namespace argosy::bench {
namespace {

/// What one or several calls take, and what they would by the machine's bounds.
struct Times {
  double seconds = 0, product_s = 0, least_s = 0;
  double bound() const { return least_s / seconds; }
  Times& operator+=(const Times& other) {
    seconds += other.seconds, product_s += other.product_s, least_s += other.least_s;
    return *this;
  }
};

struct Row : Times {
  const Call* call = nullptr;
};

std::vector<Row> rows_of(const Session& session, const MachineBounds& bounds) {
  std::vector<Row> rows;
  const Program& program = session.program();
  const std::span<const CallTime> times = session.call_times();
  for (size_t i = 0; i < times.size(); ++i) {
    const Call& call = program.calls[i];
    rows.push_back(
        {{.seconds = times[i].seconds / std::max<double>(1, static_cast<double>(times[i].runs)),
          .product_s = bounds.product_s(program, call),
          .least_s = bounds.least_s(program, call)},
         &call});
  }
  return rows;
}

std::string shapes(const Program& program, const Call& call) {
  const auto list = [&](const std::vector<int32_t>& buffers) {
    std::string text;
    for (const Type& type : program.types(buffers))
      if (!type.shape.empty())
        text += fmt::format("{}{}", text.empty() ? "" : " ", fmt::join(type.shape, "x"));
    return text;
  };
  return list(call.inputs) + " -> " + list(call.outputs);
}

}  // namespace

std::string profile(Session& session, const MachineBounds& bounds, double seconds) {
  session.set_profiling(true);
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  for (int64_t runs = 0; runs < 3 || elapsed() < seconds; ++runs) session.run();
  std::vector<Row> rows = rows_of(session, bounds);
  std::map<std::string_view, Times> by_op;
  Times all;
  for (const Row& row : rows) {
    by_op[row.call->op->name] += row;
    all += row;
  }
  const double total = all.seconds;
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  const double flops = session.program().flops();
  std::string text = fmt::format(
      "{} calls, {:.2f} ms a step, {:.2f} GFLOP, {:.1f} GFLOP/s: {:.1f}% of the matrix product's "
      "peak, {:.1f}% of the bound\n{}\n\n",
      rows.size(), 1e3 * total, flops / 1e9, flops / total / 1e9, 100 * all.product_s / total,
      100 * all.bound(), to_text(bounds));
  text += memory_text(session.program(), session.memory_limit_bytes()) + "\n";
  text += fmt::format("{:>9} {:>6} {:>6} {:>8} {:>7} {:>7}  {:<28} {:<24} {}\n", "us", "share",
                      "sum", "GFLOP/s", "GB/s", "bound", "op", "label", "shapes");
  double sum = 0;
  for (const Row& row : rows) {
    sum += row.seconds;
    std::string sizes = shapes(session.program(), *row.call);
    if (sizes.size() > 90) sizes = sizes.substr(0, 87) + "...";
    text +=
        fmt::format("{:>9.1f} {:>5.1f}% {:>5.1f}% {:>8.1f} {:>7.1f} {:>6.1f}%  {:<28} {:<24} {}\n",
                    1e6 * row.seconds, 100 * row.seconds / total, 100 * sum / total,
                    row.call->flops / row.seconds / 1e9, row.call->bytes / row.seconds / 1e9,
                    100 * row.bound(), row.call->op->name, row.call->label, sizes);
    if (sum > 0.995 * total) break;
  }
  text += fmt::format("\nby op\n{:>9} {:>6} {:>7}  op\n", "us", "share", "bound");
  std::vector<std::pair<double, std::string_view>> ops;
  for (const auto& [name, times] : by_op) ops.emplace_back(times.seconds, name);
  std::sort(ops.rbegin(), ops.rend());
  for (const auto& [s, name] : ops)
    text += fmt::format("{:>9.1f} {:>5.1f}% {:>6.1f}%  {}\n", 1e6 * s, 100 * s / total,
                        100 * by_op[name].bound(), name);
  return text;
}

void write_trace(const Session& session, const MachineBounds& bounds, const std::string& file) {
  // the Trace Event Format: complete events, times in microseconds
  auto events = nlohmann::ordered_json::array();
  double at_us = 0;
  for (const Row& row : rows_of(session, bounds)) {
    const double us = 1e6 * row.seconds;
    const std::string label = row.call->label;
    events.push_back({{"name", std::string(row.call->op->name)},
                      {"cat", label.substr(0, label.find('/'))},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", at_us},
                      {"dur", us},
                      {"args",
                       {{"label", label},
                        {"shapes", shapes(session.program(), *row.call)},
                        {"GFLOP/s", row.call->flops / row.seconds / 1e9},
                        {"GB/s", row.call->bytes / row.seconds / 1e9},
                        {"share of bound", row.bound()}}}});
    at_us += us;
  }
  write_file_atomically(file, nlohmann::ordered_json({{"traceEvents", events}}).dump() + "\n");
}

}  // namespace argosy::bench
