#pragma once
#include <cstdint>
#include <string>

#include "base/files.h"

namespace argosy::run {

/// How well a trained language model foretells a text.
struct TextScores {
  int64_t step = 0;  ///< of the checkpoint; 0 of a model in files
  int64_t tokens = 0, bytes = 0;
  bool held_out = false;  ///< the text is the run's own, and this is the part it did not learn from
  double loss = 0;        ///< nats a token
  double perplexity = 0, bits_per_byte = 0;
};

/// Measures a run on a text file: on all of it, or, where the run learned from that very text, on
/// what it held out. The text is cut into pieces as long as the context, each of which begins anew.
///
/// checkpoint  "last", "best" or a step
/// throws      Error: no such run, checkpoint or text; a text that is too short, or that the run's
///             vocabulary cannot spell
TextScores score_text(const Path& run, const Path& text, const std::string& checkpoint);

/// Measures a model as open_language_model() opens it on all of a text, in windows of kLossWindow
/// (language_loss.h).
///
/// throws      Error: no such model or text, a text that is too short
TextScores score_model(const std::string& name_or_path, const Path& text);

}  // namespace argosy::run
