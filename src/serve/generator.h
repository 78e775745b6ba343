#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace argosy::run {
class Decoder;
}
namespace argosy::model_files {
struct LanguageModel;
}

namespace argosy::serve {

using text::Token;

/// How the next token is chosen from the logits. The order is: penalties, `allow`, temperature,
/// top_k, top_p, min_p, one draw.
struct Sampling {
  double temperature = 1;  ///< 0: the most probable (greedy)
  double top_p = 1, min_p = 0;
  int64_t top_k = 0;  ///< 0: all
  double presence_penalty = 0, frequency_penalty = 0, repetition_penalty = 1;
  std::vector<std::pair<Token, float>> bias;  ///< added to the logits
  uint64_t seed = 0;  ///< the same seed and prompt give the same tokens, whatever else runs
  /// So many of the most probable are returned with each token, and its logprob; -1: neither.
  int64_t logprobs = -1;
};

/// Limits what may come next (a JSON schema, say). Called on the generator's thread.
class Constraint {
 public:
  virtual ~Constraint() = default;
  /// Clears the bits of tokens that may not come next. [vocabulary]
  virtual void allow(std::vector<bool>& allowed) = 0;
  virtual void accept(Token token) = 0;
};

struct Generated {
  Token token = 0;
  /// ln of its probability before penalties and filters, where logprobs are asked for.
  float logprob = 0;
  std::vector<std::pair<Token, float>> others;  ///< the most probable, if asked for
};

enum class Finish { stop, length, cancelled, failed };

struct Usage {
  int64_t prompt = 0, cached = 0;  ///< tokens of the prompt; of these, found in the cache
  int64_t generated = 0;
  double wait_s = 0, prefill_s = 0, decode_s = 0;
};

struct Request {
  std::vector<Token> prompt;  ///< at least one token
  int64_t max_tokens = 0;
  std::vector<Token> ends;  ///< tokens that end the answer; they are not given out
  Sampling sampling;
  std::shared_ptr<Constraint> constraint;
  /// Each token as it comes, on the generator's thread: return at once. False cancels.
  std::function<bool(const Generated&)> on_token;
  /// Each token of the prompt behind the first, as if it had been chosen; before the first
  /// on_token. The prompt is computed for that, whatever the cache holds.
  std::function<void(const Generated&)> on_prompt;
  /// Once, last, also after cancel(). `error` says what failed.
  std::function<void(Finish, const Usage&, const std::string& error)> on_end;
};

/// What the generator does at the moment and has done, for /metrics.
struct GeneratorState {
  int64_t running = 0, waiting = 0;
  int64_t pages = 0, pages_used = 0, pages_cached = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
};

/// Continues token sequences, many at a time. What a request gets does not depend on what else
/// runs, bit for bit.
/// threads  any number may call; callbacks come from the generator's own
class Generator {
 public:
  virtual ~Generator() = default;
  virtual int64_t context() const = 0;  ///< most tokens of prompt and answer together
  virtual int64_t vocabulary() const = 0;
  /// Queues a request. Its prompt must be shorter than context().
  virtual uint64_t submit(Request request) = 0;
  /// Ends a request early; unknown numbers are ignored.
  virtual void cancel(uint64_t request) = 0;
  virtual GeneratorState state() const = 0;
};

/// A generator of a decoder's model. Requests wait in the order in which they came; each step
/// continues all that run, and takes parts of prompts beside them. Pages whose tokens are computed
/// are kept for prompts that begin alike. If pages run out, the youngest request gives its own up
/// and is computed again later.
std::unique_ptr<Generator> make_generator(run::Decoder decoder);

struct GeneratorOptions {
  int64_t context = 0;     ///< 0: the model's own, or what the cache holds if that is less
  int64_t sequences = 16;  ///< that are continued at a time, at most 64
  size_t cache_bytes = size_t{1} << 30;  ///< for keys and values
};

/// Loads the model's weights.
/// throws  Error: an option beyond its limits; the machine's memory does not suffice
std::unique_ptr<Generator> open_generator(const model_files::LanguageModel& model,
                                          const GeneratorOptions& options);

}  // namespace argosy::serve
