#include "serve/json_acceptor.h"

#include <algorithm>

#include "serve/json_signs.h"

namespace argosy::serve {
namespace {

using Kind = JsonGrammar::Kind;

constexpr int32_t kWhole = 0;  // the stack of a text that is whole
// more are dropped, which leaves fewer texts, all of them good
constexpr size_t kMostAlternatives = JsonGrammar::kMostParts;

// What stands next in an object or an array.
enum Container : int16_t {
  kOpening,  // { or [
  kFirst,    // a name or item, or the end
  kNext,     // a name or item, after a comma
  kName,     // the rest of a declared name: property `low` from its byte `at`
  kColon,
  kValue,
  kAfter,  // a comma or the end
};

}  // namespace

size_t JsonAcceptor::Hash::operator()(const Stack& stack) const {
  uint64_t hash = 0x9E3779B97F4A7C15;
  const Frame& top = stack.top;
  for (const int64_t part : {int64_t{top.node} << 32 | stack.below,
                             int64_t{top.phase} << 48 | int64_t{top.space} << 32 | top.at,
                             int64_t{top.low} << 32 | top.high, top.digits}) {
    hash = (hash ^ static_cast<uint64_t>(part)) * 0xD6E8FEB86659FD93;
    hash ^= hash >> 32;
  }
  return hash;
}

JsonAcceptor::JsonAcceptor(SharedGrammar grammar) : grammar_(std::move(grammar)), stacks_(1) {
  open(grammar_->root, kWhole, start_);
  std::sort(start_.begin(), start_.end());
}

int32_t JsonAcceptor::push(const Frame& frame, int32_t below) {
  const Kind kind = node_of(frame).kind;
  const bool deeper = kind == Kind::object || kind == Kind::array;
  const Stack stack{frame, below, stacks_[below].depth + deeper};
  const auto [place, is_new] = numbers_.try_emplace(stack, static_cast<int32_t>(stacks_.size()));
  if (is_new) stacks_.push_back(stack);
  return place->second;
}

/// Whether a value can be whole within the levels that are left above `depth`.
bool JsonAcceptor::fits(int32_t node, int32_t depth) const {
  return grammar_->nodes[node].height + depth <= JsonGrammar::kMaxDepth;
}

/// Adds what a value of `node` can begin as.
void JsonAcceptor::open(int32_t node, int32_t below, State& to) {
  if (!fits(node, stacks_[below].depth)) return;
  const auto& parts = grammar_->nodes[node].parts;
  switch (grammar_->nodes[node].kind) {
    case Kind::any_of:
      for (const int32_t part : parts) open(part, below, to);
      break;
    case Kind::sequence:
      open(parts[0], push({.node = node, .at = 1}, below), to);
      break;
    default:
      to.push_back(push({.node = node}, below));
  }
}

/// A value is whole: what was below it goes on.
void JsonAcceptor::close(int32_t below, State& to) {
  const Stack stack = stacks_[below];
  if (below == kWhole || node_of(stack.top).kind != Kind::sequence) {
    to.push_back(below);
    return;
  }
  const auto& parts = node_of(stack.top).parts;
  Frame next = stack.top;
  const auto part = static_cast<size_t>(next.at++);
  if (part == parts.size()) return close(stack.below, to);
  open(parts[part], push(next, stack.below), to);
}

void JsonAcceptor::step(const State& from, uint8_t byte, State& to) {
  to.clear();
  for (const int32_t id : from) step_stack(id, byte, to);
  if (to.size() <= 1) return;
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
  if (to.size() > kMostAlternatives) to.resize(kMostAlternatives);
}

void JsonAcceptor::step_stack(int32_t id, uint8_t byte, State& to) {
  ++steps_;
  if (id == kWhole) return;
  const Stack stack = stacks_[id];  // a copy: stacks_ grows
  switch (node_of(stack.top).kind) {
    case Kind::object:
      return step_object(stack, byte, to);
    case Kind::array:
      return step_array(stack, byte, to);
    case Kind::string:
      return step_string(id, stack, byte, to);
    case Kind::number:
      return step_number(stack, byte, to);
    case Kind::literals:
      return step_literals(stack, byte, to);
    default:
      return;  // never on top
  }
}

void JsonAcceptor::begin_value(int32_t node, int32_t below, uint8_t byte, State& to) {
  State opened;
  open(node, below, opened);
  for (const int32_t id : opened) step_stack(id, byte, to);
}

bool JsonAcceptor::may_close(const Frame& frame) const {
  const auto& node = node_of(frame);
  if (node.kind == Kind::array) return frame.at >= node.least;
  return std::none_of(node.properties.begin() + frame.low, node.properties.end(),
                      [](const auto& property) { return property.required; });
}

void JsonAcceptor::step_object(const Stack& stack, uint8_t byte, State& to) {
  Frame frame = stack.top;
  const auto go = [&](Container phase) {
    frame.phase = phase;
    frame.space = 0;
    to.push_back(push(frame, stack.below));
  };
  if (frame.phase != kOpening && frame.phase != kName && frame.phase != kColon)
    if (const int16_t space = next_space(frame.space, byte); space > 0) {
      frame.space = space;
      to.push_back(push(frame, stack.below));
      return;
    }
  switch (frame.phase) {
    case kOpening:
      if (byte == '{') go(kFirst);
      break;
    case kFirst:
    case kAfter:
      if (byte == '}' && may_close(frame)) return close(stack.below, to);
      if (frame.phase == kFirst) return begin_name(stack, byte, to);
      if (byte == ',') {
        // only where a name can follow
        State names;
        begin_name({.top = {.node = frame.node, .phase = kNext, .low = frame.low},
                    .below = stack.below,
                    .depth = stack.depth},
                   '"', names);
        if (!names.empty()) go(kNext);
      }
      break;
    case kNext:
      return begin_name(stack, byte, to);
    case kName: {
      const std::string& spelling = node_of(frame).properties[frame.low].spelling;
      if (static_cast<uint8_t>(spelling[frame.at]) != byte) break;
      const bool whole = static_cast<size_t>(++frame.at) == spelling.size();
      if (whole) frame.at = 0;
      go(whole ? kColon : kName);
      break;
    }
    case kColon:
      if (byte == ':') go(kValue);
      break;
    case kValue: {
      const auto& node = node_of(frame);
      const int32_t value = node.properties.empty() ? node.inner : node.properties[frame.low].value;
      frame.phase = kAfter;
      frame.space = 0;
      frame.low += !node.properties.empty();  // the first property that may come next
      return begin_value(value, push(frame, stack.below), byte, to);
    }
    default:
      break;
  }
}

/// Every name that may stand here, up to the first that must.
void JsonAcceptor::begin_name(const Stack& stack, uint8_t byte, State& to) {
  if (byte != '"') return;
  const auto& node = node_of(stack.top);
  Frame frame = stack.top;
  frame.space = 0;
  if (node.inner != JsonGrammar::kNone) {
    frame.phase = kColon;
    if (fits(node.inner, stack.depth))
      to.push_back(push({.node = grammar_->name, .phase = kText}, push(frame, stack.below)));
    return;
  }
  frame.phase = kName;
  frame.at = 1;
  for (size_t i = frame.low; i < node.properties.size(); ++i) {
    frame.low = static_cast<int32_t>(i);
    if (fits(node.properties[i].value, stack.depth)) to.push_back(push(frame, stack.below));
    if (node.properties[i].required) break;
  }
}

void JsonAcceptor::step_array(const Stack& stack, uint8_t byte, State& to) {
  Frame frame = stack.top;
  const auto& node = node_of(frame);
  if (frame.phase != kOpening)
    if (const int16_t space = next_space(frame.space, byte); space > 0) {
      frame.space = space;
      to.push_back(push(frame, stack.below));
      return;
    }
  frame.space = 0;
  const bool may_grow = frame.at < node.most && fits(node.inner, stack.depth);
  switch (frame.phase) {
    case kOpening:
      frame.phase = kFirst;
      if (byte == '[') to.push_back(push(frame, stack.below));
      break;
    case kAfter:
      if (byte == ']' && may_close(frame)) return close(stack.below, to);
      frame.phase = kNext;
      if (byte == ',' && may_grow) to.push_back(push(frame, stack.below));
      break;
    case kFirst:
      if (byte == ']' && may_close(frame)) return close(stack.below, to);
      [[fallthrough]];
    case kNext: {
      if (!may_grow) break;
      // counted only as far as it matters, so that long arrays have few states
      if (node.most != JsonGrammar::kNoLimit || frame.at < node.least) ++frame.at;
      frame.phase = kAfter;
      const int32_t items = node.inner;
      return begin_value(items, push(frame, stack.below), byte, to);
    }
    default:
      break;
  }
}

void JsonAcceptor::step_string(int32_t id, const Stack& stack, uint8_t byte, State& to) {
  Frame frame = stack.top;
  const auto& node = node_of(frame);
  const Inside next = next_inside(frame.phase, byte);
  if (next == kRefused) return;
  if (next == kStringEnd) {
    if (frame.at >= node.least) close(stack.below, to);
    return;
  }
  if (frame.phase == kText) {  // a character begins
    if (frame.at >= node.most) return;
    if (node.most != JsonGrammar::kNoLimit || frame.at < node.least) ++frame.at;
  }
  frame.phase = next;
  to.push_back(frame == stack.top ? id : push(frame, stack.below));
}

NumberText JsonAcceptor::number_of(const Frame& frame) {
  return {.phase = static_cast<NumberText::Phase>(frame.phase),
          .count = frame.at,
          .negative = frame.low != 0,
          .digits = frame.digits};
}

void JsonAcceptor::step_number(const Stack& stack, uint8_t byte, State& to) {
  Frame frame = stack.top;
  const NumberForm& form = node_of(frame).number;
  NumberText text = number_of(frame);
  if (form.next(text, byte)) {
    frame.phase = text.phase;
    frame.at = text.count;
    frame.low = text.negative;
    frame.digits = text.digits;
    to.push_back(push(frame, stack.below));
  } else if (form.ends(number_of(frame))) {  // its end is seen by what follows
    State after;
    close(stack.below, after);
    for (const int32_t id : after) step_stack(id, byte, to);
  }
}

/// The literals from `low` to below `high` begin as the text does, in their first `at` bytes.
void JsonAcceptor::step_literals(const Stack& stack, uint8_t byte, State& to) {
  Frame frame = stack.top;
  const auto& literals = node_of(frame).literals;
  if (frame.at == 0) frame.high = static_cast<int32_t>(literals.size());
  const auto at = static_cast<size_t>(frame.at);
  const bool ends = literals[frame.low].size() == at;
  const auto differs = [&](int32_t i) {
    return literals[i].size() <= at || static_cast<uint8_t>(literals[i][at]) != byte;
  };
  while (frame.low < frame.high && differs(frame.low)) ++frame.low;
  while (frame.low < frame.high && differs(frame.high - 1)) --frame.high;
  if (frame.low < frame.high) {
    ++frame.at;
    const bool last = frame.high - frame.low == 1 && literals[frame.low].size() == at + 1;
    if (last)
      close(stack.below, to);
    else
      to.push_back(push(frame, stack.below));
  } else if (ends) {  // a number that another one begins as: 1 of 1 and 12
    State after;
    close(stack.below, after);
    for (const int32_t id : after) step_stack(id, byte, to);
  }
}

bool JsonAcceptor::complete(const State& state) {
  return std::any_of(state.begin(), state.end(), [&](int32_t id) { return complete(id); });
}

bool JsonAcceptor::complete(int32_t id) {
  if (id == kWhole) return true;
  const Stack stack = stacks_[id];
  const auto& node = node_of(stack.top);
  const bool may_end =
      node.kind == Kind::number
          ? node.number.ends(number_of(stack.top))
          : node.kind == Kind::literals && stack.top.at > 0 &&
                node.literals[stack.top.low].size() == static_cast<size_t>(stack.top.at);
  if (!may_end) return false;
  State after;
  close(stack.below, after);
  return std::find(after.begin(), after.end(), kWhole) != after.end();
}

int32_t JsonAcceptor::look_alike(int32_t id, int32_t bytes) {
  const Stack stack = stacks_[id];
  if (id == kWhole || node_of(stack.top).kind != Kind::string) return id;
  const auto& node = node_of(stack.top);
  Frame frame = stack.top;
  if (frame.at >= node.least && frame.at <= node.most - bytes)
    frame.node = grammar_->name;  // it has no limits
  else if (frame.at > node.least - bytes)
    return id;
  frame.at = 0;
  return push(frame, stack.below);
}

void JsonAcceptor::forget_all_but(State& state) {
  std::vector<Stack> old = std::move(stacks_);
  stacks_.assign(1, {});
  numbers_.clear();
  for (int32_t& id : state) {
    std::vector<int32_t> chain;  // from the top down
    for (int32_t at = id; at != kWhole; at = old[at].below) chain.push_back(at);
    int32_t below = kWhole;
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) below = push(old[*at].top, below);
    id = below;
  }
  std::sort(state.begin(), state.end());
  start_.clear();
  open(grammar_->root, kWhole, start_);
}

}  // namespace argosy::serve
