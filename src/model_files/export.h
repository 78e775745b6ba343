#pragma once
#include <optional>
#include <vector>

#include "model_files/language_model.h"

/// Models written for other programs.
namespace argosy::model_files {

/// What became of the weights that got one format.
struct FormatShare {
  BlockFormat format = BlockFormat::f32;
  int64_t weights = 0, numbers = 0, bytes = 0;
  double error = 0;  ///< root of the mean squared difference to the model, over that of the numbers
};

/// The format of a weight when its model is to have `wanted`: vectors (of norms) stay f32, tables
/// over the vocabulary get no fewer than 8 bits, and rows that are no whole blocks of `wanted` get
/// the next format up whose blocks they are.
BlockFormat quantised_format(const StoredTensor& weight, int64_t vocabulary, BlockFormat wanted);

/// A GGUF file that llama.cpp loads, tokenizer and chat template included. Without `wanted`, each
/// weight keeps its format.
/// throws Error: a number is not finite or too large for the format, the tokenizer is of a kind
///        that GGUF has not, the file cannot be written
std::vector<FormatShare> write_gguf_model(const LanguageModel& model, const Path& file,
                                          std::optional<BlockFormat> wanted);

/// A folder that transformers loads. `wanted` is f32, f16 or bf16; without it each weight keeps its
/// format, and blocks become f32.
std::vector<FormatShare> write_hugging_face_model(const LanguageModel& model, const Path& folder,
                                                  std::optional<BlockFormat> wanted);

}  // namespace argosy::model_files
