#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "serve/served_model.h"
#include "text/tokenizer.h"

namespace argosy::test {

using text::Token;

/// A token for each byte, those of ChatML, and a few longer ones.
class ByteTokenizer : public text::Tokenizer {
 public:
  static constexpr Token kStart = 256, kEnd = 257, kLonger = 258;

  ByteTokenizer() {
    for (int byte = 0; byte < 256; ++byte) spellings_.emplace_back(1, static_cast<char>(byte));
    for (const char* text :
         {"<|im_start|>", "<|im_end|>", " the", "{\"", "\": ", "\"}", "\", \"", "<tool", "_call>\n",
          "12", "e-3", "\xF0\x9F\x98\x80", "\n  \"", "abc", "}}", "[[", "true", ", "})
      spellings_.emplace_back(text);
  }
  int64_t vocabulary() const override { return static_cast<int64_t>(spellings_.size()); }
  std::vector<Token> encode(std::string_view bytes, bool special) const override {
    std::vector<Token> tokens;
    while (!bytes.empty()) {
      Token token = static_cast<uint8_t>(bytes[0]);
      for (const Token name : {kStart, kEnd})
        if (special && bytes.starts_with(spellings_[name])) token = name;
      tokens.push_back(token);
      bytes.remove_prefix(spellings_[token].size());
    }
    return tokens;
  }
  std::string_view bytes(Token token) const override {
    return is_special(token) ? std::string_view() : spellings_[token];
  }
  bool is_special(Token token) const override { return token == kStart || token == kEnd; }
  std::optional<Token> find(std::string_view name) const override {
    const auto found = std::find(spellings_.begin(), spellings_.end(), name);
    if (found == spellings_.end()) return {};
    return static_cast<Token>(found - spellings_.begin());
  }
  std::optional<Token> beginning() const override { return {}; }
  const std::vector<Token>& ends() const override { return ends_; }
  void write(const Path&) const override {}

 private:
  std::vector<std::string> spellings_;
  std::vector<Token> ends_ = {kEnd};
};

/// Says what the last turn of the prompt said, byte by byte, and ends. "endless" is said for ever,
/// "dice" is letters by the seed, and "fail" fails. A constraint bends what it says.
class EchoGenerator : public serve::Generator {
 public:
  explicit EchoGenerator(int64_t context = 4096, std::chrono::microseconds pace = {})
      : context_(context), pace_(pace), thread_([this] { work(); }) {}
  ~EchoGenerator() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  int64_t context() const override { return context_; }
  int64_t vocabulary() const override { return tokenizer_.vocabulary(); }
  uint64_t submit(serve::Request request) override {
    const std::lock_guard lock(mutex_);
    Running running{.number = ++last_, .said = said(request.prompt), .request = std::move(request)};
    running.dice.seed(running.request.sampling.seed);
    state_.prompt_tokens += static_cast<int64_t>(running.request.prompt.size());
    running_.push_back(std::move(running));
    changed_.notify_all();
    return last_;
  }
  void cancel(uint64_t number) override {
    const std::lock_guard lock(mutex_);
    for (Running& running : running_)
      if (running.number == number) running.cancelled = true;
    if (number == current_) current_cancelled_ = true;
  }
  serve::GeneratorState state() const override {
    const std::lock_guard lock(mutex_);
    serve::GeneratorState state = state_;
    state.running = static_cast<int64_t>(running_.size()) + (current_ != 0);
    return state;
  }

 private:
  struct Running {
    uint64_t number = 0;
    std::string said;
    size_t at = 0;
    int64_t generated = 0;
    bool cancelled = false, told = false;
    std::mt19937 dice;
    serve::Request request;
  };

  /// The text of the prompt's last turn.
  std::string said(const std::vector<Token>& prompt) const {
    auto end = std::find(prompt.rbegin(), prompt.rend(), ByteTokenizer::kEnd);
    if (end == prompt.rend()) return tokenizer_.decode(prompt);
    ++end;
    const auto begin = std::find(end, prompt.rend(), ByteTokenizer::kStart);
    const std::string turn = tokenizer_.decode({begin.base(), end.base()});
    return turn.substr(std::min(turn.size(), turn.find('\n') + 1));
  }

