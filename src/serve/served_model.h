#pragma once
#include <memory>
#include <optional>
#include <string>

#include "serve/generator.h"
#include "serve/json_constraint.h"
#include "text/chat_template.h"

namespace argosy::serve {

/// What a server answers with. Tokenizer and generator must outlive it.
struct ServedModel {
  ServedModel(std::string name, const text::Tokenizer& tokenizer, Generator& generator,
              std::optional<text::ChatTemplate> chat)
      : name(std::move(name)),
        tokenizer(tokenizer),
        generator(generator),
        chat(std::move(chat)),
        tree(std::make_shared<VocabularyTree>(tokenizer)) {}

  std::string name;
  const text::Tokenizer& tokenizer;
  Generator& generator;
  std::optional<text::ChatTemplate> chat;  ///< none: it continues texts alone
  std::shared_ptr<const VocabularyTree> tree;
};

}  // namespace argosy::serve
