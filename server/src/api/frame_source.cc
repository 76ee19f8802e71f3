#include "api/frame_source.h"

#include <algorithm>
#include <cstring>

#include "http/body.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

constexpr int64_t kWindowBytes = 1 << 20;
constexpr int64_t kMaxWindow = 1 << 16;  // frames
constexpr int64_t kSampleFrames = 32;
constexpr int64_t kTextBytes = 64;    // a guess at a text row
constexpr int64_t kPinRow = 8 << 10;  // rows from this size are pinned one by one

int64_t SaturatingMultiply(int64_t a, int64_t b) {
  int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX / 4 : product;
}

Column SymbolColumn(const Column& numbers, const FrameBatch& batch) {
  Column symbols;
  symbols.name = numbers.name;
  symbols.kind = FieldKind::kFrame;
  symbols.dtype = DType::kJson;
  symbols.present = numbers.present;
  RowCursor cursor(batch, numbers);
  for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
    RowView row = cursor.Next();
    if (!row.present) continue;
    std::string text = "[";
    const std::byte* p = numbers.data.data() + row.offset;
    const size_t item = ItemSize(numbers.dtype);
    for (size_t i = 0; i < row.size / item; ++i) {
      int64_t z = 0;
      if (numbers.dtype == DType::kFloat64) {
        double value;
        std::memcpy(&value, p + i * item, sizeof value);
        z = value >= 0 && value < 1000 ? static_cast<int64_t>(value) : 0;
      } else if (numbers.dtype == DType::kFloat32) {
        float value;
        std::memcpy(&value, p + i * item, sizeof value);
        z = value >= 0 && value < 1000 ? static_cast<int64_t>(value) : 0;
      } else {
        std::memcpy(&z, p + i * item,
                    item);  // little-endian and never negative where it is a symbol
      }
      if (i > 0) text += ',';
      text += '"';
      text += formats::ChemicalSymbol(z);
      text += '"';
    }
    text += ']';
    symbols.text.push_back(std::move(text));
  }
  return symbols;
}

// Cuts a batch that was read whole.
void CutAtoms(const AtomSlice& atoms, FrameBatch* batch) {
  for (Column& column : batch->columns) {
    if (column.kind != FieldKind::kAtom || column.dtype == DType::kJson) continue;
    const size_t atom_bytes = InnerBytes(column);
    std::vector<std::byte> cut;
    RowCursor cursor(*batch, column);
    for (int32_t n : batch->n_atoms) {
      RowView row = cursor.Next();
      if (!row.present) continue;
      const std::byte* from = column.data.data() + row.offset;
      const AtomRange range = atoms.In(n);
      for (int64_t i = range.begin; i < range.end; i += range.step) {
        const std::byte* atom = from + static_cast<size_t>(i) * atom_bytes;
        cut.insert(cut.end(), atom, atom + atom_bytes);
      }
    }
    column.data = Buffer::Own(std::move(cut));
  }
  for (int32_t& n : batch->n_atoms) {
    const AtomRange range = atoms.In(n);
    n = static_cast<int32_t>((range.end - range.begin + range.step - 1) / range.step);
  }
}

}  // namespace

Result<std::shared_ptr<FrameSource>> FrameSource::Open(FramesQuery query, Cut cut) {
  std::shared_ptr<FrameSource> source(new FrameSource(std::move(query)));
  source->DescribeFields();
  ZN_RETURN_IF_ERROR(source->ChooseWindow(cut));
  return source;
}

void FrameSource::DescribeFields() {
  descriptors_.clear();
  for (const FieldRequest& field : query_.fields) {
    FieldDescriptor descriptor;
    if (field.index >= 0) {
      const FieldDescriptor& full = query_.snapshot.fields()[static_cast<size_t>(field.index)];
      descriptor.kind = full.kind;
      descriptor.dtype = full.dtype;
      descriptor.inner = full.inner;
      descriptor.attributes = full.attributes;
    } else {
      descriptor.dtype = DType::kInt32;
    }
    descriptor.name = field.name;
    if (field.symbols) {
      descriptor.kind = FieldKind::kFrame;
      descriptor.dtype = DType::kJson;
      descriptor.inner = {};
    }
    descriptors_.push_back(std::move(descriptor));
  }
}

