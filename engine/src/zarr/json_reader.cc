#include "zarr/json_reader.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "zn/engine/dtype_convert.h"

namespace zn::internal {
namespace {

constexpr size_t kMaxBytes = 64 << 20;
constexpr int kMaxDepth = 64;

template <class T>
std::vector<std::byte> Bytes(T value) {
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

Error BadFill(const Json& value, DType dtype) {
  return Malformed("fill_value", PrintJson(value).substr(0, 64) + " is no " + std::string(ZarrName(dtype)));
}

template <class T>
Result<std::vector<std::byte>> IntegerFill(const Json& value, DType dtype) {
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(std::numeric_limits<T>::max())) return Bytes(static_cast<T>(number));
  } else if (value.is_number_integer()) {
    const int64_t number = value.get<int64_t>();
    if (number >= static_cast<int64_t>(std::numeric_limits<T>::min()) &&
        (number < 0 || static_cast<uint64_t>(number) <= static_cast<uint64_t>(std::numeric_limits<T>::max())))
      return Bytes(static_cast<T>(number));
  } else if (value.is_number_float() && value.get<double>() == 0) {
    return Bytes(T{0});  // as some writers have it
  }
  return BadFill(value, dtype);
}

Result<double> Real(const Json& value, DType dtype) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  }
  return BadFill(value, dtype);
}

// "0x7fc00000": the bits of a float, most significant first.
bool HexBits(const Json& value, size_t size, std::vector<std::byte>& bytes) {
  if (!value.is_string()) return false;
  const std::string text = value.get<std::string>();
  if (text.size() != 2 + 2 * size || text.compare(0, 2, "0x") != 0 ||
      text.find_first_not_of("0123456789abcdefABCDEF", 2) != text.npos)
    return false;
  bytes.resize(size);
  for (size_t i = 0; i < size; ++i)
    bytes[size - 1 - i] = static_cast<std::byte>(std::stoi(text.substr(2 + 2 * i, 2), nullptr, 16));
  return true;
}

template <class T>
Result<std::vector<std::byte>> ComplexFill(const Json& value, DType dtype) {
  T parts[2] = {};
  if (value.is_array() && value.size() == 2) {
    for (size_t i = 0; i < 2; ++i) {
      ZN_ASSIGN_OR_RETURN(const double part, Real(value[i], dtype));
      parts[i] = static_cast<T>(part);
    }
  } else {
    ZN_ASSIGN_OR_RETURN(const double part, Real(value, dtype));
    parts[0] = static_cast<T>(part);
  }
  std::vector<std::byte> bytes(sizeof parts);
  std::memcpy(bytes.data(), parts, sizeof parts);
  return bytes;
}

}  // namespace

Result<Json> ParseJsonObject(std::string_view text) {
  if (text.size() > kMaxBytes) return Error{ErrorCode::kTooLarge, "is longer than 64 MiB"};
  bool too_deep = false;
  // Counted before it is parsed, so that a hostile document is not even built.
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size() && !too_deep; ++i) {
    if (quoted) {
      if (text[i] == '\\')
        ++i;
      else
        quoted = text[i] != '"';
    } else if (text[i] == '"') {
      quoted = true;
    } else if (text[i] == '[' || text[i] == '{') {
      too_deep = ++depth > kMaxDepth;
    } else if (text[i] == ']' || text[i] == '}') {
      --depth;
    }
  }
  if (too_deep) return Error{ErrorCode::kCorrupt, "is nested more than 64 deep"};
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Error{ErrorCode::kCorrupt, "is no JSON"};
  if (!json.is_object()) return Error{ErrorCode::kCorrupt, "is no JSON object"};
  return json;
}

std::string PrintJson(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Result<const Json*> Member(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return Malformed(key, "is missing");
  return &*found;
}

Result<std::string> TextMember(const Json& object, const char* key) {
  ZN_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (!value->is_string()) return Malformed(key, "is no text");
  return value->get<std::string>();
}

Result<Shape> ShapeOfJson(const Json& value, const char* key) {
  if (!value.is_array()) return Malformed(key, "is no list of integers");
  if (value.size() > Shape::kMaxRank)
    return NotRead(key, std::to_string(value.size()) + " axes; at most 8 are read");
  Shape shape;
  for (const Json& extent : value) {
    // Some writers have 10.0.
    const bool whole = extent.is_number_float() && extent.get<double>() >= 0 && extent.get<double>() < 0x1p53 &&
                       std::floor(extent.get<double>()) == extent.get<double>();
    const bool integer = extent.is_number_integer() && !(extent.is_number_unsigned() && extent.get<uint64_t>() > INT64_MAX);
    if (!whole && (!integer || extent.get<int64_t>() < 0)) return Malformed(key, "is no list of integers of at least 0");
    shape.Append(whole ? static_cast<int64_t>(extent.get<double>()) : extent.get<int64_t>());
  }
  return shape;
}

Result<std::vector<std::byte>> FillOfJson(const Json& value, DType dtype) {
  std::vector<std::byte> bytes;
  switch (dtype) {
    case DType::kBool:
      if (value.is_boolean()) return Bytes(static_cast<uint8_t>(value.get<bool>()));
      if (value.is_number() && (value == 0 || value == 1)) return Bytes(static_cast<uint8_t>(value == 1));
      return BadFill(value, dtype);
    case DType::kInt8:
      return IntegerFill<int8_t>(value, dtype);
    case DType::kInt16:
      return IntegerFill<int16_t>(value, dtype);
    case DType::kInt32:
      return IntegerFill<int32_t>(value, dtype);
    case DType::kInt64:
      return IntegerFill<int64_t>(value, dtype);
    case DType::kUInt8:
      return IntegerFill<uint8_t>(value, dtype);
    case DType::kUInt16:
      return IntegerFill<uint16_t>(value, dtype);
    case DType::kUInt32:
      return IntegerFill<uint32_t>(value, dtype);
    case DType::kUInt64:
      return IntegerFill<uint64_t>(value, dtype);
    case DType::kFloat16:
    case DType::kFloat32:
    case DType::kFloat64: {
      if (HexBits(value, ItemSize(dtype), bytes)) return bytes;
      ZN_ASSIGN_OR_RETURN(const double number, Real(value, dtype));
      if (dtype == DType::kFloat64) return Bytes(number);
      if (dtype == DType::kFloat32) return Bytes(static_cast<float>(number));
      return Bytes(DoubleToHalf(number));
    }
    case DType::kComplex64:
      return ComplexFill<float>(value, dtype);
    case DType::kComplex128:
      return ComplexFill<double>(value, dtype);
    case DType::kJson: {
      if (value.is_number() && value == 0) return bytes;  // v2's, for texts too
      if (!value.is_string()) return BadFill(value, dtype);
      const std::string text = value.get<std::string>();
      const auto* begin = reinterpret_cast<const std::byte*>(text.data());
      return std::vector<std::byte>(begin, begin + text.size());
    }
  }
  return BadFill(value, dtype);
}

}  // namespace zn::internal
