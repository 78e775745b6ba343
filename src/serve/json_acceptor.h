#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "serve/json_grammar.h"

namespace argosy::serve {

/// Reads a text byte by byte and knows, of each text so far, whether it can still become one of the
/// grammar's. Between values and signs it takes nothing, one space, or a line break with up to 20
/// blanks, so that no text goes on for ever.
///
/// A state is a set of alternatives, each a stack of open values; stacks share what is below, and
/// equal ones have equal numbers.
class JsonAcceptor {
 public:
  using State = std::vector<int32_t>;  ///< sorted

  explicit JsonAcceptor(SharedGrammar grammar);

  const State& start() const { return start_; }
  /// What the text can be after one more byte; empty where that byte cannot stand.
  void step(const State& from, uint8_t byte, State& to);
  /// Whether the text may end here.
  bool complete(const State& state);
  /// A stack that goes on as `id` does for so many bytes. States that differ only in counts far
  /// from their limits have the same.
  int32_t look_alike(int32_t id, int32_t bytes);
  /// Forgets every stack but those of `state`, which is renumbered. Other states end to be valid.
  void forget_all_but(State& state);
  size_t stacks() const { return stacks_.size(); }
  /// Bytes that were tried on stacks so far: the work done.
  size_t steps() const { return steps_; }

 private:
  /// One open value: how far it has come. What the numbers mean depends on its kind.
  struct Frame {
    int32_t node = 0;
    int16_t phase = 0, space = 0;
    int32_t at = 0, low = 0, high = 0;
    int64_t digits = 0;
    bool operator==(const Frame&) const = default;
  };
  struct Stack {
    Frame top;
    int32_t below = 0;
    int32_t depth = 0;  ///< objects and arrays in it
    bool operator==(const Stack&) const = default;
  };
  struct Hash {
    size_t operator()(const Stack& stack) const;
  };

  const JsonGrammar::Node& node_of(const Frame& frame) const { return grammar_->nodes[frame.node]; }
  int32_t push(const Frame& frame, int32_t below);
  bool fits(int32_t node, int32_t depth) const;
  void open(int32_t node, int32_t below, State& to);
  void close(int32_t below, State& to);
  void step_stack(int32_t id, uint8_t byte, State& to);
  void begin_value(int32_t node, int32_t below, uint8_t byte, State& to);
  void step_object(const Stack& stack, uint8_t byte, State& to);
  void begin_name(const Stack& stack, uint8_t byte, State& to);
  void step_array(const Stack& stack, uint8_t byte, State& to);
  void step_string(int32_t id, const Stack& stack, uint8_t byte, State& to);
  void step_number(const Stack& stack, uint8_t byte, State& to);
  void step_literals(const Stack& stack, uint8_t byte, State& to);
  bool may_close(const Frame& frame) const;
  static NumberText number_of(const Frame& frame);
  bool complete(int32_t id);

  SharedGrammar grammar_;
  std::vector<Stack> stacks_;  // the first is empty: the text is whole
  std::unordered_map<Stack, int32_t, Hash> numbers_;
  State start_;
  size_t steps_ = 0;
};

}  // namespace argosy::serve
