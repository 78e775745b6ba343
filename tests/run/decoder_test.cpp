#include "run/decoder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <deque>

#include "base/random.h"
#include "ir/panels.h"
#include "run/language_loss.h"

using namespace argosy;
using run::Decoder;

namespace {

/// Of each architecture that files have.
models::LanguageOptions sizes(const std::string& architecture) {
  const bool grok = architecture == "grok";
  return {.architecture = architecture,
          .vocabulary = 40,
          .context = 64,
          .width = 32,
          .layers = 2,
          .heads = 4,
          .key_heads = 2,
          .head_width = 16,
          .hidden = 96,
          .experts = grok ? 5 : 0,
          .active = grok ? 2 : 0,
          .soft_cap = grok ? 30.0 : 0.0};
}

/// A model in memory, as if a file held it.
struct Made {
  model_files::LanguageModel model;
  std::deque<std::vector<std::byte>> bytes;

  explicit Made(BlockFormat format, const std::string& architecture = "llama") {
    model.name = "made";
    model.options = sizes(architecture);
    Graph graph;  // for the names and shapes of the weights
    build_language_model(nn::Scope(graph, false), graph.input("tokens", {DType::i32, {1, 4}}),
                         model.options);
    Random random(2);
    for (const Variable& variable : graph.variables()) {
      model_files::Weight& weight = model.weights.emplace_back();
      weight.name = variable.name, weight.shape = graph.type(variable.value).shape;
      const size_t rank = weight.shape.size();
      if (rank == 3) std::swap(weight.shape[1], weight.shape[2]);  // see nn::Weight
      std::vector<float> numbers(static_cast<size_t>(count(weight.shape)));
      for (float& number : numbers) number = rank > 1 ? 0.2f * random.normal() : 1.0f;
      if (rank > 1 && !weight.name.ends_with("router/weight")) weight.format = format;
      std::vector<std::byte>& stored =
          bytes.emplace_back(static_cast<size_t>(weight.rows() * weight.bytes_per_row()));
      quantize(weight.format, numbers, stored);
      weight.bytes = stored;
    }
  }
};

/// Logits of the whole sequence by a graph as it is trained.
std::vector<float> whole(const model_files::LanguageModel& model,
                         const std::vector<int32_t>& tokens) {
  Graph graph;
  const Tensor input = graph.input("tokens", {DType::i32, {1, std::ssize(tokens)}});
  graph.output("logits",
               build_language_model(nn::Scope(graph, false), input, model.options).logits);
  Session session(std::move(graph));
  for (const TensorView& view : session.state()) {
    const model_files::Weight& weight = *model.find(view.name);
    // of experts the matrices are trained the other way
    std::ranges::copy(weight.shape.size() == 3 ? read_columns(weight) : read_numbers(weight),
                      view.as().begin());
  }
  std::ranges::copy(tokens, session.input("tokens").as<int32_t>().begin());
  session.run();
  const auto logits = session.output("logits").as();
  return {logits.begin(), logits.end()};
}

std::vector<int32_t> some_tokens(int64_t count) {
  Random random(6);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(40));
  return tokens;
}

/// The root of the mean square of a - b, as a share of b's.
double relative_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max<double>(largest, std::fabs(a[i] - b[i]));
  return largest;
}

constexpr size_t kVocabulary = 40;

}  // namespace

