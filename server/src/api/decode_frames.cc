#include "api/decode_frames.h"

#include <algorithm>
#include <cstring>

#include "http/request.h"
#include "zn/engine/dtype_convert.h"
#include "zn/formats/fields.h"

namespace zn::server {
namespace {

using msgpack::Reader;
using msgpack::Token;
using msgpack::Type;

Error Invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

}  // namespace

std::optional<BodyFormat> BodyFormatOf(std::string_view content_type) {
  const std::string_view type = Trim(content_type.substr(0, content_type.find(';')));
  if (type.empty() || EqualsIgnoreCase(type, "application/msgpack") || EqualsIgnoreCase(type, "application/x-msgpack") ||
      EqualsIgnoreCase(type, "application/vnd.msgpack"))
    return BodyFormat::kMsgpack;
  if (EqualsIgnoreCase(type, "application/vnd.zn.columns+msgpack")) return BodyFormat::kColumns;
  if (EqualsIgnoreCase(type, "application/json")) return BodyFormat::kJson;
  if (EqualsIgnoreCase(type, "application/x-npy")) return BodyFormat::kNpy;
  return std::nullopt;
}

Result<std::string> CanonicalName(std::string_view name, std::span<const FieldDescriptor> fields) {
  constexpr std::string_view kSymbols = ":symbol";
  std::string_view bare = name;
  if (bare.ends_with(kSymbols)) bare.remove_suffix(kSymbols.size());
  if (bare == "n_atoms") return std::string(bare);
  auto known = formats::ResolveName(bare, fields);
  if (known) return std::move(known->field);
  if (known.error().code != ErrorCode::kNotFound) return std::move(known).error();
  for (const formats::CanonicalField& field : formats::CanonicalFields())
    if (field.name == bare || std::find(field.aliases.begin(), field.aliases.end(), bare) != field.aliases.end())
      return std::string(field.name);
  return std::string(name);
}

Result<BodyFrame> ReadFrame(Reader& reader, const Buffer& body, const ValueOptions& options) {
  ZN_ASSIGN_OR_RETURN(const Token map, reader.Expect(Type::kMap, "a frame is a map of fields, and this is none"));
  BodyFrame frame;
  frame.reserve(map.count);
  for (uint64_t i = 0; i < map.count; ++i) {
    ZN_ASSIGN_OR_RETURN(const std::string_view name, reader.Text("a field's name is not a text"));
    auto value = ReadValue(reader, body, options);
    if (!value) return std::move(value).error().Context("field '" + std::string(name.substr(0, 255)) + "'");
    frame.emplace_back(std::string(name), std::move(*value));
  }
  return frame;
}

FrameListReader::FrameListReader(Buffer body, const ValueOptions& options)
    : body_(std::move(body)),
      options_(options),
      reader_({reinterpret_cast<const char*>(body_.data()), body_.size()}) {}

Result<std::vector<BodyFrame>> FrameListReader::Next(size_t bytes) {
  if (!started_) {
    started_ = true;
    ZN_ASSIGN_OR_RETURN(const Token first, reader_.Next());
    if (first.type == Type::kArray) {
      counted_ = true;
      left_ = first.count;
    } else if (first.type == Type::kMap) {
      reader_.Seek(0);
    } else {
      return Invalid("the body is neither a frame (a map) nor a list of frames");
    }
  }
  std::vector<BodyFrame> frames;
  const size_t begin = reader_.offset();
  while (counted_ ? left_ > 0 : !reader_.done()) {
    auto frame = ReadFrame(reader_, body_, options_);
    if (!frame) return std::move(frame).error().Context("frame " + std::to_string(frames.size()) + " of the body");
    frames.push_back(std::move(*frame));
    if (counted_) --left_;
    if (reader_.offset() - begin >= bytes) break;
  }
  if (frames.empty() && !reader_.done())
    return Invalid("the body goes on behind its frames, at byte " + std::to_string(reader_.offset()));
  return frames;
}

namespace {

std::vector<int64_t> Integers(const BodyValue& value) {
  std::vector<int64_t> out(value.data.size() / sizeof(int64_t));
  if (!out.empty()) std::memcpy(out.data(), value.data.data(), out.size() * sizeof(int64_t));
  return out;
}

// An array of a columns body, {dtype, shape, data}, or a plain list.
Result<BodyValue> ReadColumnArray(Reader& reader, const Buffer& body, std::string_view what) {
  const size_t begin = reader.offset();
  ZN_ASSIGN_OR_RETURN(const Token map, reader.Next());
  if (map.type != Type::kMap) {
    reader.Seek(begin);
    return ReadValue(reader, body, {});
  }
  std::optional<std::string_view> dtype;
  std::optional<Shape> shape;
  Buffer data;
  for (uint64_t i = 0; i < map.count; ++i) {
    ZN_ASSIGN_OR_RETURN(const std::string_view key, reader.Text("a key is not a text"));
    if (key == "dtype") {
      ZN_ASSIGN_OR_RETURN(dtype, reader.Text("dtype is not a text"));
    } else if (key == "shape") {
      ZN_ASSIGN_OR_RETURN(const BodyValue extents, ReadValue(reader, body, {}));
      if (extents.dtype != DType::kInt64 || extents.shape.rank() != 1 || extents.shape[0] > 8)
        return Invalid(std::string(what) + ": shape is not a list of lengths");
      shape = Shape(Integers(extents));
    } else if (key == "data") {
      ZN_ASSIGN_OR_RETURN(const std::string_view bytes, reader.Text("data is not binary"));
      data = body.Slice(static_cast<size_t>(bytes.data() - reader.bytes().data()), bytes.size());
    } else {
      return Invalid(std::string(what) + ": unknown member '" + std::string(key.substr(0, 40)) + "'");
    }
  }
  if (!dtype) return Invalid(std::string(what) + " has no dtype");
  if (!shape) return Invalid(std::string(what) + " has no shape");
  return ArrayValue(*dtype, *shape, std::move(data));
}

// A list of integers, whatever its dtype.
Result<std::vector<int64_t>> ReadIntegers(Reader& reader, const Buffer& body, std::string_view what) {
  auto value = ReadColumnArray(reader, body, what);
  if (!value) return std::move(value).error().Context(what);
  if (value->kind == BodyValue::Kind::kText || value->shape.rank() != 1 ||
      (!IsInteger(value->dtype) && value->data.size() > 0))
    return Invalid(std::string(what) + " is not a list of integers");
  if (value->dtype == DType::kInt64 || value->data.empty()) return Integers(*value);
  std::vector<int64_t> out(value->data.size() / ItemSize(value->dtype));
  ZN_RETURN_IF_ERROR(ConvertElements(value->dtype, value->data.bytes(), DType::kInt64,
                                     std::as_writable_bytes(std::span(out)), true));
  return out;
}

struct RawColumn {
  std::string name;
  std::optional<FieldKind> kind;
  std::string dtype;
  std::optional<Shape> shape;
  Buffer data;
  std::vector<std::string> texts;
  bool is_text = false;
  std::vector<uint8_t> present;
  std::optional<std::vector<int64_t>> lengths;
};

Result<RawColumn> ReadColumn(Reader& reader, const Buffer& body) {
  RawColumn column;
  ZN_ASSIGN_OR_RETURN(const Token map, reader.Expect(Type::kMap, "a field of a columns body is a map, and this is none"));
  for (uint64_t i = 0; i < map.count; ++i) {
    ZN_ASSIGN_OR_RETURN(const std::string_view key, reader.Text("a key is not a text"));
    if (key == "kind") {
      ZN_ASSIGN_OR_RETURN(const std::string_view kind, reader.Text("kind is not a text"));
      for (FieldKind known : {FieldKind::kFrame, FieldKind::kAtom, FieldKind::kRagged})
        if (FieldKindName(known) == kind) column.kind = known;
      if (!column.kind) return Invalid("kind is none of atom, frame, ragged");
    } else if (key == "dtype") {
      ZN_ASSIGN_OR_RETURN(const std::string_view dtype, reader.Text("dtype is not a text"));
      column.dtype = dtype;
    } else if (key == "shape") {
      ZN_ASSIGN_OR_RETURN(const BodyValue extents, ReadValue(reader, body, {}));
      if (extents.dtype != DType::kInt64 || extents.shape.rank() != 1 || extents.shape[0] > 8)
        return Invalid("shape is not a list of at most 8 lengths");
      column.shape = Shape(Integers(extents));
    } else if (key == "data") {
      const size_t at = reader.offset();
      ZN_ASSIGN_OR_RETURN(const Token data, reader.Next());
      if (data.type == Type::kBin || data.type == Type::kStr) {
        column.data = body.Slice(static_cast<size_t>(data.bytes.data() - reader.bytes().data()), data.bytes.size());
      } else if (data.type == Type::kArray) {
        column.is_text = true;
        for (uint64_t k = 0; k < data.count; ++k) {
          std::string text;
          ZN_RETURN_IF_ERROR(msgpack::AppendJson(reader, text));
          column.texts.push_back(std::move(text));
        }
      } else {
        return Invalid("data is neither binary nor a list, at byte " + std::to_string(at));
      }
    } else if (key == "present") {
      ZN_ASSIGN_OR_RETURN(const Token present, reader.Next());
      if (present.type == Type::kBin || present.type == Type::kStr) {
        for (char c : present.bytes) column.present.push_back(c != 0);
      } else if (present.type != Type::kNil) {
        return Invalid("present is neither nil nor binary with one byte a frame");
      }
    } else if (key == "lengths") {
      const size_t at = reader.offset();
      ZN_ASSIGN_OR_RETURN(const Token nil, reader.Next());
      if (nil.type == Type::kNil) continue;
      reader.Seek(at);
      ZN_ASSIGN_OR_RETURN(column.lengths, ReadIntegers(reader, body, "lengths"));
    } else {
      return Invalid("unknown member '" + std::string(key.substr(0, 40)) + "'");
    }
  }
  return column;
}

Result<Column> FitColumn(RawColumn raw, std::span<const int32_t> n_atoms, const FitOptions& options) {
  Column column;
  column.name = std::move(raw.name);
  const FieldDescriptor* known = nullptr;
  for (const FieldDescriptor& field : options.fields)
    if (field.name == column.name) known = &field;
  const formats::CanonicalField* canonical = formats::FindCanonical(column.name);
  column.kind = raw.kind           ? *raw.kind
                : known != nullptr ? known->kind
                : canonical        ? canonical->kind
                                   : (column.name.starts_with("arrays.") ? FieldKind::kAtom : FieldKind::kFrame);
  column.attributes = formats::UnitAttributes(column.name);
  if (!raw.present.empty() && raw.present.size() != n_atoms.size())
    return Invalid("present has " + std::to_string(raw.present.size()) + " entries for " + std::to_string(n_atoms.size()) +
                   " frames");
  column.present = std::move(raw.present);
  if (std::find(column.present.begin(), column.present.end(), 0) == column.present.end()) column.present.clear();
  int64_t frames = 0, atoms = 0;
  for (size_t i = 0; i < n_atoms.size(); ++i) {
    if (!column.HasFrame(i)) continue;
    ++frames;
    atoms += n_atoms[i];
  }
  if (raw.is_text) {
    if (static_cast<int64_t>(raw.texts.size()) != frames)
      return Invalid("has " + std::to_string(raw.texts.size()) + " values for " + std::to_string(frames) + " frames that have it");
    column.kind = FieldKind::kFrame;
    column.dtype = DType::kJson;
    column.text = std::move(raw.texts);
    return column;
  }
  if (!raw.shape) return Invalid("has no shape");
  ZN_ASSIGN_OR_RETURN(BodyValue value, ArrayValue(raw.dtype, *raw.shape, std::move(raw.data)));
  if (value.kind != BodyValue::Kind::kArray || value.shape.rank() == 0)
    return Invalid("is no array of rows: texts are lists");
  int64_t rows = column.kind == FieldKind::kAtom ? atoms : frames;
  if (column.kind == FieldKind::kRagged) {
    if (!raw.lengths || static_cast<int64_t>(raw.lengths->size()) != frames)
      return Invalid("is ragged and needs as many lengths as frames have it");
    rows = 0;
    for (int64_t length : *raw.lengths)
      if (length < 0 || __builtin_add_overflow(rows, length, &rows)) return Invalid("has a length out of range");
    column.lengths = std::move(*raw.lengths);
  }
  if (value.shape[0] != rows)
    return Invalid("has " + std::to_string(value.shape[0]) + " rows; its frames have " + std::to_string(rows) +
                   (column.kind == FieldKind::kAtom ? " atoms" : ""));
  column.inner = Shape(std::span(value.shape.begin() + 1, value.shape.rank() - 1));
  column.dtype = value.dtype;
  column.data = std::move(value.data);
  if (known != nullptr && known->dtype != DType::kJson && known->dtype != column.dtype) {
    std::vector<std::byte> converted(column.data.size() / ItemSize(column.dtype) * ItemSize(known->dtype));
    ZN_RETURN_IF_ERROR(ConvertElements(column.dtype, column.data.bytes(), known->dtype, converted, !options.cast));
    column.dtype = known->dtype;
    column.data = Buffer::Own(std::move(converted));
  }
  return column;
}

}  // namespace

Result<ColumnsBody> ReadColumns(Reader& reader, const Buffer& body, const FitOptions& options) {
  ColumnsBody columns;
  std::optional<int64_t> n_frames;
  std::optional<std::vector<int64_t>> counts;
  std::vector<RawColumn> raw;
  ZN_ASSIGN_OR_RETURN(const Token map, reader.Expect(Type::kMap, "a columns body is a map, and this is none"));
  for (uint64_t i = 0; i < map.count; ++i) {
    ZN_ASSIGN_OR_RETURN(const std::string_view key, reader.Text("a key is not a text"));
    if (key == "n_frames") {
      ZN_ASSIGN_OR_RETURN(const Token n, reader.Expect(Type::kUInt, "n_frames is not a number"));
      n_frames = n.integer;
    } else if (key == "n_atoms") {
      ZN_ASSIGN_OR_RETURN(counts, ReadIntegers(reader, body, "n_atoms"));
    } else if (key == "ids") {
      ZN_ASSIGN_OR_RETURN(columns.ids, ReadIntegers(reader, body, "ids"));
    } else if (key == "versions") {
      ZN_ASSIGN_OR_RETURN(columns.versions, ReadIntegers(reader, body, "versions"));
    } else if (key == "indices") {
      columns.has_indices = true;
      ZN_RETURN_IF_ERROR(reader.Skip());
    } else if (key == "fields") {
      ZN_ASSIGN_OR_RETURN(const Token fields, reader.Expect(Type::kMap, "fields is not a map"));
      for (uint64_t f = 0; f < fields.count; ++f) {
        ZN_ASSIGN_OR_RETURN(const std::string_view name, reader.Text("a field's name is not a text"));
        auto column = ReadColumn(reader, body);
        if (!column) return std::move(column).error().Context("field '" + std::string(name.substr(0, 255)) + "'");
        ZN_ASSIGN_OR_RETURN(column->name, CanonicalName(name, options.fields));
        raw.push_back(std::move(*column));
      }
    } else {
      return Invalid("a columns body has no member '" + std::string(key.substr(0, 40)) + "'");
    }
  }
  std::vector<int32_t>& n_atoms = columns.batch.n_atoms;
  if (counts) {
    for (int64_t n : *counts) {
      if (n < 0 || n > INT32_MAX) return Invalid("n_atoms holds " + std::to_string(n));
      n_atoms.push_back(static_cast<int32_t>(n));
    }
  }
  if (columns.ids && options.counts_of) {
    ZN_ASSIGN_OR_RETURN(std::vector<int32_t> known, options.counts_of(*columns.ids));
    if (counts && n_atoms != known) return Invalid("n_atoms are not those of the frames");
    n_atoms = std::move(known);
  } else if (!counts) {
    if (!n_frames) return Invalid("a columns body needs n_frames and n_atoms");
    for (const RawColumn& column : raw)
      if (column.kind == FieldKind::kAtom) return Invalid("field '" + column.name + "' is per atom, and n_atoms is missing");
    if (*n_frames < 0 || *n_frames > static_cast<int64_t>(body.size()))
      return Invalid("n_frames is more than the body can hold");
    n_atoms.assign(static_cast<size_t>(*n_frames), 0);
  }
  if (n_frames && *n_frames != static_cast<int64_t>(n_atoms.size()))
    return Invalid("n_frames is " + std::to_string(*n_frames) + ", and n_atoms has " + std::to_string(n_atoms.size()));
  for (RawColumn& column : raw) {
    const std::string name = column.name;
    if (name == "n_atoms") continue;
    if (columns.batch.Find(name) != nullptr) return Invalid("field '" + name + "' is given twice");
    auto fitted = FitColumn(std::move(column), n_atoms, options);
    if (!fitted) return std::move(fitted).error().Context("field '" + name + "'");
    columns.batch.columns.push_back(std::move(*fitted));
  }
  return columns;
}

}  // namespace zn::server
