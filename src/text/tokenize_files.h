#pragma once
#include <atomic>
#include <functional>

#include "text/text_files.h"
#include "text/token_store.h"

namespace argosy::text {

struct TokenizeOptions {
  const ChatTemplate* chat = nullptr;  ///< of conversations; without it they are an Error
  bool strict = false;                 ///< end at the first line that cannot be read
  const std::atomic<bool>* stop = nullptr;
  std::function<void(int64_t bytes)> progress;  ///< of the files, done so far
};

struct TokenizeReport {
  int64_t files = 0, bytes = 0;  ///< of texts, and of what is said in conversations
  int64_t conversations = 0;
  int64_t unspelled_bytes = 0;  ///< that the vocabulary has no tokens for, and that are left out
  SkippedLines skipped;
  bool stopped = false;
};

/// Puts every document of the files into the store, each closed by document_end().
TokenizeReport tokenize_files(std::span<const Path> files, const Tokenizer& tokenizer,
                              TokenStoreWriter& store, const TokenizeOptions& options = {});

/// A conversation as tokens, and which of them the assistant says. Closed as it ends.
Prompt encode_conversation(std::span<const Message> messages, const ChatTemplate& chat,
                           const Tokenizer& tokenizer);

}  // namespace argosy::text
