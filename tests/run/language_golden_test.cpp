#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "base/random.h"
#include "engine/safetensors.h"
#include "engine/session.h"
#include "model_files/format_tables.h"
#include "model_files/hugging_face_config.h"
#include "run/decoder.h"

// What transformers computes with small models, written by tests/goldens/language_models.py.

using namespace argosy;
using namespace argosy::model_files;
using run::Decoder;

namespace {

std::span<const int32_t> tokens_in(const SafetensorsFile& file, const std::string& name) {
  const NamedTensor* tensor = file.find(name);
  REQUIRE(tensor);
  return {reinterpret_cast<const int32_t*>(tensor->bytes.data()), tensor->bytes.size() / 4};
}

/// The model of a case: its options from config.json, its weights from their names there.
LanguageModel model_of(const std::string& config) {
  const HuggingFaceConfig read = read_config(config, "config.json");
  LanguageModel model;
  model.options = read.options;
  const auto numbers = std::make_shared<std::deque<std::vector<float>>>();
  for (const NamedWeight& named :
       named_weights(*read.format, model.options, &models::WeightName::hugging_face)) {
    const bool norm = named.in_file.find("norm") != std::string::npos;
    const NamedNumbers drawn(named.in_file);
    std::vector<float>& of_one = numbers->emplace_back(count(named.shape));
    for (size_t i = 0; i < of_one.size(); ++i)
      of_one[i] = norm ? static_cast<float>(1 + 0.2 * drawn(i)) : 0.5f * drawn(i);
    Weight& weight = model.weights.emplace_back();
    weight.name = named.name;
    weight.shape = named.shape;
    weight.bytes = std::as_bytes(std::span(of_one));
  }
  model.mapping = numbers;
  return model;
}

/// Logits of whole sequences, from a graph as it is trained.
std::vector<float> trained_logits(const LanguageModel& model, std::span<const int32_t> tokens) {
  Graph graph;
  const Tensor input = graph.input("tokens", {DType::i32, {1, std::ssize(tokens)}});
  graph.output("logits",
               models::build_language_model(nn::Scope(graph, false), input, model.options).logits);
  Session session(std::move(graph));
  for (const TensorView& view : session.state()) {
    REQUIRE(model.find(view.name));
    std::ranges::copy(model.find(view.name)->bytes, view.bytes.begin());
  }
  std::ranges::copy(tokens, session.input("tokens").as<int32_t>().begin());
  session.run();
  const auto logits = session.output("logits").as();
  return {logits.begin(), logits.end()};
}

/// The same from tokens that continue a sequence, and those that follow.
struct Continued {
  std::vector<float> logits;
  std::vector<int32_t> next;
};
Continued continued(const LanguageModel& model, std::span<const int32_t> tokens, size_t count) {
  Decoder decoder = run::open_decoder(model, {.context = 128});
  std::ranges::generate(decoder.pages(0), [page = 0]() mutable { return page++; });
  Continued result;
  std::vector<Decoder::Row> rows;
  for (const int32_t token : tokens)
    rows.push_back(
        {.token = token, .position = static_cast<int32_t>(rows.size()), .answers = true});
  std::span<const float> logits = decoder.run(rows);
  result.logits.assign(logits.begin(), logits.end());
  const auto vocabulary = static_cast<size_t>(model.options.vocabulary);
  for (auto place = static_cast<int32_t>(tokens.size()); result.next.size() < count; ++place) {
    const auto last = logits.last(vocabulary);
    result.next.push_back(static_cast<int32_t>(std::ranges::max_element(last) - last.begin()));
    const Decoder::Row row = {.token = result.next.back(), .position = place, .answers = true};
    logits = decoder.run({&row, 1});
  }
  return result;
}

/// Largest difference, as a share of the largest logit.
double difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(double{a[i]} - b[i]));
    size = std::max(size, std::abs(double{b[i]}));
  }
  return largest / size;
}

}  // namespace

TEST_CASE("language models: logits and greedy tokens are those of transformers") {
  const SafetensorsFile file(Path(ARGOSY_SOURCE_DIR) / "tests/goldens/language_models.safetensors");
  constexpr std::string_view kConfig = "config/";
  REQUIRE(file.metadata().size() >= 4);
  for (const auto& [key, config] : file.metadata()) {
    if (!key.starts_with(kConfig)) continue;
    const std::string name = key.substr(kConfig.size());
    INFO(name);
    const LanguageModel model = model_of(config);
    const auto tokens = tokens_in(file, name + "/tokens"),
               greedy = tokens_in(file, name + "/greedy");
    const NamedTensor* golden = file.find(name + "/logits");
    REQUIRE(golden);
    const std::span logits(reinterpret_cast<const float*>(golden->bytes.data()),
                           golden->bytes.size() / sizeof(float));
    CHECK(difference(trained_logits(model, tokens), logits) < 1e-5);
    const Continued found = continued(model, tokens, greedy.size());
    CHECK(difference(found.logits, logits) < 1e-5);
    CHECK(std::ranges::equal(found.next, greedy));
  }
}
