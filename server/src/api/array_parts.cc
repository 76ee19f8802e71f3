#include "api/array_parts.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

using SourcePtr = std::shared_ptr<FrameSource>;

template <class T>
Buffer Bytes(std::vector<T> values) {
  return Buffer::Own(std::move(values));
}

class Literal final : public Part {
 public:
  explicit Literal(std::string bytes) : bytes_(std::move(bytes)) {}
  std::optional<uint64_t> size() const override { return bytes_.size(); }
  bool literal() const override { return true; }
  std::optional<uint64_t> WindowBytes(int64_t) const override { return bytes_.size(); }
  Result<> Produce(int64_t, PieceWriter* out) override {
    out->Append(bytes_);
    return {};
  }

 private:
  std::string bytes_;
};

class FrameArrayOf final : public Part {
 public:
  FrameArrayOf(SourcePtr source, FrameArray which) : source_(std::move(source)), which_(which) {}
  uint64_t item() const { return which_ == FrameArray::kAtomCounts ? 4 : 8; }
  std::optional<uint64_t> size() const override {
    return static_cast<uint64_t>(source_->frames()) * item();
  }
  std::optional<uint64_t> WindowBytes(int64_t w) const override {
    return static_cast<uint64_t>(source_->WindowSize(w)) * item();
  }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    switch (which_) {
      case FrameArray::kIndices: {
        std::vector<int64_t> positions;
        int64_t first = w * source_->window_frames();
        for (const Run& run : source_->query().selection.Window(first, source_->WindowSize(w)))
          for (int64_t k = 0; k < run.count; ++k) positions.push_back(run.at(k));
        out->Pin(Bytes(std::move(positions)));
        return {};
      }
      case FrameArray::kIds: {
        ZN_ASSIGN_OR_RETURN(const std::vector<FrameId>* ids, source_->Ids(w));
        out->Pin(Bytes(std::vector<int64_t>(*ids)));
        return {};
      }
      case FrameArray::kVersions: {
        ZN_ASSIGN_OR_RETURN(std::vector<int64_t> versions, source_->Versions(w));
        out->Pin(Bytes(std::move(versions)));
        return {};
      }
      case FrameArray::kAtomCounts: {
        ZN_ASSIGN_OR_RETURN(std::vector<int32_t> counts, source_->AtomCounts(w));
        out->Pin(Bytes(std::move(counts)));
        return {};
      }
    }
    return {};
  }

 private:
  SourcePtr source_;
  FrameArray which_;
};

// What the parts of a field share.
class FieldPart : public Part {
 public:
  FieldPart(SourcePtr source, size_t field, FieldExtent extent)
      : source_(std::move(source)),
        field_(field),
        extent_(extent),
        inner_bytes_(static_cast<uint64_t>(source_->descriptor(field).inner.Elements()) *
                     ItemSize(source_->descriptor(field).dtype)) {}

 protected:
  SourcePtr source_;
  size_t field_;
  FieldExtent extent_;
  uint64_t inner_bytes_;
};

class JoinedRows final : public FieldPart {
 public:
  using FieldPart::FieldPart;
  std::optional<uint64_t> size() const override {
    return static_cast<uint64_t>(extent_.rows) * inner_bytes_;
  }
  std::optional<uint64_t> WindowBytes(int64_t w) const override {
    if (!extent_.uniform || extent_.first_absent >= 0) return std::nullopt;
    return static_cast<uint64_t>(source_->WindowSize(w) * extent_.longest) * inner_bytes_;
  }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    ZN_ASSIGN_OR_RETURN(bool pinned, source_->PinRows(w, field_, out));
    if (pinned) return {};
    ZN_ASSIGN_OR_RETURN(auto batch, source_->FieldBatch(w, field_));
    out->Pin(batch->columns[0].data);
    return {};
  }
};

