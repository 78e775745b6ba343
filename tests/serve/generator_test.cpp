#include "serve/generator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "base/random.h"
#include "run/decoder.h"

using namespace argosy;
using namespace argosy::serve;

namespace {

constexpr int64_t kContext = 96, kVocabulary = 60;

/// A small model with random weights, in whole numbers.
run::Decoder decoder(const run::DecoderOptions& options = {
                         .context = kContext, .sequences = 4, .page_size = 16}) {
  const nn::WeightFormats formats = [](const std::string&) {
    return std::optional(BlockFormat::f32);
  };
  run::Decoder made({.architecture = "llama",
                     .vocabulary = kVocabulary,
                     .context = kContext,
                     .width = 32,
                     .layers = 2,
                     .heads = 4,
                     .key_heads = 2,
                     .head_width = 8,
                     .hidden = 64},
                    formats, options);
  Random random(12);
  for (const TensorView& view : made.weights())
    for (float& number : view.as())
      number = view.type.dtype == DType::f32 ? 1.0f : 0.25f * random.normal();
  return made;
}

std::vector<Token> prompt(int64_t length, uint64_t seed) {
  Random random(seed);
  std::vector<Token> tokens(static_cast<size_t>(length));
  for (Token& token : tokens) token = static_cast<Token>(random.below(kVocabulary));
  return tokens;
}

struct Result {
  std::vector<Token> tokens;
  Finish finish = Finish::failed;
  Usage usage;
  std::string error;
  bool ended = false;
};

/// Collects answers; waits for them.
class Answers {
 public:
  /// The number of the request, for get().
  size_t ask(Generator& generator, Request request) {
    const std::scoped_lock lock(mutex_);
    const size_t index = results_.size();
    results_.emplace_back();
    const auto own = std::move(request.on_token);
    request.on_token = [this, index, own](const Generated& generated) {
      {
        const std::scoped_lock inner(mutex_);
        results_[index].tokens.push_back(generated.token);
      }
      return own ? own(generated) : true;
    };
    request.on_end = [this, index](Finish finish, const Usage& usage, const std::string& error) {
      const std::scoped_lock inner(mutex_);
      Result& result = results_[index];
      result.finish = finish, result.usage = usage, result.error = error, result.ended = true;
      changed_.notify_all();
    };
    numbers_.push_back(generator.submit(std::move(request)));
    return index;
  }
  Result get(size_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return results_[index].ended; });
    return results_[index];
  }
  uint64_t number(size_t index) const { return numbers_[index]; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Result> results_;
  std::vector<uint64_t> numbers_;
};

Request request(int64_t length, uint64_t seed, int64_t max_tokens = 20, double temperature = 0) {
  return {.prompt = prompt(length, seed),
          .max_tokens = max_tokens,
          .sampling = {.temperature = temperature, .seed = seed}};
}

Result alone(const Request& asked) {
  const auto generator = make_generator(decoder());
  Answers answers;
  return answers.get(answers.ask(*generator, asked));
}

/// Greedy decoding with nothing of the generator: the whole sequence again for every token.
std::vector<Token> plain_greedy(std::vector<Token> tokens, int64_t count) {
  run::Decoder model = decoder();
  std::vector<Token> answer;
  for (int32_t page = 0; auto& entry : model.pages(0)) entry = page++;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<run::Decoder::Row> rows;
    for (const Token token : tokens)
      rows.push_back({.token = token, .position = static_cast<int32_t>(rows.size())});
    rows.back().answers = true;
    const auto logits = model.run(rows);
    answer.push_back(static_cast<Token>(std::ranges::max_element(logits) - logits.begin()));
    tokens.push_back(answer.back());
  }
  return answer;
}

}  // namespace

TEST_CASE("generator: greedy answers are those of plain decoding, token by token") {
  for (const int64_t length : {1, 15, 16, 33}) {
    INFO(length);
    const Result result = alone(request(length, 3));
    CHECK(result.finish == Finish::length);
    CHECK(result.tokens == plain_greedy(prompt(length, 3), 20));
    CHECK(result.usage.prompt == length);
    CHECK(result.usage.generated == 20);
  }
}

TEST_CASE("generator: an answer is the same whatever else runs, drawn ones as well") {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 9; ++i)
    requests.push_back(request(static_cast<int64_t>(5 + 7 * i), i, 15, i % 2 == 0 ? 0 : 1));
  std::vector<Result> wanted;
  for (const Request& each : requests) wanted.push_back(alone(each));
  const auto generator = make_generator(decoder());
  Answers answers;
  std::vector<size_t> asked;
  for (const Request& each : requests) asked.push_back(answers.ask(*generator, each));
  for (size_t i = 0; i < asked.size(); ++i) {
    INFO(i);
    CHECK(answers.get(asked[i]).tokens == wanted[i].tokens);
  }
}

