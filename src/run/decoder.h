#pragma once
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/session.h"
#include "model_files/language_model.h"
#include "models/language.h"

namespace argosy::run {

struct DecoderOptions {
  int64_t context = 0;     ///< most tokens of a sequence
  int64_t sequences = 1;   ///< that are continued at a time
  int64_t page_size = 32;  ///< tokens in a page of keys and values
  int64_t page_count = 0;  ///< 0: as many as all sequences can fill
  DType page_dtype = DType::f32;
};

/// A language model that continues sequences, rows of many of them at a time. What a row gives does
/// not depend on the rows beside it, bit for bit. Programs for the numbers of rows that occur are
/// compiled when they are first needed; they share the weights and the pages.
/// threads  one at a time
class Decoder {
 public:
  /// formats  of the matrices, by name
  Decoder(const models::LanguageOptions& model, nn::WeightFormats formats,
          const DecoderOptions& options);

  /// One token; it goes to `position` of `sequence`, whose tokens before it must be there.
  struct Row {
    int32_t token = 0, position = 0, sequence = 0;
    bool answers = false;  ///< its logits are wanted
  };
  static constexpr int64_t kMostRows = 256, kMostAnswers = 64;  ///< of one run

  /// Logits of the rows that answer, [answers, vocabulary], until the next run. The pages of the
  /// rows' sequences must reach to their positions.
  std::span<const float> run(std::span<const Row> rows);

  /// The pages of a sequence, in order: numbers below page_count(). To be filled by the caller.
  std::span<int32_t> pages(int64_t sequence);

  const models::LanguageOptions& model() const { return model_; }
  const DecoderOptions& options() const { return options_; }
  int64_t page_count() const { return options_.page_count; }

  /// The weights, to be filled before the first run.
  std::vector<TensorView> weights() const { return programs_.begin()->second.session.state(); }
  const Session& session(int64_t rows, int64_t answers);  ///< for those who look inside

 private:
  struct Size {
    int64_t rows, answers;
    auto operator<=>(const Size&) const = default;
  };
  struct Compiled {
    Session session;
    std::span<int32_t> tokens, positions, sequences, answers;
    std::span<const float> logits;
  };
  static Size size_for(int64_t rows, int64_t answers);
  Compiled& program(const Size& size);
  Session compile(const Size& size) const;

  models::LanguageOptions model_;
  nn::WeightFormats formats_;
  DecoderOptions options_;
  std::map<Size, Compiled> programs_;
};

/// A decoder with the model's weights, in the formats that its files have.
/// throws  Error: the machine's memory does not suffice
Decoder open_decoder(const model_files::LanguageModel& model, const DecoderOptions& options);

/// Fills the weights of a decoder of this model.
void load_weights(const model_files::LanguageModel& model, const Decoder& decoder);

}  // namespace argosy::run