TEST_CASE("decoder: with a model's weights it gives what the whole sequence gives") {
  const std::vector<int32_t> tokens = some_tokens(37);
  for (const char* architecture : {"llama", "grok"})
    for (const auto& [format, limit] : {std::pair{BlockFormat::f32, 1e-5},
                                        {BlockFormat::f16, 1e-5},
                                        {BlockFormat::q8_0, 0.1},
                                        {BlockFormat::q4_1, 0.1}}) {
      INFO(fmt::format("{} {}", architecture, format));
      const Made made(format, architecture);
      const std::vector<float> wanted = whole(made.model, tokens);
      Decoder decoder = run::open_decoder(made.model, {.context = 64, .page_size = 16});
      for (int32_t page = 3; int32_t& entry : decoder.pages(0)) entry = page--;
      std::vector<Decoder::Row> rows;
      for (size_t i = 0; i < 30; ++i)
        rows.push_back({.token = tokens[i], .position = static_cast<int32_t>(i)});
      rows[11].answers = rows[29].answers = true;
      const auto logits = decoder.run(rows);
      REQUIRE(logits.size() == 2 * kVocabulary);
      const std::span<const float> all = wanted;
      CHECK(relative_difference(logits.first(kVocabulary),
                                all.subspan(11 * kVocabulary, kVocabulary)) < limit);
      CHECK(relative_difference(logits.last(kVocabulary),
                                all.subspan(29 * kVocabulary, kVocabulary)) < limit);
      for (size_t i = 30; i < tokens.size(); ++i) {
        const Decoder::Row row = {
            .token = tokens[i], .position = static_cast<int32_t>(i), .answers = true};
        CHECK(relative_difference(decoder.run({&row, 1}),
                                  all.subspan(i * kVocabulary, kVocabulary)) < limit);
      }
    }
}

TEST_CASE("decoder: a row gives the same bits in a program of any size") {
  for (const char* architecture : {"llama", "grok"}) {
    INFO(architecture);
    const Made made(BlockFormat::q4_0, architecture);
    Decoder decoder =
        run::open_decoder(made.model, {.context = 64, .sequences = 3, .page_size = 16});
    for (int32_t page = 0; page < 12; ++page)
      decoder.pages(page / 4)[static_cast<size_t>(page % 4)] = page;
    const std::vector<int32_t> tokens = some_tokens(20);
    std::vector<std::vector<float>> found;
    for (const size_t beside : {0, 1, 3, 7, 40, 130}) {
      std::vector<Decoder::Row> rows;
      for (size_t i = 0; i < tokens.size(); ++i)
        rows.push_back({.token = tokens[i], .position = static_cast<int32_t>(i)});
      decoder.run(rows);
      rows = {{.token = 7, .position = 20, .answers = true}};
      for (size_t i = 0; i < beside; ++i)  // tokens of other sequences
        rows.push_back({.token = static_cast<int32_t>(i % 40),
                        .position = static_cast<int32_t>(i / 2 % 64),
                        .sequence = static_cast<int32_t>(1 + i % 2)});
      const auto logits = decoder.run(rows);
      found.emplace_back(logits.begin(), logits.end());
      CHECK(largest_difference(found[0], found.back()) == 0);
    }
  }
}

TEST_CASE("decoder: the matrices of experts are kept in the format of the file") {
  const Made made(BlockFormat::q4_0, "grok");
  const Decoder decoder = run::open_decoder(made.model, {.context = 64, .page_size = 16});
  for (const TensorView& view : decoder.weights())
    if (const model_files::Weight& weight = *made.model.find(view.name); weight.shape.size() == 3) {
      INFO(view.name);
      CHECK(view.type == panels_type(BlockFormat::q4_0, weight.shape));
    }
}

TEST_CASE("language loss: that of the whole text's logits, window by window") {
  const Made made(BlockFormat::f32);
  Decoder decoder = run::open_decoder(made.model, {.context = 30, .page_size = 16});
  const std::vector<int32_t> tokens = some_tokens(71);
  double wanted = 0;
  int64_t count = 0;
  for (size_t first = 0; first < tokens.size(); first += 30) {
    const std::vector<int32_t> window(
        tokens.begin() + static_cast<std::ptrdiff_t>(first),
        tokens.begin() + static_cast<std::ptrdiff_t>(std::min(tokens.size(), first + 30)));
    const std::vector<float> logits = whole(made.model, window);
    for (size_t i = 0; i + 1 < window.size(); ++i, ++count) {
      double total = 0;
      for (size_t j = 0; j < kVocabulary; ++j) total += std::exp(logits[i * kVocabulary + j]);
      wanted += std::log(total) - logits[i * kVocabulary + static_cast<size_t>(window[i + 1])];
    }
  }
  const run::LanguageLoss loss = run::language_loss(decoder, tokens);
  CHECK(loss.tokens == count);
  CHECK(loss.total == doctest::Approx(wanted).epsilon(1e-4));
}