TEST_CASE("generator: when pages run out, requests wait or begin again, and answer the same") {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 6; ++i) requests.push_back(request(30, i, 60));
  std::vector<Result> wanted;
  for (const Request& each : requests) wanted.push_back(alone(each));
  // each fills 6 pages in the end
  const auto generator = make_generator(
      decoder({.context = kContext, .sequences = 4, .page_size = 16, .page_count = 8}));
  Answers answers;
  std::vector<size_t> asked;
  for (const Request& each : requests) asked.push_back(answers.ask(*generator, each));
  for (size_t i = 0; i < asked.size(); ++i) {
    INFO(i);
    const Result result = answers.get(asked[i]);
    CHECK(result.finish == Finish::length);
    CHECK(result.tokens == wanted[i].tokens);
  }
  CHECK(generator->state().pages_used == 0);
}

TEST_CASE("generator: a prompt that begins as an earlier one takes its pages") {
  const auto generator = make_generator(decoder());
  Answers answers;
  const Result first = answers.get(answers.ask(*generator, request(40, 5, 4)));
  CHECK(first.usage.cached == 0);
  const Result again = answers.get(answers.ask(*generator, request(40, 5, 4)));
  CHECK(again.usage.cached == 32);
  CHECK(again.tokens == first.tokens);
  Request longer = request(40, 5, 4);
  longer.prompt.insert(longer.prompt.end(), first.tokens.begin(), first.tokens.end());
  longer.prompt.push_back(1);
  const Result next = answers.get(answers.ask(*generator, longer));
  CHECK(next.usage.cached == 32);
  CHECK(next.tokens == alone(longer).tokens);
}

TEST_CASE("generator: prompts that begin alike and come together are computed once") {
  const auto generator = make_generator(decoder());
  Answers answers;
  std::vector<size_t> asked;
  for (int i = 0; i < 4; ++i) asked.push_back(answers.ask(*generator, request(90, 5, 4)));
  for (const size_t each : asked)
    CHECK(answers.get(each).tokens == alone(request(90, 5, 4)).tokens);
  CHECK(generator->state().prompt_tokens == 90 + 3 * 10);  // what fills no page is each one's own
}

TEST_CASE(
    "generator: who waits for another's pages goes on when that one is cancelled or put off") {
  const run::DecoderOptions options = {
      .context = kContext, .sequences = 4, .page_size = 16, .page_count = 7};
  const Request same = request(90, 6, 4);
  const Result wanted = alone(same);
  for (const bool cancelled : {false, true}) {
    const auto generator = make_generator(decoder(options));
    Answers answers;
    const size_t first = answers.ask(*generator, same);
    std::vector<size_t> asked;
    for (int i = 0; i < 3; ++i) asked.push_back(answers.ask(*generator, same));
    if (cancelled) generator->cancel(answers.number(first));
    for (const size_t each : asked) CHECK(answers.get(each).tokens == wanted.tokens);
    answers.get(first);
    CHECK(generator->state().pages_used == 0);
  }
}

TEST_CASE("generator: an end token ends the answer and is not given out") {
  const Result whole = alone(request(10, 8));
  Request asked = request(10, 8);
  asked.ends = {whole.tokens[5]};
  const auto first = std::ranges::find(whole.tokens, whole.tokens[5]) - whole.tokens.begin();
  const Result result = alone(asked);
  CHECK(result.finish == Finish::stop);
  CHECK(result.tokens == std::vector(whole.tokens.begin(), whole.tokens.begin() + first));
}

TEST_CASE("generator: an answer ends where the context does, and max_tokens 0 gives none") {
  const Result full = alone(request(kContext - 3, 2, 50));
  CHECK(full.finish == Finish::length);
  CHECK(full.tokens.size() == 3);
  const Result none = alone(request(5, 2, 0));
  CHECK(none.finish == Finish::length);
  CHECK(none.tokens.empty());
}

TEST_CASE("generator: a request is cancelled by its number or by its reader; others go on") {
  const auto generator = make_generator(decoder());
  Answers answers;
  std::atomic<int> seen = 0;
  Request stopped = request(10, 1, 80);
  stopped.on_token = [&](const Generated&) { return ++seen < 3; };
  const size_t by_reader = answers.ask(*generator, stopped);
  Request cancelled = request(12, 2, 80);
  std::atomic<bool> begun = false;
  cancelled.on_token = [&](const Generated&) {
    begun = true;
    begun.notify_all();
    return true;
  };
  const size_t by_number = answers.ask(*generator, cancelled);
  const size_t other = answers.ask(*generator, request(14, 3, 30));
  begun.wait(false);
  generator->cancel(answers.number(by_number));
  generator->cancel(999);
  CHECK(answers.get(by_reader).finish == Finish::cancelled);
  CHECK(answers.get(by_reader).tokens.size() == 3);
  const Finish finish = answers.get(by_number).finish;
  CHECK((finish == Finish::cancelled || finish == Finish::length));  // it may have been quicker
  CHECK(answers.get(other).tokens == alone(request(14, 3, 30)).tokens);
}

