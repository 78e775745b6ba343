#include "models/language.h"

#include <doctest/doctest.h>

#include "base/error.h"
#include "base/random.h"
#include "engine/session.h"
#include "ir/panels.h"

using namespace argosy;
using models::LanguageOptions;

namespace {

LanguageOptions small(std::string_view architecture) {
  return {.architecture = std::string(architecture),
          .vocabulary = 50,
          .context = 64,
          .width = 32,
          .layers = 2,
          .heads = 4,
          .key_heads = 2,
          .head_width = 16,
          .hidden = 64,
          .experts = architecture == "grok" ? 4 : 0,
          .active = architecture == "grok" ? 2 : 0,
          .soft_cap = architecture == "grok" ? 30.0 : 0.0};
}

constexpr int64_t kTokens = 40, kPageSize = 16;

std::vector<int32_t> some_tokens() {
  Random random(4);
  std::vector<int32_t> tokens(kTokens);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(50));
  return tokens;
}

/// Logits of a whole sequence, from a graph as it is trained.
Session whole_session(const LanguageOptions& options) {
  Graph graph;
  const Tensor tokens = graph.input("tokens", {DType::i32, {1, kTokens}});
  graph.output("logits", build_language_model(nn::Scope(graph, false), tokens, options).logits);
  Session session(std::move(graph), {.seed = 8});
  for (const TensorView& view : session.state())  // larger, so that attention has something to tell
    if (view.type.shape.size() > 1)
      for (float& number : view.as()) number *= view.type.shape.size() == 2 ? 8.0f : 2.0f;
  std::ranges::copy(some_tokens(), session.input("tokens").as<int32_t>().begin());
  session.run();
  return session;
}

/// The same model, continuing, `rows` tokens a run.
Session continued_session(const LanguageOptions& options, int64_t rows,
                          const nn::WeightFormats& formats, const Session* state_of = nullptr) {
  Graph graph;
  const Type of_rows = {DType::i32, {rows}};
  const nn::Scope scope(graph, formats);
  const nn::Sequences sequences = {.positions = graph.input("positions", of_rows),
                                   .rows = graph.input("rows", of_rows),
                                   .pages = graph.input("pages", {DType::i32, {1, 4}}),
                                   .page_size = kPageSize,
                                   .page_count = 4};
  graph.output(
      "logits",
      build_language_model(scope, graph.input("tokens", of_rows), options, sequences).logits);
  CompileOptions compile;
  compile.state_of = state_of;
  return Session(std::move(graph), compile);
}

/// All logits, with the tokens taken `rows` at a time.
std::vector<float> continue_with(Session& session, int64_t rows) {
  const std::vector<int32_t> tokens = some_tokens();
  const int32_t pages[] = {2, 0, 3, 1};
  std::ranges::copy(pages, session.input("pages").as<int32_t>().begin());
  std::vector<float> logits;
  for (int64_t first = 0; first < kTokens; first += rows) {
    for (int64_t i = 0; i < rows; ++i) {
      const auto at = static_cast<size_t>(i);
      const bool there = first + i < kTokens;
      session.input("tokens").as<int32_t>()[at] =
          there ? tokens[static_cast<size_t>(first) + at] : 0;
      session.input("positions").as<int32_t>()[at] = there ? static_cast<int32_t>(first + i) : -1;
    }
    session.run();
    const auto found = session.output("logits").as();
    logits.insert(logits.end(), found.begin(), found.end());
  }
  logits.resize(static_cast<size_t>(kTokens) * 50);
  return logits;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max<double>(largest, std::fabs(a[i] - b[i]));
  return largest;
}

void pack(BlockFormat format, int64_t columns, std::span<const float> matrix,
          std::span<std::byte> panels) {
  std::vector<std::byte> rows(
      static_cast<size_t>(std::ssize(matrix) / columns * row_bytes(format, columns)));
  quantize(format, matrix, rows);
  pack_panels(format, columns, rows, panels);
}

/// Takes over the weights of a session as it is trained, whatever the format.
void take_weights(const Session& from, const Session& to, const nn::WeightFormats& formats) {
  for (const TensorView& view : to.state()) {
    const TensorView trained = from.state(view.name);
    if (view.type == trained.type) {
      std::ranges::copy(trained.bytes, view.bytes.begin());
      continue;
    }
    const BlockFormat format = *formats(view.name);
    const Shape& shape = trained.type.shape;
    const std::span<const float> numbers = trained.as();
    if (shape.size() == 2) {
      pack(format, shape[1], numbers, view.bytes);
      continue;
    }
    const int64_t size = shape[1] * shape[2];  // of one expert's, which is trained transposed
    const size_t bytes = view.bytes.size() / static_cast<size_t>(shape[0]);
    for (int64_t expert = 0; expert < shape[0]; ++expert) {
      std::vector<float> matrix(static_cast<size_t>(size));
      for (int64_t i = 0; i < size; ++i)
        matrix[static_cast<size_t>(i % shape[2] * shape[1] + i / shape[2])] =
            numbers[static_cast<size_t>(expert * size + i)];
      pack(format, shape[1], matrix,
           view.bytes.subspan(static_cast<size_t>(expert) * bytes, bytes));
    }
  }
}

}  // namespace

TEST_CASE(
    "language models: a sequence continued by any number of tokens is the whole, to rounding") {
  for (const models::LanguageArchitecture& architecture : models::language_models()) {
    INFO(architecture.name);
    const LanguageOptions options = small(architecture.name);
    const Session whole = whole_session(options);
    for (const std::optional<BlockFormat> format :
         {std::optional<BlockFormat>(), std::optional(BlockFormat::f32)}) {
      const nn::WeightFormats formats = [format](const std::string&) { return format; };
      Session one = continued_session(options, 1, formats),
              seven = continued_session(options, 7, formats);
      take_weights(whole, one, formats);
      take_weights(whole, seven, formats);
      const std::vector<float> by_one = continue_with(one, 1), by_seven = continue_with(seven, 7);
      CHECK(largest_difference(by_one, whole.output("logits").as()) < 1e-4);
      if (format) CHECK(largest_difference(by_one, by_seven) == 0);
    }
  }
}

TEST_CASE("language models: sessions for other numbers of rows go on in one another's pages") {
  const LanguageOptions options = small("llama");
  const Session whole = whole_session(options);
  const nn::WeightFormats formats = [](const std::string&) {
    return std::optional(BlockFormat::f32);
  };
  Session first = continued_session(options, 1, formats);
  Session second = continued_session(options, 32, formats, &first);
  take_weights(whole, first, formats);
  continue_with(second, 32);
  // the last token again, by the other session: all before it stands in the pages
  const int32_t pages[] = {2, 0, 3, 1};
  std::ranges::copy(pages, first.input("pages").as<int32_t>().begin());
  first.input("tokens").as<int32_t>()[0] = some_tokens().back();
  first.input("positions").as<int32_t>()[0] = kTokens - 1;
  first.run();
  CHECK(largest_difference(first.output("logits").as(), whole.output("logits").as().last(50)) <
        1e-4);
}

TEST_CASE("language models: an unknown architecture is named with those that there are") {
  Graph graph;
  const Tensor tokens = graph.input("tokens", {DType::i32, {1, 4}});
  CHECK_THROWS_WITH_AS(build_language_model(nn::Scope(graph, false), tokens, small("lama")),
                       doctest::Contains("there is no architecture lama"), Error);
}
