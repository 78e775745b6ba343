#pragma once
#include <string>
#include <string_view>

#include "serve/json_grammar.h"

namespace argosy::serve {

/// Adds nodes for a JSON schema (a JSON text; "": any object) and returns the one that is all of
/// it.
///
/// throws  Error that names an unsupported keyword or a wrong type
int32_t add_schema(std::string_view schema, JsonGrammar& grammar, const std::string& where);

}  // namespace argosy::serve
