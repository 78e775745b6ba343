#pragma once
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "base/error.h"

namespace argosy::test {

/// `text` is shown where a check of this fails.
inline bool contains(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

/// What the Error says that `act` throws.
inline std::string error_text(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace argosy::test
