#include "api/decode_delta.h"

#include <cstring>

#include "zn/engine/dtype_convert.h"

namespace zn::server {
namespace {

using msgpack::Reader;
using msgpack::Token;
using msgpack::Type;

Error Invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

Result<std::vector<int64_t>> AtomsOf(const BodyValue& value) {
  const bool list = (value.kind == BodyValue::Kind::kArray || value.kind == BodyValue::Kind::kNumbers) && value.shape.rank() == 1;
  if (!list || (!IsInteger(value.dtype) && value.shape[0] > 0)) return Invalid("atoms is not a list of integers");
  std::vector<int64_t> atoms(value.data.size() / ItemSize(value.dtype));
  ZN_RETURN_IF_ERROR(ConvertElements(value.dtype, value.data.bytes(), DType::kInt64,
                                     std::as_writable_bytes(std::span(atoms)), true));
  return atoms;
}

// {atoms, values}; false when it is some other value, with the reader where it was.
Result<bool> ReadAtoms(Reader& reader, const Buffer& body, const ValueOptions& options, DeltaField& field) {
  const size_t begin = reader.offset();
  ZN_ASSIGN_OR_RETURN(const Token map, reader.Next());
  bool atoms = false, values = false;
  if (map.type == Type::kMap && map.count == 2) {
    for (int i = 0; i < 2; ++i) {
      ZN_ASSIGN_OR_RETURN(const Token key, reader.Next());
      if (key.type != Type::kStr && key.type != Type::kBin) break;
      if (key.bytes == "atoms") {
        ZN_ASSIGN_OR_RETURN(const BodyValue list, ReadValue(reader, body, options));
        ZN_ASSIGN_OR_RETURN(field.atoms, AtomsOf(list));
        atoms = true;
      } else if (key.bytes == "values") {
        ZN_ASSIGN_OR_RETURN(field.value, ReadValue(reader, body, options));
        values = true;
      } else {
        break;
      }
    }
  }
  if (atoms && values) {
    field.kind = DeltaField::Kind::kAtoms;
    return true;
  }
  reader.Seek(begin);
  return false;
}

}  // namespace

Result<DeltaBody> ReadDelta(const Buffer& body, const ValueOptions& options) {
  Reader reader({reinterpret_cast<const char*>(body.data()), body.size()});
  DeltaBody delta;
  bool has_delta = false;
  ZN_ASSIGN_OR_RETURN(const Token map, reader.Expect(Type::kMap, "the body is not an object {delta: {...}}"));
  for (uint64_t i = 0; i < map.count; ++i) {
    ZN_ASSIGN_OR_RETURN(const std::string_view key, reader.Text("a key is not a text"));
    if (key == "base_version" || key == "frame_id") {
      ZN_ASSIGN_OR_RETURN(const Token number, reader.Next());
      if (number.type == Type::kNil) continue;
      if (number.type != Type::kUInt && number.type != Type::kInt) return Invalid(std::string(key) + " is not an integer");
      (key == "frame_id" ? delta.frame_id : delta.base_version) = number.integer;
    } else if (key == "delta") {
      has_delta = true;
      ZN_ASSIGN_OR_RETURN(const Token fields, reader.Expect(Type::kMap, "delta is not a map of fields"));
      for (uint64_t f = 0; f < fields.count; ++f) {
        DeltaField field;
        ZN_ASSIGN_OR_RETURN(const std::string_view name, reader.Text("a field's name is not a text"));
        field.name = name;
        const auto read = [&]() -> Result<> {
          ZN_ASSIGN_OR_RETURN(const bool atoms, ReadAtoms(reader, body, options, field));
          if (atoms) return {};
          ZN_ASSIGN_OR_RETURN(field.value, ReadValue(reader, body, options));
          if (field.value.kind == BodyValue::Kind::kNull) field.kind = DeltaField::Kind::kRemove;
          return {};
        };
        if (auto done = read(); !done) return std::move(done).error().Context("field '" + field.name.substr(0, 255) + "'");
        delta.fields.push_back(std::move(field));
      }
    } else {
      return Invalid("the body has an unknown member '" + std::string(key.substr(0, 40)) +
                     "'; a PATCH is {delta, base_version, frame_id}");
    }
  }
  if (!has_delta) return Invalid("the body has no delta: a PATCH is {delta: {field: value}, base_version, frame_id}");
  if (!reader.done()) return Invalid("the body goes on behind its end");
  return delta;
}

}  // namespace zn::server
