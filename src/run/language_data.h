#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/files.h"
#include "run/recipe.h"
#include "text/tokenizer.h"

namespace argosy::run {

constexpr size_t kLargestText = size_t{1} << 31;  ///< bytes of a text that is read whole

/// Where a sample goes: as many of each as the context has tokens.
struct Sample {
  std::span<text::Token> tokens;
  std::span<text::Token> targets;  ///< the token that follows; negative: none that counts
  std::span<int32_t> segments;     ///< the document that a token is of, from 0 on
};

/// What a language model learns from, and what is held out of it: the data of a recipe. Which
/// sample has which number is a pure function of recipe and text.
class LanguageData {
 public:
  virtual ~LanguageData() = default;

  virtual const text::Tokenizer& tokenizer() const = 0;
  /// Whether a sample may have several documents, which shall not see each other.
  virtual bool segmented() const = 0;

  virtual void training_sample(int64_t number, const Sample& to) = 0;
  virtual int64_t samples_per_epoch() const = 0;  ///< as many as have the length of all of it
  virtual void held_out_sample(int64_t number, const Sample& to) = 0;
  virtual int64_t held_out_samples() const = 0;

  /// Some tokens to go on from.
  virtual std::span<const text::Token> beginning() const = 0;
  /// Leaves the tokenizer in the run's folder, and a note of what it learns from.
  virtual void remember(const Path& run) const = 0;
};

/// The data that data.path names: a token store, or a text file, which is held in memory.
///
/// begun   the run that goes on, or empty
/// throws  Error: there is none, it is too short, it is not what the run learned from so far
std::unique_ptr<LanguageData> open_language_data(const Recipe& recipe, const Path& begun = {});

/// Whether the run learns from the file or store at `path`, as far as its note tells.
bool learns_from(const Path& run, const Path& path);

/// The tokens of a text in pieces that lie end to end: how many there are, and each.
int64_t piece_count(std::span<const text::Token> tokens, int64_t context);
void put_piece(std::span<const text::Token> tokens, int64_t number, const Sample& to);

}  // namespace argosy::run
