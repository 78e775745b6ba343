#include "bench/decode.h"

#include <time.h>

#include <algorithm>
#include <chrono>

#include "base/random.h"
#include "ir/panels.h"

namespace argosy::bench {
namespace {

double process_cpu_s() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <typename Body>
DecodeTimes timed(int64_t tokens, Body body) {
  const auto start = std::chrono::steady_clock::now();
  const double cpu = process_cpu_s();
  body();
  return {tokens, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          process_cpu_s() - cpu};
}

/// Some token of the vocabulary.
int32_t token_at(int64_t i, int64_t vocabulary) {
  return static_cast<int32_t>(i * 7919 % vocabulary);
}

}  // namespace

void DecodeBench::take_pages() {
  int32_t page = 0;
  for (int64_t i = 0; i < decoder_.options().sequences; ++i)
    for (int32_t& entry : decoder_.pages(i)) entry = page++;
}

DecodeTimes DecodeBench::decode(int64_t tokens, int64_t sequences) {
  take_pages();
  std::vector<run::Decoder::Row> rows(static_cast<size_t>(sequences));
  decoder_.session(sequences, sequences);  // compiled before the clock runs
  return timed(tokens * sequences, [&] {
    for (int64_t i = 0; i < tokens; ++i) {
      for (int64_t s = 0; s < sequences; ++s)
        rows[static_cast<size_t>(s)] = {.token = token_at(i + s, decoder_.model().vocabulary),
                                        .position = static_cast<int32_t>(i),
                                        .sequence = static_cast<int32_t>(s),
                                        .answers = true};
      decoder_.run(rows);
    }
  });
}

DecodeTimes DecodeBench::prefill(int64_t tokens) {
  take_pages();
  std::vector<run::Decoder::Row> rows;
  decoder_.session(std::min(tokens, run::Decoder::kMostRows), 1);
  return timed(tokens, [&] {
    for (int64_t i = 0; i < tokens;) {
      rows.clear();
      for (; i < tokens && std::ssize(rows) < run::Decoder::kMostRows; ++i)
        rows.push_back({.token = token_at(i, decoder_.model().vocabulary),
                        .position = static_cast<int32_t>(i),
                        .answers = i + 1 == tokens});
      decoder_.run(rows);
    }
  });
}

double DecodeBench::bytes_per_token() const {
  const models::LanguageOptions& model = decoder_.model();
  double total = 0;
  for (const TensorView& view : decoder_.weights())
    if (model.tied || view.name != "embedding/weight") {
      const auto bytes = static_cast<double>(view.bytes.size());
      const bool of_experts = view.type.shape.size() == 3;  // panels of each expert
      total += of_experts
                   ? bytes * static_cast<double>(model.active) / static_cast<double>(model.experts)
                   : bytes;
    }
  return total;
}

std::optional<models::LanguageOptions> synthetic_model(std::string_view architecture) {
  models::LanguageOptions model = {.architecture = std::string(architecture),
                                   .vocabulary = 32000,
                                   .context = 2048,
                                   .head_width = 64};
  if (architecture == "llama") {
    model.width = 768, model.hidden = 2048, model.layers = 12;
    model.heads = model.key_heads = 12;
    model.tied = false;
    return model;
  }
  if (architecture == "grok") {
    model.width = 1024, model.hidden = 2048, model.layers = 8;
    model.heads = 16, model.key_heads = 4;
    model.experts = 8, model.active = 2;
    model.soft_cap = 30;
    return model;
  }
  return std::nullopt;
}

run::Decoder random_decoder(const models::LanguageOptions& model, BlockFormat format,
                            const run::DecoderOptions& options) {
  const nn::WeightFormats formats = [format](const std::string& name) {
    return std::optional(name.ends_with("router/weight") ? BlockFormat::f32 : format);
  };
  run::Decoder decoder(model, formats, options);
  Random random(1);
  for (const TensorView& view : decoder.weights()) {
    if (view.type.dtype == DType::f32) {
      std::ranges::fill(view.as(), 1.0f);
      continue;
    }
    const BlockFormat kept = *formats(view.name);
    const auto size = static_cast<size_t>(view.type.shape.back());
    const bool wide = panel_bytes(kept, model.width) == view.type.shape.back();
    const int64_t columns = wide ? model.width : model.hidden;
    std::vector<float> numbers(static_cast<size_t>(kPanelRows * columns));
    for (float& number : numbers) number = 0.02f * random.normal();
    std::vector<std::byte> rows(static_cast<size_t>(kPanelRows * row_bytes(kept, columns)));
    quantize(kept, numbers, rows);
    const auto panel = view.bytes.first(size);
    pack_panels(kept, columns, rows, panel);
    for (auto rest = view.bytes.begin() + std::ssize(panel); rest != view.bytes.end();)
      rest = std::copy(panel.begin(), panel.end(), rest);  // all panels alike: only timed
  }
  return decoder;
}

}  // namespace argosy::bench