class PaddedRows final : public FieldPart {
 public:
  using FieldPart::FieldPart;
  uint64_t row_bytes() const { return static_cast<uint64_t>(extent_.longest) * inner_bytes_; }
  std::optional<uint64_t> size() const override {
    return static_cast<uint64_t>(source_->frames()) * row_bytes();
  }
  std::optional<uint64_t> WindowBytes(int64_t w) const override {
    return static_cast<uint64_t>(source_->WindowSize(w)) * row_bytes();
  }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    ZN_ASSIGN_OR_RETURN(auto batch, source_->FieldBatch(w, field_));
    const Column& column = batch->columns[0];
    const size_t item = ItemSize(column.dtype);
    std::byte fill[16] = {};
    WriteFillValue(column.dtype, fill);
    RowCursor cursor(*batch, column);
    const size_t want = row_bytes();
    for (size_t frame = 0; frame < batch->n_atoms.size(); ++frame) {
      RowView row = cursor.Next();
      out->Append(RowBytes(column, row));
      std::string& text = out->text();
      for (size_t at = row.size; at < want; at += item)
        text.append(reinterpret_cast<const char*>(fill), item);
    }
    return {};
  }
};

class Present final : public FieldPart {
 public:
  using FieldPart::FieldPart;
  std::optional<uint64_t> size() const override { return static_cast<uint64_t>(source_->frames()); }
  std::optional<uint64_t> WindowBytes(int64_t w) const override {
    return static_cast<uint64_t>(source_->WindowSize(w));
  }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    ZN_ASSIGN_OR_RETURN(auto batch, source_->FieldBatch(w, field_));
    for (size_t frame = 0; frame < batch->n_atoms.size(); ++frame)
      out->text() += batch->columns[0].HasFrame(frame) ? '\1' : '\0';
    return {};
  }
};

class Lengths final : public FieldPart {
 public:
  using FieldPart::FieldPart;
  std::optional<uint64_t> size() const override {
    return static_cast<uint64_t>(extent_.present) * 8;
  }
  std::optional<uint64_t> WindowBytes(int64_t) const override { return std::nullopt; }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    ZN_ASSIGN_OR_RETURN(auto batch, source_->FieldBatch(w, field_));
    out->Pin(Bytes(std::vector<int64_t>(batch->columns[0].lengths)));
    return {};
  }
};

class MsgpackTexts final : public FieldPart {
 public:
  using FieldPart::FieldPart;
  std::optional<uint64_t> size() const override { return std::nullopt; }
  std::optional<uint64_t> WindowBytes(int64_t) const override { return std::nullopt; }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    ZN_ASSIGN_OR_RETURN(auto batch, source_->FieldBatch(w, field_));
    for (const std::string& text : batch->columns[0].text)
      if (!msgpack::PutJson(out->text(), text)) msgpack::PutString(out->text(), text);
    return {};
  }
};

class Ucs4 final : public FieldPart {
 public:
  using FieldPart::FieldPart;
  uint64_t row_bytes() const {
    return static_cast<uint64_t>(std::max<int64_t>(1, extent_.longest_text)) * 4;
  }
  std::optional<uint64_t> size() const override {
    return static_cast<uint64_t>(source_->frames()) * row_bytes();
  }
  std::optional<uint64_t> WindowBytes(int64_t w) const override {
    return static_cast<uint64_t>(source_->WindowSize(w)) * row_bytes();
  }
  Result<> Produce(int64_t w, PieceWriter* out) override {
    ZN_ASSIGN_OR_RETURN(auto batch, source_->FieldBatch(w, field_));
    const Column& column = batch->columns[0];
    RowCursor cursor(*batch, column);
    for (size_t frame = 0; frame < batch->n_atoms.size(); ++frame) {
      RowView row = cursor.Next();
      std::string cell;
      if (row.present) {
        const std::u32string text = formats::PlainText(row.text);
        cell.assign(reinterpret_cast<const char*>(text.data()), text.size() * sizeof(char32_t));
      }
      cell.resize(row_bytes(), '\0');
      out->Append(cell);
    }
    return {};
  }
};

