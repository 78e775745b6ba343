#pragma once
#include <memory>

#include "serve/completion_request.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/served_model.h"

namespace argosy::serve {

/// Answers a request by the model: all its choices at once, as a stream or as a whole. Returns when
/// all is on its way.
/// throws  ApiError, Error: it cannot be answered; nothing has been sent
void start_completion(CompletionRequest request, const ServedModel& model, Metrics& metrics,
                      const std::shared_ptr<Exchange>& exchange);

}  // namespace argosy::serve
