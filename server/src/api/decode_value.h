// One value of a body, before it is fitted to a field: an array with a dtype of its own, numbers as JSON and MessagePack
// have them, or anything else as JSON text.
#pragma once

#include <string>
#include <string_view>

#include "api/msgpack_reader.h"
#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"

namespace zn::server {

struct BodyValue {
  enum class Kind {
    kNull,
    kArray,    // a dtype that the client chose: converted only without loss, or when it says so
    kNumbers,  // native numbers: bool, int64, uint64 or float64, to be adapted to the field
    kText,     // JSON: strings, maps, lists of unequal lengths
  };
  Kind kind = Kind::kNull;
  DType dtype = DType::kFloat64;
  Shape shape;
  Buffer data;       // kArray, kNumbers: little-endian, C order; may share the body
  std::string text;  // kText; and kNumbers that may be meant as text: "NaN", []
};

/// Where a body came from: in JSON the strings "NaN", "Infinity" and "-Infinity" may be numbers.
struct ValueOptions {
  bool special_strings = false;
};

/// Reads the next value. `body` is what the reader reads, with its owner: arrays share it. Errors are kInvalidArgument,
/// and kUnsupported for dtypes that the store does not have.
Result<BodyValue> ReadValue(msgpack::Reader& reader, const Buffer& body, const ValueOptions& options);

/// A NumPy array as it lies in a message: dtype name with byte order ("<f4", ">i8", "|b1", "<U5"), shape and bytes. Big-endian
/// elements are swapped, "U" and "S" become JSON text, bools 0 or 1.
Result<BodyValue> ArrayValue(std::string_view dtype, const Shape& shape, Buffer data);

/// The value as JSON text.
std::string JsonOf(const BodyValue& value);

}  // namespace zn::server