TEST_CASE("generator: a constraint limits what comes, and sees what came") {
  struct Even : Constraint {
    std::vector<Token> accepted;
    void allow(std::vector<bool>& allowed) override {
      for (size_t i = 1; i < allowed.size(); i += 2) allowed[i] = false;
    }
    void accept(Token token) override { accepted.push_back(token); }
  };
  const auto even = std::make_shared<Even>();
  Request asked = request(10, 4, 12, 1);
  asked.constraint = even;
  const Result result = alone(asked);
  for (const Token token : result.tokens) CHECK(token % 2 == 0);
  CHECK(even->accepted == result.tokens);
}

TEST_CASE("generator: a constraint that fails ends its own request, others go on") {
  struct Broken : Constraint {
    int left;
    explicit Broken(int tokens) : left(tokens) {}
    void allow(std::vector<bool>&) override {
      if (left-- == 0) throw std::runtime_error("it broke");
    }
    void accept(Token) override {}
  };
  const auto generator = make_generator(decoder());
  Answers answers;
  Request broken = request(10, 4, 12);
  broken.constraint = std::make_shared<Broken>(3);
  const size_t other = answers.ask(*generator, request(12, 5, 30));
  const size_t failed = answers.ask(*generator, broken);
  const size_t waiting = answers.ask(*generator, request(14, 6, 10));
  CHECK(answers.get(failed).finish == Finish::failed);
  CHECK(answers.get(failed).error == "it broke");
  CHECK(answers.get(failed).tokens.size() == 3);
  CHECK(answers.get(other).tokens == alone(request(12, 5, 30)).tokens);
  CHECK(answers.get(waiting).finish == Finish::length);
  CHECK(generator->state().pages_used == 0);
}

TEST_CASE(
    "generator: the tokens of a prompt are told with their logprobs, whatever the cache holds") {
  const std::vector<Token> tokens = prompt(90, 5);
  std::vector<double> wanted;  // of each token behind the first
  run::Decoder model = decoder();
  for (int32_t page = 0; auto& entry : model.pages(0)) entry = page++;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto logits = model.run(std::vector<run::Decoder::Row>{
        {.token = tokens[i], .position = static_cast<int32_t>(i), .answers = true}});
    double total = 0;
    for (const float logit : logits) total += std::exp(double{logit});
    wanted.push_back(logits[static_cast<size_t>(tokens[i + 1])] - std::log(total));
  }
  const auto generator = make_generator(
      decoder({.context = kContext, .sequences = 4, .page_size = 16, .page_count = 9}));
  Answers answers;
  answers.get(answers.ask(*generator, request(90, 5, 1)));  // fills the cache
  std::vector<std::vector<Generated>> told(3);
  std::vector<size_t> asked;
  for (size_t i = 0; i < told.size(); ++i) {
    Request describing = request(90, 5, i == 0 ? 0 : 5);
    describing.sampling.logprobs = 2;
    describing.on_prompt = [&, i](const Generated& each) { told[i].push_back(each); };
    asked.push_back(answers.ask(*generator, describing));
    asked.push_back(answers.ask(*generator, request(40, i, 20)));
  }
  for (const size_t each : asked) CHECK(answers.get(each).finish == Finish::length);
  CHECK(answers.get(asked[2]).tokens == alone(request(90, 5, 5)).tokens);
  for (const auto& each : told) {
    REQUIRE(each.size() == wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      CHECK(each[i].token == tokens[i + 1]);
      CHECK(each[i].logprob == doctest::Approx(wanted[i]).epsilon(1e-4));
      CHECK(each[i].others.size() == 2);
    }
  }
}

TEST_CASE("generator: what runs when it ends is cancelled, and told so") {
  Answers answers;
  size_t asked = 0;
  {
    const auto generator = make_generator(decoder());
    asked = answers.ask(*generator, request(10, 4, 80));
  }
  const Finish finish = answers.get(asked).finish;
  CHECK((finish == Finish::cancelled || finish == Finish::length));
}

TEST_CASE("generator: its state counts what runs, waits and was done") {
  const auto generator = make_generator(decoder());
  Answers answers;
  for (uint64_t i = 0; i < 3; ++i) answers.ask(*generator, request(20, i, 10));
  for (size_t i = 0; i < 3; ++i) answers.get(i);
  answers.get(answers.ask(*generator, request(1, 9, 1)));
  const GeneratorState state = generator->state();
  CHECK(state.generated_tokens >= 30);
  CHECK(state.prompt_tokens >= 60);
  CHECK(state.pages == 24);
}
