#pragma once
#include <string>

namespace argosy::serve {

/// Why a request is not answered as asked, thrown as it is; the fields are those that OpenAI's
/// clients read. "" is null.
struct ApiError {
  int status = 400;
  std::string type = "invalid_request_error";
  std::string message;  ///< what is wrong, and what to do
  std::string param;    ///< the field of the request
  std::string code;
};

std::string error_json(const ApiError& error);

}  // namespace argosy::serve
