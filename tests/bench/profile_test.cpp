#include "bench/profile.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ops/ops.h"

namespace argosy {
namespace {

/// A matrix product, which is bound by its flops, and a sum, by its bytes.
Session product_and_sum(DType dtype = DType::f32) {
  Graph graph;
  const Type square{dtype, {64, 64}};
  const Tensor a = graph.input("a", square), b = graph.input("b", square);
  graph.output("product", ops::matrix_multiply(a, b));
  graph.output("sum", a + b);
  return Session(std::move(graph));
}

const Call& call_of(const Session& session, std::string_view op) {
  for (const Call& call : session.program().calls)
    if (call.op->name == op) return call;
  FAIL("no call of " << op);
  return session.program().calls[0];
}

}  // namespace

TEST_CASE("profile: a call's bound is its flops at the peak or its bytes at the copy's rate") {
  const bench::MachineBounds bounds = {.f32_flops = 2e9, .bf16_flops = 8e9, .copy_bytes = 1e9};
  const double flops = 2.0 * 64 * 64 * 64, bytes = 3.0 * 64 * 64 * 4;
  const Session f32 = product_and_sum(), bf16 = product_and_sum(DType::bf16);
  const Call& product = call_of(f32, "matmul");
  CHECK(bounds.product_s(f32.program(), product) == doctest::Approx(flops / 2e9));
  CHECK(bounds.least_s(f32.program(), product) == doctest::Approx(flops / 2e9));
  CHECK(bounds.least_s(f32.program(), call_of(f32, "fused_pointwise")) ==
        doctest::Approx(bytes / 1e9));
  CHECK(bounds.product_s(bf16.program(), call_of(bf16, "matmul")) == doctest::Approx(flops / 8e9));
  CHECK(bounds.least_s(bf16.program(), call_of(bf16, "matmul")) == doctest::Approx(flops / 8e9));
}

TEST_CASE("profile: the bounds of this machine are positive and finite, bf16 where it is used") {
  const bench::MachineBounds bounds = bench::measure_bounds(product_and_sum(DType::bf16).program());
  for (const double bound : {bounds.f32_flops, bounds.bf16_flops, bounds.copy_bytes}) {
    CHECK(std::isfinite(bound));
    CHECK(bound > 0);
  }
}

TEST_CASE("profile: table and trace show each call's share of its bound") {
  const bench::MachineBounds unit = {.f32_flops = 1e9, .copy_bytes = 1e9};
  Session session = product_and_sum();
  const std::string text = bench::profile(session, unit, 0);
  CHECK(text.find("% of the matrix product's peak") != std::string::npos);
  CHECK(text.find("GB/s   bound  op") != std::string::npos);
  CHECK(text.find("share   bound  op\n") != std::string::npos);
  CHECK(text.find("1.0 GFLOP/s in f32, copies 1.0 GB/s") != std::string::npos);

  const std::filesystem::path file =
      std::filesystem::temp_directory_path() / "argosy-profile-trace.json";
  bench::write_trace(session, unit, file.string());
  std::ifstream stream(file);
  const auto events = nlohmann::json::parse(stream)["traceEvents"];
  CHECK(events.size() == 2);
  for (const auto& event : events) {  // both rates in units of their bound
    const auto& args = event["args"];
    CHECK(args["share of bound"].get<double>() ==
          doctest::Approx(std::max(args["GFLOP/s"].get<double>(), args["GB/s"].get<double>())));
  }
  std::filesystem::remove(file);
}

}  // namespace argosy