Result<> FrameSource::ChooseWindow(Cut cut) {
  if (frames() <= 1) {
    window_ = 1;
    return {};
  }
  // The largest of a few frames stands for the rest: windows bound memory, they need not be exact.
  int64_t atoms = 0;
  for (int64_t k = 0; k < kSampleFrames; ++k) {
    int64_t position = query_.selection.at(k * (frames() - 1) / (kSampleFrames - 1));
    ZN_ASSIGN_OR_RETURN(FrameId id, query_.snapshot.IdAt(position));
    ZN_ASSIGN_OR_RETURN(int32_t count, query_.snapshot.AtomCount(id));
    atoms = std::max<int64_t>(atoms, count);
  }
  int64_t sum = 0, largest = 0;
  for (const FieldDescriptor& field : descriptors_) {
    int64_t row = field.dtype == DType::kJson
                      ? kTextBytes
                      : SaturatingMultiply(field.inner.Elements(),
                                           static_cast<int64_t>(ItemSize(field.dtype)));
    if (field.kind != FieldKind::kFrame) row = SaturatingMultiply(row, std::max<int64_t>(atoms, 1));
    row += 16;
    largest = std::max(largest, row);
    sum = std::min(INT64_MAX / 2, sum + row);
  }
  int64_t row = std::max<int64_t>(cut == Cut::kAllFields ? sum : largest, 16);
  // A selection that fits as a whole, all fields together, is one window and read at once.
  if (SaturatingMultiply(frames(), std::max<int64_t>(sum, 16)) <= 2 * kWindowBytes &&
      frames() <= kMaxWindow) {
    window_ = frames();
  } else {
    window_ = std::clamp<int64_t>(kWindowBytes / row, 1, kMaxWindow);
  }
  return {};
}

Result<const std::vector<FrameId>*> FrameSource::Ids(int64_t w) {
  if (ids_window_ != w) {
    ids_window_ = -1;
    if (query_.single) {
      ids_ = {query_.id};
    } else {
      ZN_ASSIGN_OR_RETURN(
          ids_, SelectedIds(query_.snapshot, query_.selection, w * window_, WindowSize(w)));
    }
    ids_window_ = w;
  }
  return &ids_;
}

Result<FrameBatch> FrameSource::ReadFields(std::span<const FrameId> ids,
                                           std::span<const FieldIndex> fields) {
  const AtomSlice& atoms = query_.atoms;
  if (!query_.old_version && atoms.absolute())
    return query_.snapshot.Read(ids, fields,
                                {atoms.begin, std::max(atoms.begin, atoms.end), atoms.step});
  Result<FrameBatch> batch = query_.old_version
                                 ? query_.snapshot.ReadVersion(query_.id, query_.version, fields)
                                 : query_.snapshot.Read(ids, fields);
  if (batch && !atoms.all()) CutAtoms(atoms, &*batch);
  return batch;
}

Result<FrameBatch> FrameSource::Read(int64_t w, std::span<const FieldRequest> fields) {
  ZN_ASSIGN_OR_RETURN(const std::vector<FrameId>* ids, Ids(w));
  std::vector<FieldIndex> indices;
  for (const FieldRequest& field : fields)
    if (field.index >= 0) indices.push_back(field.index);
  ZN_ASSIGN_OR_RETURN(FrameBatch read, ReadFields(*ids, indices));
  FrameBatch batch;
  batch.n_atoms = std::move(read.n_atoms);
  for (const FieldRequest& field : fields) {
    if (field.index < 0) {
      Column counts;
      counts.name = field.name;
      counts.dtype = DType::kInt32;
      counts.data = Buffer::Own(std::vector<int32_t>(batch.n_atoms));
      batch.columns.push_back(std::move(counts));
      continue;
    }
    auto column = std::find_if(read.columns.begin(), read.columns.end(),
                               [&](const Column& c) { return c.name == field.name; });
    if (column == read.columns.end()) {  // an old version without it
      const FieldDescriptor& known = query_.snapshot.fields()[static_cast<size_t>(field.index)];
      Column absent;
      absent.name = field.name;
      absent.kind = known.kind;
      absent.dtype = known.dtype;
      absent.inner = known.inner;
      absent.present.assign(batch.n_atoms.size(), 0);
      batch.columns.push_back(std::move(absent));
    } else if (field.symbols) {
      batch.columns.push_back(SymbolColumn(*column, batch));
    } else {
      batch.columns.push_back(std::move(*column));
    }
  }
  return batch;
}

Result<const FrameBatch*> FrameSource::Batch(int64_t w) {
  if (batch_window_ != w) {
    batch_window_ = -1;
    ZN_ASSIGN_OR_RETURN(FrameBatch batch, Read(w, query_.fields));
    batch_ = std::make_shared<FrameBatch>(std::move(batch));
    batch_window_ = w;
  }
  return batch_.get();
}

Result<std::shared_ptr<const FrameBatch>> FrameSource::FieldBatch(int64_t w, size_t field) {
  if (windows() == 1) {
    ZN_ASSIGN_OR_RETURN(const FrameBatch* all, Batch(0));
    auto one = std::make_shared<FrameBatch>();
    one->n_atoms = all->n_atoms;
    one->columns.push_back(all->columns[field]);
    return std::shared_ptr<const FrameBatch>(std::move(one));
  }
  ZN_ASSIGN_OR_RETURN(FrameBatch batch, Read(w, std::span(query_.fields).subspan(field, 1)));
  return std::shared_ptr<const FrameBatch>(std::make_shared<FrameBatch>(std::move(batch)));
}

