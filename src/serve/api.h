#pragma once
#include <atomic>

#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/served_model.h"

namespace argosy::serve {

struct ApiOptions {
  std::string key;          ///< "": nobody needs one
  std::string cors_origin;  ///< whose pages may ask, "*" for all; "": this server's alone
  /// Only this machine reaches the server: its own pages are those of this machine's names. Another
  /// name that leads here is that of a page that would get past its browser's walls (DNS
  /// rebinding).
  bool local = false;
  bool log_requests = true;  ///< a line each
};

/// Whether an address or name is one of the machine itself: localhost, 127.0.0.1, ::1.
bool is_local(std::string_view host);

/// OpenAI's API, what monitors a server, and the chat page.
/// threads  any number at once
class Api {
 public:
  explicit Api(ApiOptions options) : options_(std::move(options)) {}

  /// From now on it answers with this model, which must outlive it; before, it says that it loads.
  void open(const ServedModel& model);

  void handle(const std::shared_ptr<Exchange>& exchange);      ///< a Handler
  void ended(const HttpRequest& request, const Ended& ended);  ///< counts and logs

 private:
  friend struct Routes;
  void answer(const std::shared_ptr<Exchange>& exchange);
  void expect_key(const HttpRequest& request) const;
  bool is_own_page(const HttpRequest& request) const;
  HttpResponse preflight(const HttpRequest& request, const std::string& methods) const;

  ApiOptions options_;
  std::atomic<const ServedModel*> model_{nullptr};
  Metrics metrics_;
};

}  // namespace argosy::serve
