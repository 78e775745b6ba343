#include "bench/decode.h"

#include <doctest/doctest.h>

using namespace argosy;

TEST_CASE("bench: a model of one token decodes and reads prompts") {
  const models::LanguageOptions model = {.architecture = "llama",
                                         .vocabulary = 1,
                                         .context = 16,
                                         .width = 32,
                                         .layers = 1,
                                         .heads = 1,
                                         .key_heads = 1,
                                         .head_width = 32,
                                         .hidden = 32};
  bench::DecodeBench bench(bench::random_decoder(model, BlockFormat::q8_0, {.context = 16}));
  CHECK(bench.decode(3).tokens == 3);
  CHECK(bench.prefill(5).tokens == 5);
}
