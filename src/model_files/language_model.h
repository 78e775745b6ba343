#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "engine/stored_tensor.h"
#include "models/language.h"
#include "text/tokenizer.h"

namespace argosy::model_files {

/// A weight of a model where a file holds it.
struct Weight : StoredTensor {  ///< under the model's own name
  /// Heads whose rows stand in neighbouring pairs in the file (models::WeightName::paired_heads);
  /// 0: the rows stand as the model has them.
  int64_t paired_heads = 0;
  /// The file has the columns one behind another instead of the rows, of every matrix (f32).
  bool transposed = false;

  /// Where row `row` of the model stands in the file.
  int64_t stored_row(int64_t row) const;
};

/// Rows [first_row, ...) of a weight in the model's order, in the format that the file has.
/// bytes  whole rows
/// threads  any number at once
void read_rows(const Weight& weight, int64_t first_row, std::span<std::byte> bytes);
/// The same in another format; the two are the same bytes where nothing is to be converted.
void read_rows_as(BlockFormat format, const Weight& weight, int64_t first_row,
                  std::span<std::byte> bytes);
/// All of it, as f32.
std::vector<float> read_numbers(const Weight& weight);
/// The same with the columns of every matrix one behind another.
std::vector<float> read_columns(const Weight& weight);

/// A language model as its files hold it: looked at and checked, nothing loaded.
struct LanguageModel {
  std::string name;  ///< for people and for the API's "model"
  Path path;         ///< the file or folder
  std::string kind;  ///< "GGUF", "Hugging Face", "run"
  models::LanguageOptions options;
  std::vector<Weight> weights;  ///< every parameter of the model, once, of the right shape
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::string chat_template;            ///< as the files have it (Jinja); "" where they have none
  std::shared_ptr<const void> mapping;  ///< keeps the weights' bytes

  const Weight* find(std::string_view weight) const;
  int64_t parameters() const;
  size_t bytes() const;  ///< of the weights as stored
};

/// Opens a GGUF file, a folder as Hugging Face has it, or a folder with one GGUF file.
///
/// throws  Error (file): it is none of these, a file is broken, an option is missing or out of its
///         limits, a weight is missing, too many or of another shape, the tokenizer does not fit
///         the model; each with the file and the key
LanguageModel open_model(const Path& path);

/// True for any file, and for folders that open_model() knows.
bool is_model(const Path& path);

}  // namespace argosy::model_files