Result<std::vector<int32_t>> FrameSource::AtomCounts(int64_t w) {
  if (windows() == 1) {
    ZN_ASSIGN_OR_RETURN(const FrameBatch* all, Batch(0));
    return all->n_atoms;
  }
  ZN_ASSIGN_OR_RETURN(const std::vector<FrameId>* ids, Ids(w));
  ZN_ASSIGN_OR_RETURN(FrameBatch batch, ReadFields(*ids, {}));
  return std::move(batch.n_atoms);
}

Result<std::vector<int64_t>> FrameSource::Versions(int64_t w) {
  if (query_.single) return std::vector<int64_t>{query_.version};
  ZN_ASSIGN_OR_RETURN(const std::vector<FrameId>* ids, Ids(w));
  std::vector<int64_t> versions;
  versions.reserve(ids->size());
  for (FrameId id : *ids) {
    ZN_ASSIGN_OR_RETURN(uint32_t version, query_.snapshot.VersionOf(id));
    versions.push_back(version);
  }
  return versions;
}

Result<bool> FrameSource::InAllFrames(size_t field) const {
  const FieldRequest& request = query_.fields[field];
  if (request.index < 0) return true;
  ZN_ASSIGN_OR_RETURN(int64_t present, query_.snapshot.CountPresent(request.index));
  return present == query_.snapshot.frames();
}

Result<bool> FrameSource::PinRows(int64_t w, size_t field, PieceWriter* out) {
  const FieldRequest& request = query_.fields[field];
  if (request.index < 0 || request.symbols || query_.old_version || !query_.atoms.all())
    return false;
  ZN_ASSIGN_OR_RETURN(const std::vector<FrameId>* ids, Ids(w));
  std::vector<Buffer> rows;
  rows.reserve(ids->size());
  for (FrameId id : *ids) {
    auto row = query_.snapshot.ReadResidentRow(request.index, id);
    if (!row || (rows.empty() && static_cast<int64_t>(row->bytes.size()) < kPinRow)) return false;
    rows.push_back(std::move(row->bytes));
  }
  for (const Buffer& row : rows) out->Pin(row);
  return true;
}

void FrameSource::DropFields(const std::vector<bool>& dropped) {
  std::vector<FieldRequest> kept;
  FrameBatch batch;
  for (size_t i = 0; i < dropped.size(); ++i) {
    if (dropped[i]) continue;
    kept.push_back(query_.fields[i]);
    if (batch_window_ >= 0) batch.columns.push_back(std::move(batch_->columns[i]));
  }
  query_.fields = std::move(kept);
  if (batch_window_ >= 0) batch_->columns = std::move(batch.columns);
  DescribeFields();
}

void FrameSource::NarrowWindows(int64_t bytes) {
  int64_t narrow = std::clamp<int64_t>(2 * kWindowBytes / std::max<int64_t>(bytes, 1), 1, window_);
  if (narrow == window_) return;
  window_ = narrow;
  ids_window_ = batch_window_ = -1;
}

Result<> FrameSource::CheckSize() {
  if (windows() <= 1) return {};
  int64_t per_atom = 0, per_frame = 0;
  for (size_t f = 0; f < descriptors_.size(); ++f) {
    const FieldDescriptor& field = descriptors_[f];
    if (field.dtype == DType::kJson || field.kind == FieldKind::kRagged) continue;
    ZN_ASSIGN_OR_RETURN(bool everywhere, InAllFrames(f));
    if (!everywhere) continue;
    int64_t bytes =
        SaturatingMultiply(field.inner.Elements(), static_cast<int64_t>(ItemSize(field.dtype)));
    (field.kind == FieldKind::kAtom ? per_atom : per_frame) += bytes;
  }
  int64_t atoms = 0;
  if (per_atom > 0) {
    for (int64_t w = 0; w < windows(); ++w) {
      ZN_ASSIGN_OR_RETURN(std::vector<int32_t> counts, AtomCounts(w));
      for (int32_t n : counts) atoms += n;
    }
  }
  const int64_t total =
      SaturatingMultiply(per_atom, atoms) / 2 + SaturatingMultiply(per_frame, frames()) / 2;
  return CheckReply(static_cast<uint64_t>(total) * 2);
}

Result<> FrameSource::CheckReply(uint64_t bytes) const {
  if (bytes <= static_cast<uint64_t>(query_.max_reply)) return {};
  return {ErrorCode::kTooLarge, "the reply would have " + std::to_string(bytes) +
                                    " bytes, and this server sends at most " +
                                    std::to_string(query_.max_reply) +
                                    " (--max-reply): ask for fewer frames (indices=0:1000) or "
                                    "fields (data=), or read the Zarr view"};
}

}  // namespace zn::server
