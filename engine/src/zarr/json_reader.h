// JSON of metadata documents, read strictly: what is wrong is said with the key it stands at.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/dtype.h"
#include "zn/engine/error.h"
#include "zn/engine/shape.h"

namespace zn::internal {

using Json = nlohmann::ordered_json;

/// An object of at most 64 MiB, nested at most 64 deep (printing it again recurses).
Result<Json> ParseJsonObject(std::string_view text);

std::string PrintJson(const Json& json);

/// The value at `key`; kCorrupt "KEY: is missing".
Result<const Json*> Member(const Json& object, const char* key);
Result<std::string> TextMember(const Json& object, const char* key);

/// A list of integers of at least 0.
Result<Shape> ShapeOfJson(const Json& value, const char* key);

/// One element, as both versions of Zarr write it: numbers, "NaN", "Infinity", "-Infinity", hexadecimal bits, [re, im],
/// texts.
Result<std::vector<std::byte>> FillOfJson(const Json& value, DType dtype);

inline Error Malformed(std::string_view key, const std::string& what) {
  return {ErrorCode::kCorrupt, std::string(key) + ": " + what};
}
inline Error NotRead(std::string_view key, const std::string& what) {
  return {ErrorCode::kUnsupported, std::string(key) + ": " + what};
}

}  // namespace zn::internal