  Token next(Running& running) {
    const std::string& said = running.said;
    if (said.starts_with("endless")) return 'a';
    if (said.starts_with("dice") && running.request.sampling.temperature > 0)
      return running.at++ < 20 ? static_cast<Token>('a' + running.dice() % 26)
                               : ByteTokenizer::kEnd;
    Token token = ByteTokenizer::kEnd;
    if (running.at < said.size()) token = static_cast<uint8_t>(said[running.at]);
    if (running.request.constraint) {
      std::vector<bool> allowed(tokenizer_.vocabulary(), true);
      running.request.constraint->allow(allowed);
      if (!allowed[token]) {
        token = -1;
        if (allowed['q'] && allowed['"']) token = '"';  // within a string
        for (const Token likely : {ByteTokenizer::kEnd, Token{'}'}, Token{']'}, Token{'"'}})
          if (token < 0 && allowed[likely]) token = likely;
        if (token < 0)
          token =
              static_cast<Token>(std::find(allowed.begin(), allowed.end(), true) - allowed.begin());
        if (token != ByteTokenizer::kEnd) running.request.constraint->accept(token);
        return token;
      }
      if (token != ByteTokenizer::kEnd) running.request.constraint->accept(token);
    }
    ++running.at;
    return token;
  }

  /// One more token; true while it goes on.
  bool step(Running& running) {
    const serve::Request& request = running.request;
    const auto end = [&](serve::Finish finish, const std::string& error = "") {
      request.on_end(
          finish,
          {.prompt = static_cast<int64_t>(request.prompt.size()), .generated = running.generated},
          error);
      return false;
    };
    if (running.cancelled) return end(serve::Finish::cancelled);
    if (running.said == "fail") return end(serve::Finish::failed, "the machine is on fire");
    if (running.said == "fail late" && running.at > 3)
      return end(serve::Finish::failed, "the machine is on fire");
    if (request.on_prompt && running.generated == 0 && !std::exchange(running.told, true))
      for (size_t i = 1; i < request.prompt.size(); ++i)
        request.on_prompt(
            {.token = request.prompt[i], .logprob = -0.25f, .others = {{Token{'z'}, -2.0f}}});
    if (running.generated == request.max_tokens) return end(serve::Finish::length);
    const Token token = next(running);
    if (std::find(request.ends.begin(), request.ends.end(), token) != request.ends.end())
      return end(serve::Finish::stop);
    ++running.generated;
    serve::Generated generated{.token = token, .logprob = -0.5f};
    for (Token other = 0; other < request.sampling.logprobs; ++other)
      generated.others.emplace_back('a' + other, -1.0f - static_cast<float>(other));
    if (!request.on_token(generated)) return end(serve::Finish::cancelled);
    return true;
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return ending_ || !running_.empty(); });
      if (ending_) break;
      Running running = std::move(running_.front());
      running_.pop_front();
      current_ = running.number;
      current_cancelled_ = false;
      lock.unlock();
      if (pace_.count() > 0) std::this_thread::sleep_for(pace_);
      const int64_t before = running.generated;
      const bool more = step(running);
      lock.lock();
      state_.generated_tokens += running.generated - before;
      current_ = 0;
      running.cancelled |= current_cancelled_;
      if (more) running_.push_back(std::move(running));
    }
    for (Running& running : running_) {
      running.cancelled = true;
      step(running);
    }
    running_.clear();
  }

  ByteTokenizer tokenizer_;
  int64_t context_;
  std::chrono::microseconds pace_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Running> running_;
  serve::GeneratorState state_{.pages = 64};
  uint64_t last_ = 0, current_ = 0;
  bool current_cancelled_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace argosy::test
