#include "serve/json_constraint.h"

#include <algorithm>
#include <bitset>
#include <string_view>

#include "base/check.h"

namespace argosy::serve {
namespace {

// What is remembered of states before, for one request: 256 answers are 2 MB with 64k tokens.
constexpr size_t kMostKnown = 256, kMostStacks = 200'000;

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

std::vector<bool> JsonConstraint::find_allowed() {
  std::vector<bool> found(static_cast<size_t>(tree_->vocabulary()));
  const auto& nodes = tree_->nodes();
  path_[0] = state_;
  for (size_t i = 0; i < nodes.size();) {
    const VocabularyTree::Node& node = nodes[i];
    auto& reached = path_[static_cast<size_t>(node.depth) + 1];
    acceptor_.step(path_[static_cast<size_t>(node.depth)], node.byte, reached);
    if (reached.empty()) {
      i = static_cast<size_t>(node.after);
      continue;
    }
    for (int32_t k = 0; k < node.tokens; ++k)
      found[static_cast<size_t>(tree_->tokens()[static_cast<size_t>(node.first_token + k)])] = true;
    ++i;
  }
  if (acceptor_.complete(state_))
    for (const Token end : ends_) found[static_cast<size_t>(end)] = true;
  return found;
}

void JsonConstraint::allow(std::vector<bool>& allowed) {
  check(allowed.size() >= static_cast<size_t>(tree_->vocabulary()), "logits of the vocabulary");
  auto known = known_.find(state_);
  if (known == known_.end()) {
    if (known_.size() >= kMostKnown || acceptor_.stacks() > kMostStacks) {
      known_.clear();
      acceptor_.forget_all_but(state_);
    }
    known = known_.emplace(state_, std::vector<bool>()).first;
    known->second = find_allowed();
  }
  const std::vector<bool>& found = known->second;
  for (size_t i = 0; i < found.size(); ++i)
    if (!found[i]) allowed[i] = false;
  // a model may have more logits than its tokenizer has tokens
  for (size_t i = found.size(); i < allowed.size(); ++i) allowed[i] = false;
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