class Stream final : public BodyStream {
 public:
  Stream(SourcePtr source, std::vector<std::unique_ptr<Part>> parts)
      : source_(std::move(source)), parts_(std::move(parts)) {}

  std::optional<uint64_t> length() const override {
    uint64_t total = 0;
    for (const auto& part : parts_) {
      auto size = part->size();
      if (!size) return std::nullopt;
      total += *size;
    }
    return total;
  }

  Result<bool> Next(Pieces* pieces) override {
    PieceWriter out;
    while (part_ < parts_.size() && out.size() < kEnough) {
      Part& part = *parts_[part_];
      if (part.literal() || window_ < source_->windows()) {
        ZN_RETURN_IF_ERROR(part.Produce(window_, &out));
      }
      Advance();
    }
    for (Buffer& piece : out.Take()) pieces->push_back(std::move(piece));
    return part_ < parts_.size();
  }

  Result<uint64_t> Skip(uint64_t bytes) override {
    uint64_t skipped = 0;
    while (part_ < parts_.size()) {
      const Part& part = *parts_[part_];
      auto whole = window_ == 0 ? part.size() : std::nullopt;
      if (whole && skipped + *whole <= bytes) {
        skipped += *whole;
        ++part_;
        continue;
      }
      if (part.literal() || window_ >= source_->windows()) break;
      auto next = part.WindowBytes(window_);
      if (!next || skipped + *next > bytes) break;
      skipped += *next;
      Advance();
    }
    return skipped;
  }

 private:
  static constexpr size_t kEnough = 1 << 20;

  void Advance() {
    if (parts_[part_]->literal() || ++window_ >= source_->windows()) {
      ++part_;
      window_ = 0;
    }
  }

  SourcePtr source_;
  std::vector<std::unique_ptr<Part>> parts_;
  size_t part_ = 0;
  int64_t window_ = 0;
};

}  // namespace

Result<std::vector<FieldExtent>> MeasureFields(FrameSource* source, bool measure_text) {
  const size_t fields = source->query().fields.size();
  const int64_t frames = source->frames();
  std::vector<FieldExtent> extents(fields);
  bool atoms_wanted = false;
  FieldExtent atoms;
  for (size_t f = 0; f < fields; ++f) {
    FieldExtent& extent = extents[f];
    const FieldDescriptor& field = source->descriptor(f);
    bool scan = field.kind == FieldKind::kRagged || source->windows() == 1 ||
                (measure_text && field.dtype == DType::kJson);
    if (!scan) {
      ZN_ASSIGN_OR_RETURN(bool everywhere, source->InAllFrames(f));
      scan = !everywhere;
    }
    if (!scan) {
      extent.present = frames;
      if (field.kind == FieldKind::kAtom && field.dtype != DType::kJson) {
        atoms_wanted = true;
        extent.rows = -1;  // the atoms', below
      } else {
        extent.rows = frames;
        extent.longest = 1;
      }
      continue;
    }
    int64_t shortest = INT64_MAX;
    for (int64_t w = 0; w < source->windows(); ++w) {
      ZN_ASSIGN_OR_RETURN(auto batch, source->FieldBatch(w, f));
      const Column& column = batch->columns[0];
      RowCursor cursor(*batch, column);
      for (size_t i = 0; i < batch->n_atoms.size(); ++i) {
        RowView row = cursor.Next();
        if (!row.present) {
          if (extent.first_absent < 0)
            extent.first_absent = w * source->window_frames() + static_cast<int64_t>(i);
          continue;
        }
        ++extent.present;
        int64_t rows = column.dtype == DType::kJson ? 1 : row.rows;
        extent.rows += rows;
        extent.longest = std::max(extent.longest, rows);
        shortest = std::min(shortest, rows);
        if (measure_text && column.dtype == DType::kJson) {
          extent.longest_text = std::max(extent.longest_text,
                                         static_cast<int64_t>(formats::PlainText(row.text).size()));
        }
      }
    }
    extent.uniform = shortest == INT64_MAX || shortest == extent.longest;
    if (field.kind == FieldKind::kFrame) extent.longest = 1;
  }
  if (atoms_wanted) {
    int64_t shortest = INT64_MAX;
    for (int64_t w = 0; w < source->windows(); ++w) {
      ZN_ASSIGN_OR_RETURN(std::vector<int32_t> counts, source->AtomCounts(w));
      for (int32_t n : counts) {
        atoms.rows += n;
        atoms.longest = std::max<int64_t>(atoms.longest, n);
        shortest = std::min<int64_t>(shortest, n);
      }
    }
    atoms.uniform = shortest == INT64_MAX || shortest == atoms.longest;
    for (FieldExtent& extent : extents) {
      if (extent.rows != -1) continue;
      extent.rows = atoms.rows;
      extent.longest = atoms.longest;
      extent.uniform = atoms.uniform;
    }
  }
  return extents;
}

