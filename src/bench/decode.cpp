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
  return static_cast<int32_t>(i * 7919 % (vocabulary - 1) + 1);
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
  double total = 0;
  for (const TensorView& view : decoder_.weights())
    if (decoder_.model().tied || view.name != "embedding/weight")
      total += static_cast<double>(view.bytes.size());
  return total;
}

run::Decoder random_decoder(BlockFormat format, const run::DecoderOptions& options) {
  const nn::WeightFormats formats = [format](const std::string&) { return std::optional(format); };
  run::Decoder decoder({.architecture = "llama",
                        .vocabulary = 32000,
                        .context = 2048,
                        .width = 768,
                        .layers = 12,
                        .heads = 12,
                        .key_heads = 12,
                        .head_width = 64,
                        .hidden = 2048,
                        .tied = false},
                       formats, options);
  Random random(1);
  for (const TensorView& view : decoder.weights()) {
    if (view.type.dtype == DType::f32) {
      std::ranges::fill(view.as(), 1.0f);
      continue;
    }
    const int64_t columns = view.name.ends_with("down/weight") ? 2048 : 768;
    std::vector<float> numbers(static_cast<size_t>(kPanelRows * columns));
    for (float& number : numbers) number = 0.02f * random.normal();
    std::vector<std::byte> rows(static_cast<size_t>(kPanelRows * row_bytes(format, columns)));
    quantize(format, numbers, rows);
    const auto panel = view.bytes.first(static_cast<size_t>(view.type.shape[1]));
    pack_panels(format, columns, rows, panel);
    for (auto rest = view.bytes.begin() + std::ssize(panel); rest != view.bytes.end();)
      rest = std::copy(panel.begin(), panel.end(), rest);  // all panels alike: only timed
  }
  return decoder;
}

}  // namespace argosy::bench
