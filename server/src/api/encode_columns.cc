#include "api/array_parts.h"
#include "api/encode_arrays.h"

namespace zn::server {
namespace {

// {dtype, shape, data: <the bytes that follow>}
void PutArrayFields(std::string& out, std::string_view dtype, const Shape& shape, uint64_t size) {
  msgpack::PutString(out, "dtype");
  msgpack::PutString(out, dtype);
  msgpack::PutString(out, "shape");
  msgpack::PutShape(out, shape);
  msgpack::PutString(out, "data");
  msgpack::PutBinHead(out, size);
}

// Collects literal bytes between the parts that are produced.
class Builder {
 public:
  std::string& text() { return text_; }
  void Add(std::unique_ptr<Part> part) {
    if (!text_.empty()) parts_.push_back(LiteralPart(std::move(text_)));
    text_.clear();
    parts_.push_back(std::move(part));
  }
  void AddArray(std::string_view name, std::string_view dtype, const Shape& shape,
                std::unique_ptr<Part> part) {
    msgpack::PutString(text_, name);
    msgpack::PutMapHead(text_, 3);
    PutArrayFields(text_, dtype, shape, part->size().value_or(0));
    Add(std::move(part));
  }
  std::vector<std::unique_ptr<Part>> Take() {
    if (!text_.empty()) parts_.push_back(LiteralPart(std::move(text_)));
    return std::move(parts_);
  }

 private:
  std::string text_;
  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace

Answer<std::unique_ptr<BodyStream>> ColumnsStream(std::shared_ptr<FrameSource> source) {
  const int64_t frames = source->frames();
  ZN_ASSIGN_OR_RETURN(std::vector<FieldExtent> extents, MeasureFields(source.get(), false));
  Builder body;
  msgpack::PutMapHead(body.text(), 6);
  msgpack::PutString(body.text(), "n_frames");
  msgpack::PutInteger(body.text(), frames);
  body.AddArray("indices", "<i8", Shape{frames}, FrameArrayPart(source, FrameArray::kIndices));
  body.AddArray("ids", "<i8", Shape{frames}, FrameArrayPart(source, FrameArray::kIds));
  body.AddArray("versions", "<i8", Shape{frames}, FrameArrayPart(source, FrameArray::kVersions));
  body.AddArray("n_atoms", "<i4", Shape{frames}, FrameArrayPart(source, FrameArray::kAtomCounts));
  msgpack::PutString(body.text(), "fields");
  msgpack::PutMapHead(body.text(), extents.size());
  uint64_t total = static_cast<uint64_t>(frames) * 28;
  for (size_t f = 0; f < extents.size(); ++f) {
    const FieldDescriptor& field = source->descriptor(f);
    const FieldExtent& extent = extents[f];
    const bool ragged = field.kind == FieldKind::kRagged;
    std::string& text = body.text();
    msgpack::PutString(text, field.name);
    msgpack::PutMapHead(text, ragged ? 6 : 5);
    msgpack::PutString(text, "kind");
    msgpack::PutString(text, FieldKindName(field.kind));
    if (field.dtype == DType::kJson) {
      msgpack::PutString(text, "dtype");
      msgpack::PutString(text, NumpyName(field.dtype));
      msgpack::PutString(text, "shape");
      msgpack::PutShape(text, Shape{extent.present});
      msgpack::PutString(text, "data");
      msgpack::PutArrayHead(text, static_cast<uint64_t>(extent.present));
      body.Add(MsgpackTextsPart(source, f));
    } else {
      std::unique_ptr<Part> rows = JoinedRowsPart(source, f, extent);
      uint64_t size = rows->size().value_or(0);
      if (size > UINT32_MAX)
        return BadRequest(
            "'" + field.name +
            "' has more than 4 GiB, which msgpack cannot hold: ask for fewer frames, or npy");
      total += size;
      PutArrayFields(text, NumpyName(field.dtype), field.inner.Behind(extent.rows), size);
      body.Add(std::move(rows));
      if (ragged)
        body.AddArray("lengths", "<i8", Shape{extent.present}, LengthsPart(source, f, extent));
    }
    msgpack::PutString(body.text(), "present");
    if (extent.first_absent < 0) {
      msgpack::PutNil(body.text());
    } else {
      msgpack::PutBinHead(body.text(), static_cast<uint64_t>(frames));
      body.Add(PresentPart(source, f));
    }
  }
  ZN_RETURN_IF_ERROR(source->CheckReply(total));
  return PartsStream(std::move(source), body.Take());
}

}  // namespace zn::server