std::unique_ptr<Part> LiteralPart(std::string bytes) {
  return std::make_unique<Literal>(std::move(bytes));
}
std::unique_ptr<Part> FrameArrayPart(SourcePtr source, FrameArray which) {
  return std::make_unique<FrameArrayOf>(std::move(source), which);
}
std::unique_ptr<Part> JoinedRowsPart(SourcePtr source, size_t field, const FieldExtent& extent) {
  return std::make_unique<JoinedRows>(std::move(source), field, extent);
}
std::unique_ptr<Part> PaddedRowsPart(SourcePtr source, size_t field, const FieldExtent& extent) {
  if (extent.uniform && extent.first_absent < 0)
    return JoinedRowsPart(std::move(source), field, extent);
  source->NarrowWindows(extent.longest * source->descriptor(field).inner.Elements() *
                        static_cast<int64_t>(ItemSize(source->descriptor(field).dtype)));
  return std::make_unique<PaddedRows>(std::move(source), field, extent);
}
std::unique_ptr<Part> PresentPart(SourcePtr source, size_t field) {
  return std::make_unique<Present>(std::move(source), field, FieldExtent{});
}
std::unique_ptr<Part> LengthsPart(SourcePtr source, size_t field, const FieldExtent& extent) {
  return std::make_unique<Lengths>(std::move(source), field, extent);
}
std::unique_ptr<Part> MsgpackTextsPart(SourcePtr source, size_t field) {
  return std::make_unique<MsgpackTexts>(std::move(source), field, FieldExtent{});
}
std::unique_ptr<Part> Ucs4Part(SourcePtr source, size_t field, const FieldExtent& extent) {
  source->NarrowWindows(extent.longest_text * 4);
  return std::make_unique<Ucs4>(std::move(source), field, extent);
}

Result<uint32_t> PartCrc(FrameSource* source, Part* part) {
  uLong crc = crc32(0, nullptr, 0);
  int64_t windows = part->literal() ? 1 : source->windows();
  for (int64_t w = 0; w < windows; ++w) {
    PieceWriter out;
    ZN_RETURN_IF_ERROR(part->Produce(w, &out));
    for (const Buffer& piece : out.Take())
      crc = crc32_z(crc, reinterpret_cast<const Bytef*>(piece.data()), piece.size());
  }
  return static_cast<uint32_t>(crc);
}

uint32_t CombineCrc(uint32_t first, uint32_t second, uint64_t size) {
  return static_cast<uint32_t>(crc32_combine(first, second, static_cast<z_off_t>(size)));
}

std::unique_ptr<BodyStream> PartsStream(SourcePtr source,
                                        std::vector<std::unique_ptr<Part>> parts) {
  return std::make_unique<Stream>(std::move(source), std::move(parts));
}

}  // namespace zn::server
