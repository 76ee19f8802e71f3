#include "api/decode_value.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

using msgpack::Reader;
using msgpack::Token;
using msgpack::Type;

// Rows without bytes would let a small body name any number of them.
constexpr int64_t kMaxEmpty = 1'000'000;

Error Invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

std::optional<double> SpecialNumber(std::string_view text) {
  if (text == "NaN") return std::nan("");
  if (text == "Infinity") return HUGE_VAL;
  if (text == "-Infinity") return -HUGE_VAL;
  return std::nullopt;
}

// What a native value turns out to be as numbers.
struct NumberScan {
  Shape shape;
  bool any_bool = false, any_negative = false, any_large = false, any_float = false, any_special = false;
  bool any_number = false;
};

// Passes over a native value; false when it is no (nested list of equal lengths of) numbers. The reader is then anywhere.
Result<bool> Scan(Reader& reader, const ValueOptions& options, size_t depth, bool first, NumberScan& scan) {
  ZN_ASSIGN_OR_RETURN(const Token token, reader.Next());
  if (token.type == Type::kArray) {
    if (depth == Shape::kMaxRank) return false;
    if (first) {
      if (scan.shape.rank() != depth) return false;
      scan.shape.Append(static_cast<int64_t>(token.count));
    } else if (scan.shape.rank() <= depth || scan.shape[depth] != static_cast<int64_t>(token.count)) {
      return false;
    }
    for (uint64_t i = 0; i < token.count; ++i) {
      ZN_ASSIGN_OR_RETURN(const bool numbers, Scan(reader, options, depth + 1, first && i == 0, scan));
      if (!numbers) return false;
    }
    return true;
  }
  if (scan.shape.rank() != depth) return false;
  switch (token.type) {
    case Type::kBool:
      scan.any_bool = true;
      return true;
    case Type::kInt:
      scan.any_negative = scan.any_number = true;
      return true;
    case Type::kUInt:
      scan.any_large |= token.unsigned_ > static_cast<uint64_t>(INT64_MAX);
      scan.any_number = true;
      return true;
    case Type::kFloat:
      scan.any_float = scan.any_number = true;
      return true;
    case Type::kStr:
      if (!options.special_strings || !SpecialNumber(token.bytes)) return false;
      scan.any_special = true;
      return true;
    default:
      return false;
  }
}

// The numbers themselves; `reader` stands where Scan began.
template <class T, class Take>
Result<Buffer> Collect(Reader& reader, const Shape& shape, Take take) {
  std::vector<T> values;
  values.reserve(static_cast<size_t>(shape.Elements()));  // each has a byte in the body
  const auto end = static_cast<size_t>(shape.Elements());
  if (end == 0) {
    ZN_RETURN_IF_ERROR(reader.Skip());
    return Buffer::Own(std::move(values));
  }
  while (values.size() < end) {
    ZN_ASSIGN_OR_RETURN(const Token token, reader.Next());
    if (token.type == Type::kArray) continue;
    ZN_ASSIGN_OR_RETURN(const T value, take(token));
    values.push_back(value);
  }
  return Buffer::Own(std::move(values));
}

Result<double> AsDouble(const Token& token) {
  // Beyond 2^53 only some integers are float 64.
  constexpr uint64_t kExact = uint64_t{1} << 53;
  if (token.type == Type::kFloat) return token.number;
  if (token.type == Type::kStr) return *SpecialNumber(token.bytes);
  const auto value = token.type == Type::kInt ? static_cast<double>(token.integer) : static_cast<double>(token.unsigned_);
  const uint64_t size = token.type == Type::kInt ? 0 - static_cast<uint64_t>(token.integer) : token.unsigned_;
  if (size > kExact && !(value < 0x1p64 && static_cast<uint64_t>(std::fabs(value)) == size))
    return Error{ErrorCode::kTypeMismatch, "the integer " + std::to_string(token.integer) +
                                               " stands among other numbers, and float64 does not have it"};
  return value;
}

Result<BodyValue> NativeNumbers(Reader& reader, const NumberScan& scan) {
  BodyValue value;
  value.kind = BodyValue::Kind::kNumbers;
  value.shape = scan.shape;
  if (scan.any_bool) {
    value.dtype = DType::kBool;
    ZN_ASSIGN_OR_RETURN(value.data, Collect<uint8_t>(reader, scan.shape, [](const Token& t) -> Result<uint8_t> {
                          return static_cast<uint8_t>(t.boolean);
                        }));
  } else if (scan.any_float || scan.any_special || (scan.any_large && scan.any_negative)) {
    value.dtype = DType::kFloat64;
    ZN_ASSIGN_OR_RETURN(value.data, Collect<double>(reader, scan.shape, AsDouble));
  } else if (scan.any_large) {
    value.dtype = DType::kUInt64;
    ZN_ASSIGN_OR_RETURN(value.data, Collect<uint64_t>(reader, scan.shape, [](const Token& t) -> Result<uint64_t> {
                          return t.unsigned_;
                        }));
  } else {
    value.dtype = DType::kInt64;
    ZN_ASSIGN_OR_RETURN(value.data, Collect<int64_t>(reader, scan.shape, [](const Token& t) -> Result<int64_t> {
                          return t.integer;
                        }));
  }
  return value;
}

