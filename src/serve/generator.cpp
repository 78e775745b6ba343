#include "serve/generator.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "run/decoder.h"
#include "serve/page_pool.h"
#include "serve/sampler.h"

namespace argosy::serve {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point time) {
  return std::chrono::duration<double>(Clock::now() - time).count();
}

/// Rows of prompts that one step takes at most beside answers, so that these go on.
constexpr int64_t kPromptRowsBeside = 64;

/// A request and how far it is.
struct Job {
  uint64_t number;
  Request request;
  Sampler sampler;
  std::vector<Token> tokens;   ///< of the prompt and the answer
  std::vector<int32_t> pages;  ///< of the tokens, in order
  int64_t sequence = -1;       ///< of the decoder, while it runs
  int64_t computed = 0;        ///< tokens whose keys and values are in the pages
  int64_t described = 0;       ///< tokens of the prompt whose next one on_prompt has been told
  Usage usage;
  Clock::time_point since = Clock::now();  ///< it waits, reads its prompt or answers
  bool cancelled = false;

  Job(uint64_t number_, Request request_)
      : number(number_),
        request(std::move(request_)),
        sampler(request.sampling, request.prompt),
        tokens(request.prompt) {
    usage.prompt = std::ssize(tokens);
  }
  int64_t waiting_tokens() const { return std::ssize(tokens) - computed; }
  /// Whether on_prompt has still to be told tokens.
  bool describes() const { return request.on_prompt && described + 1 < usage.prompt; }
  /// Whether the logits of its token at a position are wanted.
  bool is_asked(int64_t position) const {
    return position + 1 == std::ssize(tokens) ||
           (describes() && position >= described && position + 1 < usage.prompt);
  }
  /// How many of the next rows answer.
  int64_t answers(int64_t rows) const {
    int64_t count = 0;
    for (int64_t i = computed; i < computed + rows; ++i) count += is_asked(i);
    return count;
  }
  /// The tokens in front that others may have computed: those whose logits are not wanted.
  std::span<const Token> sharable() const {
    return std::span(tokens).first(describes() ? static_cast<size_t>(described)
                                               : tokens.size() - 1);
  }
};

class DecoderGenerator final : public Generator {
 public:
  explicit DecoderGenerator(run::Decoder decoder)
      : decoder_(std::move(decoder)), pool_(decoder_.page_count(), decoder_.options().page_size) {
    const run::DecoderOptions& options = decoder_.options();
    check(options.page_count * options.page_size >= options.context,
          "{} pages of {} tokens for one sequence of {}", options.page_count, options.page_size,
          options.context);
    for (int64_t i = options.sequences; i-- > 0;) sequences_.push_back(i);
    state_.pages = decoder_.page_count();
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  }

  int64_t context() const override { return decoder_.options().context; }
  int64_t vocabulary() const override { return decoder_.model().vocabulary; }

  uint64_t submit(Request request) override {
    check(!request.prompt.empty() && std::ssize(request.prompt) < context(),
          "a prompt of {} tokens, the context is {}", request.prompt.size(), context());
    for (const Token token : request.prompt)
      check(token >= 0 && token < vocabulary(), "token {} of {}", token, vocabulary());
    const std::scoped_lock lock(mutex_);
    const uint64_t number = ++numbers_;
    new_.emplace_back(number, std::move(request));
    ++state_.waiting;
    changed_.notify_all();
    return number;
  }

  void cancel(uint64_t request) override {
    const std::scoped_lock lock(mutex_);
    cancelled_.push_back(request);
    changed_.notify_all();
  }

  GeneratorState state() const override {
    const std::scoped_lock lock(mutex_);
    return state_;
  }

 private:
  using Jobs = std::list<Job>;

