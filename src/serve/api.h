#pragma once
#include <atomic>
#include <functional>

#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/served_model.h"

namespace argosy::serve {

struct ApiOptions {
  std::string key;           ///< "": nobody needs one
  std::string cors_origin;   ///< whose pages may ask, "*" for all; "": this server's alone
  bool log_requests = true;  ///< a line each
};

/// OpenAI's API, what monitors a server, and the chat page.
/// threads  any number at once
class Api {
 public:
  explicit Api(ApiOptions options) : options_(std::move(options)) {}

  /// From now on it answers with this model, which must outlive it; before, it says that it loads.
  void open(const ServedModel& model);
  /// For /metrics.
  void count_connections(std::function<int64_t()> connections);

  void handle(const std::shared_ptr<Exchange>& exchange);      ///< a Handler
  void ended(const HttpRequest& request, const Ended& ended);  ///< counts and logs

 private:
  friend struct Routes;
  void answer(const std::shared_ptr<Exchange>& exchange);
  void expect_key(const HttpRequest& request) const;
  HttpResponse preflight(const std::string& methods) const;

  ApiOptions options_;
  std::atomic<const ServedModel*> model_{nullptr};
  std::function<int64_t()> connections_;
  Metrics metrics_;
};

}  // namespace argosy::serve