// The members of an array as msgpack_numpy writes it, in any order.
struct ArrayMembers {
  bool has_nd = false, nd = false;
  std::optional<std::string_view> type, data;
  std::optional<Shape> shape;
};

Result<std::optional<BodyValue>> ReadArray(Reader& reader, uint64_t pairs, const Buffer& body) {
  ArrayMembers members;
  if (pairs > 6) return std::optional<BodyValue>();
  for (uint64_t i = 0; i < pairs; ++i) {
    ZN_ASSIGN_OR_RETURN(const Token key, reader.Next());
    if (key.type != Type::kStr && key.type != Type::kBin) return std::optional<BodyValue>();
    if (key.bytes == "nd") {
      ZN_ASSIGN_OR_RETURN(const Token nd, reader.Next());
      if (nd.type != Type::kBool) return std::optional<BodyValue>();
      members.has_nd = true;
      members.nd = nd.boolean;
    } else if (key.bytes == "type") {
      ZN_ASSIGN_OR_RETURN(const Token type, reader.Next());
      if (type.type == Type::kArray) return Invalid("arrays of structures are not possible");
      if (type.type != Type::kStr && type.type != Type::kBin) return std::optional<BodyValue>();
      members.type = type.bytes;
    } else if (key.bytes == "kind") {
      ZN_ASSIGN_OR_RETURN(const Token kind, reader.Next());
      if ((kind.type == Type::kStr || kind.type == Type::kBin) && kind.bytes == "O")
        return Invalid("arrays of Python objects are pickled, and not read here: send lists");
    } else if (key.bytes == "shape") {
      ZN_ASSIGN_OR_RETURN(const Token list, reader.Next());
      if (list.type != Type::kArray || list.count > Shape::kMaxRank)
        return Invalid("an array's shape is not a list of at most 8 lengths");
      Shape shape;
      for (uint64_t axis = 0; axis < list.count; ++axis) {
        ZN_ASSIGN_OR_RETURN(const Token extent, reader.Next());
        if (extent.type != Type::kUInt || extent.integer < 0) return Invalid("an array's shape holds what is no length");
        shape.Append(extent.integer);
      }
      members.shape = shape;
    } else if (key.bytes == "data") {
      ZN_ASSIGN_OR_RETURN(const Token data, reader.Next());
      if (data.type != Type::kBin && data.type != Type::kStr) return std::optional<BodyValue>();
      members.data = data.bytes;
    } else {
      return std::optional<BodyValue>();
    }
  }
  if (!members.has_nd || !members.type || !members.data) return std::optional<BodyValue>();
  if (members.nd && !members.shape) return Invalid("an array without shape");
  const auto offset = static_cast<size_t>(members.data->data() - reader.bytes().data());
  ZN_ASSIGN_OR_RETURN(BodyValue value, ArrayValue(*members.type, members.nd ? *members.shape : Shape(),
                                                  body.Slice(offset, members.data->size())));
  return std::optional<BodyValue>(std::move(value));
}

void AppendUtf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
  } else if (c < 0x10000) {
    out += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
  } else {
    out += {static_cast<char>(0xf0 | (c >> 18 & 7)), static_cast<char>(0x80 | (c >> 12 & 63)),
            static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
  }
}

// NumPy's fixed-size strings, NULs at their end cut off, as nested lists of JSON strings.
void AppendTexts(const Shape& shape, size_t axis, char kind, bool swap, size_t item, const std::byte*& at,
                 std::string& out) {
  if (axis < shape.rank()) {
    out += '[';
    for (int64_t i = 0; i < shape[axis]; ++i) {
      if (i > 0) out += ',';
      AppendTexts(shape, axis + 1, kind, swap, item, at, out);
    }
    out += ']';
    return;
  }
  std::string text;
  if (kind == 'S') {
    text.assign(reinterpret_cast<const char*>(at), item);
    while (!text.empty() && text.back() == '\0') text.pop_back();
  } else {
    for (size_t i = 0; i < item; i += 4) {
      uint32_t c;
      std::memcpy(&c, at + i, 4);
      if (swap) c = __builtin_bswap32(c);
      AppendUtf8(c, text);
    }
    while (!text.empty() && text.back() == '\0') text.pop_back();
  }
  at += item;
  formats::AppendJsonString(text, out);
}

