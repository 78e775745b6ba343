#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/json_number.h"

namespace argosy::serve {

/// Which JSON texts may be written, as nodes that name each other by their place in `nodes`.
/// Everything that a schema leaves open is decided narrowly, so that each text is of the schema,
/// but not each text of the schema can be written: properties come in the order of the schema, and
/// where a schema names properties no others are made up.
struct JsonGrammar {
  enum class Kind : uint8_t { object, array, string, number, literals, any_of, sequence };
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  static constexpr int32_t kNone = -1;
  static constexpr int32_t kMaxDepth = 64;    ///< of objects and arrays in each other
  static constexpr int32_t kNever = 1 << 20;  ///< the height of what can never be whole
  static constexpr size_t kMostParts = 128;   ///< of an any_of

  struct Property {
    std::string spelling;  ///< the name as JSON, quotes included
    int32_t value = kNone;
    bool required = false;
  };
  struct Node {
    Kind kind = Kind::literals;
    std::vector<Property> properties;    ///< object
    int32_t inner = kNone;               ///< array: its items; object without properties: any value
    int64_t least = 0, most = kNoLimit;  ///< items of an array, characters of a string
    NumberForm number;
    std::vector<std::string> literals;  ///< sorted, each a whole text
    std::vector<int32_t> parts;         ///< any_of: one of these; sequence: one after another
    int32_t height = kNever;            ///< least number of levels in which it can be whole
  };
  std::vector<Node> nodes;
  int32_t root = kNone;
  int32_t name = kNone;   ///< any name of a property
  size_t text_bytes = 0;  ///< of names and literals

  int32_t add(Node node) {
    nodes.push_back(std::move(node));
    return static_cast<int32_t>(nodes.size()) - 1;
  }
};
using SharedGrammar = std::shared_ptr<const JsonGrammar>;

/// The grammar of a JSON schema (a JSON text); "" means any object.
/// where  the name of the request's field, for errors
/// throws Error that names an unsupported keyword, a wrong type, or a schema that nothing meets
SharedGrammar json_grammar(std::string_view schema, const std::string& where);

/// A call that a model may make, and the schema of its arguments ("": any object).
struct CallSchema {
  std::string name, arguments;
};

/// Calls between two texts: BEFORE {"name": NAME, "arguments": {...}} AFTER, one of `calls`.
SharedGrammar call_grammar(const std::vector<CallSchema>& calls, const std::string& before,
                           const std::string& after, const std::string& where);

}  // namespace argosy::serve