  /// The generator's thread. What other threads change is taken over between steps.
  void work(const std::stop_token& stop) {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [&] {
          return !new_.empty() || !cancelled_.empty() || !running_.empty() || !waiting_.empty();
        });
        waiting_.splice(waiting_.end(), new_);
        for (const uint64_t number : cancelled_)
          for (Jobs* jobs : {&waiting_, &running_})
            for (Job& job : *jobs) job.cancelled |= job.number == number;
        cancelled_.clear();
      }
      if (stop.stop_requested()) return end_all(Finish::cancelled, "");
      try {
        end_cancelled();
        admit();
        step();
      } catch (const std::exception& error) {
        end_all(Finish::failed, error.what());
      }
      report();
    }
  }

  void report() {
    const std::scoped_lock lock(mutex_);
    state_.running = std::ssize(running_);
    state_.waiting = std::ssize(waiting_) + std::ssize(new_);
    state_.pages_used = pool_.used();
    state_.pages_cached = pool_.cached();
    state_.prompt_tokens = counted_.prompt;
    state_.cached_tokens = counted_.cached;
    state_.generated_tokens = counted_.generated;
  }

  /// Waiting requests begin to run, in order, while there are sequences and pages. One whose pages
  /// another is about to compute waits for them; those behind it lose nothing by that, since rows
  /// of prompts are given to the oldest first.
  void admit() {
    while (!waiting_.empty() && !sequences_.empty()) {
      Job& job = waiting_.front();
      if (is_about_to_be_computed(job)) return;
      job.pages = pool_.find(job.sharable());
      job.computed = std::ssize(job.pages) * pool_.page_size();
      if (job.usage.generated == 0) job.usage.cached = job.computed;
      if (!grow(job, job.computed + 1)) {
        release(job);
        check(!running_.empty(), "no page for the only request");
        return;
      }
      job.sequence = sequences_.back();
      sequences_.pop_back();
      job.usage.wait_s += seconds_since(std::exchange(job.since, Clock::now()));
      running_.splice(running_.end(), waiting_, waiting_.begin());
    }
  }

  /// Whether a running job has still to compute pages that this one begins with. It always gets
  /// on, or gives its place up.
  bool is_about_to_be_computed(const Job& job) const {
    return std::ranges::any_of(running_, [&](const Job& other) {
      const auto alike = std::ranges::mismatch(job.sharable(), other.tokens).in2;
      const int64_t pages = (alike - other.tokens.begin()) / pool_.page_size();
      return other.computed < pages * pool_.page_size();
    });
  }

  /// Pages for so many tokens; false if there are not enough.
  bool grow(Job& job, int64_t tokens) {
    while (std::ssize(job.pages) * pool_.page_size() < tokens) {
      const int32_t page = pool_.take();
      if (page < 0) return false;
      job.pages.push_back(page);
    }
    return true;
  }

  void release(Job& job) {
    pool_.release(job.pages);
    job.pages.clear();
    job.computed = 0;
    if (job.sequence >= 0) sequences_.push_back(std::exchange(job.sequence, -1));
  }

  /// Pages for the next `rows` tokens of a job, if need be those of the youngest job. False if that
  /// is the job itself, which then waits again.
  bool make_room(Jobs::iterator job, int64_t rows) {
    while (!grow(*job, job->computed + rows)) {
      const auto youngest = std::prev(running_.end());
      const bool itself = youngest == job;
      check(!itself || running_.size() > 1, "no page for the only request");
      release(*youngest);
      youngest->since = Clock::now();
      waiting_.splice(waiting_.begin(), running_, youngest);
      if (itself) return false;
    }
    return true;
  }

  struct Part {
    Job* job;
    int64_t rows;
  };

  /// Which tokens the next step computes: one of each job that answers, then parts of prompts, the
  /// oldest first.
  std::vector<Part> plan() {
    std::vector<Jobs::iterator> jobs;
    for (auto job = running_.begin(); job != running_.end(); ++job) jobs.push_back(job);
    std::vector<Part> parts;
    int64_t left = run::Decoder::kMostRows, answers = run::Decoder::kMostAnswers;
    for (const bool prompts : {false, true}) {
      if (prompts && !parts.empty()) left = std::min(left, kPromptRowsBeside);
      for (const auto job : jobs) {
        int64_t rows = std::min(left, job->waiting_tokens());
        if (job->describes()) rows = std::min(rows, answers);
        if (job->sequence < 0 || (job->waiting_tokens() > 1) != prompts || rows == 0 ||
            answers == 0 || !make_room(job, rows))
          continue;
        parts.push_back({&*job, rows});
        left -= rows;
        answers -= job->answers(rows);
      }
    }
    // those whose pages others took
    std::erase_if(parts, [](const Part& part) { return part.job->sequence < 0; });
    return parts;
  }

  void step() {
    const std::vector<Part> parts = plan();
    if (parts.empty()) return;
    rows_.clear();
    for (const auto& [job, count] : parts) {
      std::ranges::copy(job->pages, decoder_.pages(job->sequence).begin());
      for (int64_t i = job->computed; i < job->computed + count; ++i)
        rows_.push_back({.token = job->tokens[static_cast<size_t>(i)],
                         .position = static_cast<int32_t>(i),
                         .sequence = static_cast<int32_t>(job->sequence),
                         .answers = job->is_asked(i)});
    }
    std::span<const float> logits = decoder_.run(rows_);
    for (const auto& [job, count] : parts) {
      const auto own = static_cast<size_t>(job->answers(count) * vocabulary());
      const bool answers = count == job->waiting_tokens();
      advance(*job, count);
      take(*job, logits.first(own), answers);
      logits = logits.subspan(own);
    }
  }

  /// The logits of those of its rows that were asked for; the last ones go on if it `answers`.
  void take(Job& job, std::span<const float> logits, bool answers) {
    const auto size = static_cast<size_t>(vocabulary());
    try {
      for (; logits.size() > (answers ? size : 0); logits = logits.subspan(size)) {
        const Token next = job.tokens[static_cast<size_t>(++job.described)];
        job.request.on_prompt(job.sampler.describe(next, logits.first(size)));
      }
    } catch (const std::exception& error) {
      return end(job, Finish::failed, error.what());
    }
    if (answers) answer(job, logits);
  }

  /// `count` more tokens are computed; pages that are full now are kept.
  void advance(Job& job, int64_t count) {
    const int64_t size = pool_.page_size(), before = job.computed / size;
    job.computed += count;
    if (job.usage.generated == 0) counted_.prompt += count;
    for (int64_t page = before; page < job.computed / size; ++page)
      pool_.keep(std::span(job.tokens).first(static_cast<size_t>((page + 1) * size)), job.pages,
                 page);
  }

  void answer(Job& job, std::span<const float> logits) {
    Request& request = job.request;
    if (job.usage.generated == 0) {
      job.usage.prefill_s += seconds_since(std::exchange(job.since, Clock::now()));
      counted_.cached += job.usage.cached;
      if (request.max_tokens <= 0) return end(job, Finish::length);
    }
    try {
      const std::optional<Generated> generated = next_token(job, logits);
      if (!generated) return end(job, Finish::stop);
      if (request.on_token && !request.on_token(*generated)) return end(job, Finish::cancelled);
    } catch (const std::exception& error) {  // its own: the others can go on
      return end(job, Finish::failed, error.what());
    }
    if (job.usage.generated >= request.max_tokens || std::ssize(job.tokens) >= context())
      end(job, Finish::length);
  }

  /// Chooses a token and adds it; nothing where the answer ends.
  std::optional<Generated> next_token(Job& job, std::span<const float> logits) {
    const Request& request = job.request;
    std::vector<bool> allowed;
    if (request.constraint) {
      allowed.assign(static_cast<size_t>(vocabulary()), true);
      request.constraint->allow(allowed);
    }
    Generated generated = job.sampler.choose(logits, allowed);
    if (std::ranges::find(request.ends, generated.token) != request.ends.end()) return {};
    job.tokens.push_back(generated.token);
    job.sampler.accept(generated.token);
    if (request.constraint) request.constraint->accept(generated.token);
    ++job.usage.generated, ++counted_.generated;
    return generated;
  }

  /// The job is over; it leaves the list before the next step.
  void end(Job& job, Finish finish, const std::string& error = "") {
    const double past_s = seconds_since(job.since);
    if (job.usage.generated > 0)
      job.usage.decode_s += past_s;
    else
      (job.sequence < 0 ? job.usage.wait_s : job.usage.prefill_s) += past_s;
    release(job);
    Jobs& list = contains(running_, job) ? running_ : waiting_;
    Jobs ended;
    ended.splice(ended.begin(), list,
                 std::ranges::find_if(list, [&](const Job& each) { return &each == &job; }));
    report();
    if (job.request.on_end) job.request.on_end(finish, job.usage, error);
  }

  static bool contains(const Jobs& jobs, const Job& job) {
    return std::ranges::any_of(jobs, [&](const Job& each) { return &each == &job; });
  }

  void end_cancelled() {
    for (Jobs* jobs : {&waiting_, &running_})
      for (auto job = jobs->begin(); job != jobs->end();) {
        Job& each = *job++;
        if (each.cancelled) end(each, Finish::cancelled);
      }
  }

  void end_all(Finish finish, const std::string& error) {
    for (Jobs* jobs : {&running_, &waiting_})
      while (!jobs->empty()) end(jobs->front(), finish, error);
  }

  run::Decoder decoder_;
  PagePool pool_;
  std::vector<int64_t> sequences_;  ///< of the decoder, free
  Jobs waiting_, running_;          ///< running: the oldest first
  std::vector<run::Decoder::Row> rows_;
  Usage counted_;

  mutable std::mutex mutex_;  ///< guards what follows
  std::condition_variable_any changed_;
  Jobs new_;
  std::vector<uint64_t> cancelled_;
  uint64_t numbers_ = 0;
  GeneratorState state_;

  std::jthread thread_;  ///< last, so that it ends before what it uses
};

}  // namespace

