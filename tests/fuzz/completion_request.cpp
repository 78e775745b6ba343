// Requests to the server: JSON, fields, schemas, and texts read by what a schema becomes.
#include "serve/completion_request.h"

#include "base/error.h"
#include "serve/api_error.h"
#include "serve/json_acceptor.h"

using namespace argosy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto read : {serve::read_chat_request, serve::read_completion_request}) {
    try {
      const serve::CompletionRequest request = read(text, 1000);
      if (!request.schema) continue;
      serve::JsonAcceptor acceptor(serve::json_grammar(*request.schema, "schema"));
      serve::JsonAcceptor::State state = acceptor.start(), next;
      for (const char byte : text) {
        acceptor.step(state, static_cast<uint8_t>(byte), next);
        if (!next.empty()) std::swap(state, next);
      }
      acceptor.complete(state);
      acceptor.forget_all_but(state);
    } catch (const serve::ApiError&) {
    } catch (const Error&) {
    }
  }
  return 0;
}
