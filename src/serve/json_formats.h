#pragma once
#include <optional>
#include <string>

#include "serve/json_grammar.h"

namespace argosy::serve {

/// Adds nodes for strings of a format: date, time, date-time (RFC 3339) or uuid; nothing for
/// others. Years have four digits, and seconds are whole.
std::optional<int32_t> add_format(const std::string& name, JsonGrammar& grammar);

}  // namespace argosy::serve
