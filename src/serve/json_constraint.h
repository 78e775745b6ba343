#pragma once
#include <map>
#include <memory>
#include <vector>

#include "serve/generator.h"
#include "serve/json_acceptor.h"

namespace argosy::serve {

/// The spellings of a vocabulary as a tree that is walked from front to back: what begins alike is
/// looked at once. Special tokens are not in it.
class VocabularyTree {
 public:
  explicit VocabularyTree(const text::Tokenizer& tokenizer);

  struct Node {
    uint8_t byte = 0;
    int32_t depth = 0;                    ///< bytes before this one
    int32_t after = 0;                    ///< the first node that does not begin as this one
    int32_t first_token = 0, tokens = 0;  ///< those that end here, in tokens()
  };
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Token>& tokens() const { return tokens_; }
  int64_t vocabulary() const { return vocabulary_; }
  int32_t height() const { return height_; }  ///< bytes of the longest token
  /// Whether each byte that JSON is written with is a token, so that no text ends in between.
  bool spells_json() const { return spells_json_; }

 private:
  std::vector<Node> nodes_;  // a parent before its children
  std::vector<Token> tokens_;
  int64_t vocabulary_;
  int32_t height_ = 0;
  bool spells_json_ = true;
};

/// Lets through the tokens that continue a text of the grammar, and those that end the answer once
/// it is whole.
class JsonConstraint : public Constraint {
 public:
  /// The tokenizer must outlive it.
  JsonConstraint(std::shared_ptr<const VocabularyTree> tree, const text::Tokenizer& tokenizer,
                 std::vector<Token> ends, SharedGrammar grammar);
  void allow(std::vector<bool>& allowed) override;
  void accept(Token token) override;
  /// In how many ways the text so far is read.
  size_t readings() const { return state_.size(); }

 private:
  /// What may follow on a state, by those of its stacks that were looked at.
  struct Known {
    JsonAcceptor::State stacks;
    std::vector<bool> allowed;
  };
  Known find_allowed(const JsonAcceptor::State& state);
  void walk(int32_t stack, std::vector<bool>& found);
  JsonAcceptor::State look_alikes();

  std::shared_ptr<const VocabularyTree> tree_;
  const text::Tokenizer& tokenizer_;
  std::vector<Token> ends_;
  JsonAcceptor acceptor_;
  JsonAcceptor::State state_, next_;
  std::vector<JsonAcceptor::State> path_;       // by depth in the tree
  std::map<JsonAcceptor::State, Known> known_;  // by look_alikes()
};

}  // namespace argosy::serve