std::unique_ptr<Generator> make_generator(run::Decoder decoder) {
  return std::make_unique<DecoderGenerator>(std::move(decoder));
}

std::unique_ptr<Generator> open_generator(const model_files::LanguageModel& model,
                                          const GeneratorOptions& options) {
  const auto require = [&](bool holds, const std::string& what, const std::string& fix) {
    if (!holds) throw Error({.what = what, .where = model.name, .fix = fix});
  };
  const models::LanguageOptions& sizes = model.options;
  require(options.context >= 0 && options.context <= sizes.context,
          fmt::format("the context is to be {} tokens, the model has {}", options.context,
                      sizes.context),
          fmt::format("give 1 to {}, or 0 for the model's own", sizes.context));
  require(options.sequences >= 1 && options.sequences <= run::Decoder::kMostAnswers,
          fmt::format("{} sequences at a time", options.sequences),
          fmt::format("give 1 to {}", run::Decoder::kMostAnswers));
  run::DecoderOptions decoder = {.sequences = options.sequences};
  const size_t page_bytes = static_cast<size_t>(2 * sizes.layers * sizes.key_heads *
                                                sizes.head_width * decoder.page_size) *
                            size_of(decoder.page_dtype);
  const auto pages = static_cast<int64_t>(options.cache_bytes / page_bytes);
  require(pages >= 1, "the cache holds no page of keys and values",
          fmt::format("give a cache of at least {} bytes", page_bytes));
  const int64_t held = pages * decoder.page_size;
  require(options.context <= held,
          fmt::format("a context of {} tokens, the cache holds {}", options.context, held),
          "give a larger cache or a shorter context");
  decoder.context = options.context > 0 ? options.context : std::min(sizes.context, held);
  const int64_t most =
      decoder.sequences * ((decoder.context + decoder.page_size - 1) / decoder.page_size);
  decoder.page_count = std::min(pages, most);
  return make_generator(run::open_decoder(model, decoder));
}

}  // namespace argosy::serve