Result<BodyValue> TextArray(char kind, bool swap, std::string_view digits, const Shape& shape, const Buffer& data) {
  size_t length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  const int64_t elements = shape.Elements();
  if (error != std::errc() || end != digits.data() + digits.size() || length > (1u << 20))
    return Invalid("an array of texts has a dtype without a length");
  const size_t item = length * (kind == 'U' ? 4 : 1);
  if (elements < 0 || (item == 0 && elements > kMaxEmpty) ||
      (item > 0 && (data.size() % item != 0 || static_cast<uint64_t>(elements) != data.size() / item)))
    return Invalid("an array of texts has " + std::to_string(data.size()) + " bytes, which its shape " + shape.ToString() +
                   " does not need");
  BodyValue value;
  value.kind = BodyValue::Kind::kText;
  const std::byte* at = data.data();
  AppendTexts(shape, 0, kind, swap, item, at, value.text);
  return value;
}

Buffer Swapped(const Buffer& data, size_t word) {
  std::vector<std::byte> out(data.size());
  for (size_t i = 0; i + word <= data.size(); i += word)
    for (size_t k = 0; k < word; ++k) out[i + k] = data.data()[i + word - 1 - k];
  return Buffer::Own(std::move(out));
}

}  // namespace

Result<BodyValue> ArrayValue(std::string_view name, const Shape& shape, Buffer data) {
  if (name.empty()) return Invalid("an array without dtype");
  int64_t before_empty = 1;
  for (int64_t extent : shape) {
    if (extent == 0 && before_empty > kMaxEmpty) return Invalid("an array of more than 1000000 empty rows");
    if (extent < 0 || __builtin_mul_overflow(before_empty, extent, &before_empty))
      return Invalid("an array of shape " + shape.ToString() + " is too large");
    if (extent == 0) break;
  }
  const bool big = name[0] == '>';
  std::string_view plain = name;
  if (plain[0] == '<' || plain[0] == '>' || plain[0] == '|' || plain[0] == '=') plain.remove_prefix(1);
  if (!plain.empty() && (plain[0] == 'U' || plain[0] == 'S'))
    return TextArray(plain[0], big, plain.substr(1), shape, data);
  auto dtype = ParseDType(std::string("<") + std::string(plain));
  if (!dtype) dtype = ParseDType(std::string("|") + std::string(plain));
  if (!dtype) dtype = ParseDType(plain);
  if (!dtype || *dtype == DType::kJson)
    return Error{ErrorCode::kUnsupported, "the dtype '" + std::string(name.substr(0, 40)) + "' is not one of the store's"};
  const size_t item = ItemSize(*dtype);
  const int64_t elements = shape.Elements();
  if (elements < 0 || data.size() % item != 0 || data.size() / item != static_cast<uint64_t>(elements))
    return Invalid("an array of shape " + shape.ToString() + " and dtype " + std::string(name) + " does not have " +
                   std::to_string(data.size()) + " bytes");
  BodyValue value;
  value.kind = BodyValue::Kind::kArray;
  value.dtype = *dtype;
  value.shape = shape;
  const bool complex = *dtype == DType::kComplex64 || *dtype == DType::kComplex128;
  if (big && item > 1) data = Swapped(data, complex ? item / 2 : item);
  if (*dtype == DType::kBool) {
    std::vector<uint8_t> flags(data.size());
    for (size_t i = 0; i < flags.size(); ++i) flags[i] = data.data()[i] != std::byte{0};
    data = Buffer::Own(std::move(flags));
  }
  value.data = std::move(data);
  return value;
}

Result<BodyValue> ReadValue(Reader& reader, const Buffer& body, const ValueOptions& options) {
  const size_t begin = reader.offset();
  ZN_ASSIGN_OR_RETURN(const Token token, reader.Next());
  BodyValue value;
  if (token.type == Type::kNil) return value;
  if (token.type == Type::kMap) {
    ZN_ASSIGN_OR_RETURN(auto array, ReadArray(reader, token.count, body));
    if (array) return std::move(*array);
  } else if (token.type != Type::kBin) {
    reader.Seek(begin);
    NumberScan scan;
    ZN_ASSIGN_OR_RETURN(const bool numbers, Scan(reader, options, 0, true, scan));
    // Numbers and booleans mixed are no array of either.
    if (numbers && !(scan.any_bool && (scan.any_number || scan.any_special))) {
      const size_t end = reader.offset();
      reader.Seek(begin);
      ZN_ASSIGN_OR_RETURN(value, NativeNumbers(reader, scan));
      if (!scan.any_number && !scan.any_bool) {
        reader.Seek(begin);
        ZN_RETURN_IF_ERROR(msgpack::AppendJson(reader, value.text));
      }
      reader.Seek(end);
      return value;
    }
  }
  reader.Seek(begin);
  value.kind = BodyValue::Kind::kText;
  ZN_RETURN_IF_ERROR(msgpack::AppendJson(reader, value.text));
  return value;
}

std::string JsonOf(const BodyValue& value) {
  if (!value.text.empty()) return value.text;
  if (value.kind == BodyValue::Kind::kNull) return "null";
  std::string out;
  formats::AppendJsonArray(value.dtype, value.shape, value.data.bytes(), out);
  return out;
}

}  // namespace zn::server
