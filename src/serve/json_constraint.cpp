#include "serve/json_constraint.h"

#include <algorithm>
#include <bitset>
#include <string_view>

#include "base/check.h"

namespace argosy::serve {
namespace {

// What is remembered of states before, for one request: 256 answers are 2 MB with 64k tokens.
constexpr size_t kMostKnown = 256, kMostStacks = 50'000;
// A string may walk all of the vocabulary. So many walks a token are taken at most.
constexpr size_t kMostWalks = 4;

}  // namespace

VocabularyTree::VocabularyTree(const text::Tokenizer& tokenizer)
    : vocabulary_(tokenizer.vocabulary()) {
  std::vector<std::pair<std::string_view, Token>> sorted;
  std::bitset<256> single;
  for (int64_t i = 0; i < vocabulary_; ++i) {
    const auto token = static_cast<Token>(i);
    const std::string_view bytes = tokenizer.bytes(token);
    if (bytes.empty() || tokenizer.is_special(token)) continue;
    sorted.emplace_back(bytes, token);
    if (bytes.size() == 1) single.set(static_cast<uint8_t>(bytes[0]));
  }
  for (int byte = 0x20; byte < 0x7F; ++byte) spells_json_ = spells_json_ && single[byte];
  std::sort(sorted.begin(), sorted.end());

  std::vector<int32_t> path;  // the nodes of the spelling before
  const auto leave = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes_[path.back()].after = static_cast<int32_t>(nodes_.size());
  };
  std::string_view before;
  for (const auto& [bytes, token] : sorted) {
    const auto differ = std::mismatch(before.begin(), before.end(), bytes.begin(), bytes.end());
    leave(static_cast<size_t>(differ.first - before.begin()));
    for (size_t depth = path.size(); depth < bytes.size(); ++depth) {
      path.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({.byte = static_cast<uint8_t>(bytes[depth]),
                        .depth = static_cast<int32_t>(depth),
                        .first_token = static_cast<int32_t>(tokens_.size())});
    }
    ++nodes_[path.back()].tokens;
    tokens_.push_back(token);
    height_ = std::max(height_, static_cast<int32_t>(bytes.size()));
    before = bytes;
  }
  leave(0);
}

JsonConstraint::JsonConstraint(std::shared_ptr<const VocabularyTree> tree,
                               const text::Tokenizer& tokenizer, std::vector<Token> ends,
                               SharedGrammar grammar)
    : tree_(std::move(tree)),
      tokenizer_(tokenizer),
      ends_(std::move(ends)),
      acceptor_(std::move(grammar)),
      state_(acceptor_.start()),
      path_(static_cast<size_t>(tree_->height()) + 1) {}

/// Adds the tokens that may follow on a stack.
void JsonConstraint::walk(int32_t stack, std::vector<bool>& found) {
  const auto& nodes = tree_->nodes();
  path_[0] = {stack};
  for (size_t i = 0; i < nodes.size();) {
    const VocabularyTree::Node& node = nodes[i];
    const auto& state = path_[static_cast<size_t>(node.depth)];
    auto& reached = path_[static_cast<size_t>(node.depth) + 1];
    acceptor_.step(state, node.byte, reached);
    if (reached.empty()) {
      i = static_cast<size_t>(node.after);
      continue;
    }
    for (int32_t k = 0; k < node.tokens; ++k)
      found[static_cast<size_t>(tree_->tokens()[static_cast<size_t>(node.first_token + k)])] = true;
    ++i;
  }
}

JsonConstraint::Known JsonConstraint::find_allowed(const JsonAcceptor::State& state) {
  Known known{.allowed = std::vector<bool>(static_cast<size_t>(tree_->vocabulary()))};
  const size_t enough = acceptor_.steps() + kMostWalks * tree_->nodes().size();
  for (const int32_t stack : state) {
    if (acceptor_.steps() >= enough) break;
    walk(stack, known.allowed);
    known.stacks.push_back(stack);
  }
  if (acceptor_.complete(known.stacks))
    for (const Token end : ends_) known.allowed[static_cast<size_t>(end)] = true;
  return known;
}

JsonAcceptor::State JsonConstraint::look_alikes() {
  JsonAcceptor::State alike;
  for (const int32_t stack : state_) alike.push_back(acceptor_.look_alike(stack, tree_->height()));
  std::sort(alike.begin(), alike.end());
  alike.erase(std::unique(alike.begin(), alike.end()), alike.end());
  return alike;
}

void JsonConstraint::allow(std::vector<bool>& allowed) {
  check(allowed.size() >= static_cast<size_t>(tree_->vocabulary()), "logits of the vocabulary");
  if (known_.size() >= kMostKnown || acceptor_.stacks() > kMostStacks) {
    known_.clear();
    acceptor_.forget_all_but(state_);
  }
  const JsonAcceptor::State alike = look_alikes();
  auto place = known_.find(alike);
  if (place == known_.end()) place = known_.emplace(alike, find_allowed(alike)).first;
  const Known& known = place->second;
  // readings that were not looked at are given up: fewer texts are left, all of them good
  if (known.stacks.size() < alike.size())
    std::erase_if(state_, [&](int32_t stack) {
      return !std::ranges::binary_search(known.stacks,
                                         acceptor_.look_alike(stack, tree_->height()));
    });
  for (size_t i = 0; i < known.allowed.size(); ++i)
    if (!known.allowed[i]) allowed[i] = false;
  // a model may have more logits than its tokenizer has tokens
  for (size_t i = known.allowed.size(); i < allowed.size(); ++i) allowed[i] = false;
}

void JsonConstraint::accept(Token token) {
  if (std::find(ends_.begin(), ends_.end(), token) != ends_.end()) return;
  for (const char byte : tokenizer_.bytes(token)) {
    acceptor_.step(state_, static_cast<uint8_t>(byte), next_);
    std::swap(state_, next_);
  }
  check(!state_.empty(), "a token that the constraint had cleared");
}

}  // namespace argosy::serve
