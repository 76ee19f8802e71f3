// The comment line of an extended XYZ frame: key=value pairs.
//
//   comment = { pair | key } ; a bare key is true
//   pair    = key [ws] "=" [ws] value
//   key     = bare | quoted
//   value   = bare | quoted | "'" text "'" | "{" words "}" | "[" list "]"
//   quoted  = '"' { any | '\"' | '\\' | '\n' } '"'
//
// As ASE 3.22 reads them, and where that loses something, as the specification of libAtoms has it
// (nested lists, d exponents, spaces around "="). Words that are all integers, numbers or booleans
// are an array, one of them a scalar; the elements of [...] stay an array. "_JSON ..." is JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"
#include "zn/engine/shape.h"

namespace zn::formats {

/// What stands behind a key.
struct Value {
  enum class Type : uint8_t { kBool, kInt, kFloat, kString, kJson };
  Type type = Type::kBool;
  Shape shape;                 // of numbers; () for a scalar, never for kString and kJson
  std::vector<int64_t> ints;   // kBool (0 and 1), kInt
  std::vector<double> floats;  // kFloat
  std::string text;  // kString: the text; kJson: JSON, with "NaN" and "Infinity" as strings

  bool is_number() const { return type == Type::kInt || type == Type::kFloat; }
  bool is_array() const { return type <= Type::kFloat; }
  size_t elements() const { return type == Type::kFloat ? floats.size() : ints.size(); }
  /// REQUIRES: is_array() and i < elements().
  double AsDouble(size_t i) const {
    return type == Type::kFloat ? floats[i] : static_cast<double>(ints[i]);
  }
  static Value Bool(bool value) { return Value{Type::kBool, {}, {value ? 1 : 0}, {}, {}}; }
  static Value String(std::string value) {
    return Value{Type::kString, {}, {}, {}, std::move(value)};
  }
};

struct KeyValue {
  std::string key;
  Value value;
  bool bare = false;  // a key without "="
};

/// kCorrupt naming the key where quotes or brackets do not close, or a "=" has no key.
Result<std::vector<KeyValue>> ParseComment(std::string_view comment);

/// The value of words that were bare or in quotes: "1 2 3", "T F", "two words".
Value ParseWords(std::string_view text);

/// JSON to a Value: uniform nested lists of numbers or booleans become arrays (at most 4 axes),
/// strings kString, the rest kJson. NaN, Infinity and -Infinity are read as Python writes them.
/// kCorrupt when it is none.
Result<Value> ParseJsonValue(std::string_view json);

/// The value as JSON text.
std::string ValueToJson(const Value& value);

}  // namespace zn::formats
