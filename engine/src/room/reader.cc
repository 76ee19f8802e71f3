#include "room/reader.h"

#include <algorithm>
#include <cstring>

#include "base/copy.h"
#include "zn/engine/dtype_convert.h"
#include "chunk/json_text.h"

namespace zn::internal {
namespace {

// Below this, threads cost more than they save.
constexpr size_t kParallelBytes = 2 << 20;

size_t ElementBytes(const Geometry& g) {
  size_t bytes = ItemSize(g.dtype);
  for (int64_t extent : g.inner) bytes *= static_cast<size_t>(extent);
  return bytes;
}

/// A heap block that is not zeroed first.
struct RawBlock {
  explicit RawBlock(size_t n) : bytes(std::make_unique_for_overwrite<std::byte[]>(n)), size(n) {}
  std::unique_ptr<std::byte[]> bytes;
  size_t size;
};

Buffer Share(std::shared_ptr<RawBlock> block) {
  const std::span<const std::byte> bytes(block->bytes.get(), block->size);
  return Buffer(std::move(block), bytes);
}

int64_t Selected(const AtomRange& atoms, int64_t n) {
  const int64_t begin = std::min(atoms.begin, n), end = std::min(atoms.end, n);
  return begin >= end ? 0 : (end - begin + atoms.step - 1) / atoms.step;
}

/// Picks the atoms of `range` out of n rows of `row_bytes`.
void CopyAtoms(const std::byte* from, size_t row_bytes, const AtomRange& range, int64_t n, std::byte* to) {
  const int64_t selected = Selected(range, n);
  if (range.step == 1) {
    CopyBytes(to, from + static_cast<size_t>(std::min(range.begin, n)) * row_bytes,
                static_cast<size_t>(selected) * row_bytes);
    return;
  }
  for (int64_t i = 0; i < selected; ++i)
    CopyBytes(to + static_cast<size_t>(i) * row_bytes,
                from + static_cast<size_t>(range.begin + i * range.step) * row_bytes, row_bytes);
}

/// Consecutive frames of a selection whose rows are consecutive in one chunk.
struct Group {
  FieldEntry entry;      // row is that of the first frame
  size_t first = 0;      // index among the selected frames
  size_t frames = 0;
  size_t out_offset = 0; // bytes
};

}  // namespace

Result<VersionRecord> ReadVersionRecord(const StoreCore& core, const RecordRef& ref) {
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, core.ReadNode(ref));
  return DecodeVersion(bytes.bytes());
}

Result<int32_t> RowReader::AtomCountOf(const FieldEntry& row) const {
  if (!row.present()) return 0;
  const FieldInfo& counts = info(kAtomCountField);
  const Geometry& g = counts.descriptor.geometries[row.geometry];
  Buffer bytes;
  if (auto resident = core_.chunks->ResidentRows(g, row, 0, row.row, 1)) {
    bytes = std::move(*resident);
  } else {
    ZN_ASSIGN_OR_RETURN(bytes, core_.chunks->ReadRows(g, *counts.pipelines[row.geometry], row, 0, row.row, 1));
  }
  int32_t n;
  std::memcpy(&n, bytes.data(), sizeof n);
  if (n < 0) return Error{ErrorCode::kCorrupt, "a negative atom count is stored; run zn-fsck"};
  return n;
}

Result<int32_t> RowReader::AtomCount(FrameId id) const {
  ZN_ASSIGN_OR_RETURN(const FieldEntry row, state_.RowOf(core_, kAtomCountField, id));
  return AtomCountOf(row);
}

Result<int64_t> RowReader::Length(uint32_t field, const FieldEntry& row, const FieldEntry& lengths_row) const {
  const FieldInfo& f = info(field);
  const Geometry& g = f.descriptor.geometries[row.geometry];
  if (g.kind == FieldKind::kFrame) return g.inner.rank() > 0 ? g.inner[0] : 1;
  if (f.lengths < 0 || !lengths_row.present())
    return Error{ErrorCode::kCorrupt, "field " + f.descriptor.name + " lacks a row count; run zn-fsck"};
  const FieldInfo& lengths = info(static_cast<uint32_t>(f.lengths));
  const Geometry& lg = lengths.descriptor.geometries[lengths_row.geometry];
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, core_.chunks->ReadRows(lg, *lengths.pipelines[lengths_row.geometry],
                                                                 lengths_row, 0, lengths_row.row, 1));
  int64_t n;
  std::memcpy(&n, bytes.data(), sizeof n);
  if (n < 0 || n > row.used_atoms)
    return Error{ErrorCode::kCorrupt, "field " + f.descriptor.name + " has a row count beyond its chunk; run zn-fsck"};
  return n;
}

Result<Row> RowReader::ReadEntry(uint32_t field, const FieldEntry& entry, int64_t count,
                                 const AtomRange& atoms) const {
  const FieldInfo& f = info(field);
  const Geometry& g = f.descriptor.geometries[entry.geometry];
  const CodecPipeline& pipeline = *f.pipelines[entry.geometry];
  Row row;
  row.dtype = f.descriptor.dtype;
  if (g.dtype == DType::kJson) {
    ZN_ASSIGN_OR_RETURN(row.text, core_.chunks->ReadText(g, pipeline, entry, entry.row));
    return row;
  }
  Shape shape = g.inner;
  Buffer bytes;
  if (g.kind == FieldKind::kFrame) {
    ZN_ASSIGN_OR_RETURN(bytes, core_.chunks->ReadRows(g, pipeline, entry, 0, entry.row, 1));
  } else {
    const size_t atom_bytes = ElementBytes(g);
    if (count > entry.used_atoms)
      return Error{ErrorCode::kCorrupt, "field " + f.descriptor.name + " has fewer rows than atoms; run zn-fsck"};
    if (entry.blocks == 1) {
      ZN_ASSIGN_OR_RETURN(bytes, core_.chunks->ReadRows(g, pipeline, entry, 0, entry.row, 1));
      bytes = bytes.Slice(0, static_cast<size_t>(count) * atom_bytes);
    } else if (count > 0) {
      auto joined = std::make_shared<RawBlock>(static_cast<size_t>(count) * atom_bytes);
      size_t at = 0;
      for (size_t block = 0; block < entry.blocks && at < joined->size; ++block) {
        ZN_ASSIGN_OR_RETURN(const Buffer part, core_.chunks->ReadRows(g, pipeline, entry, block, entry.row, 1));
        const size_t n = std::min(part.size(), joined->size - at);
        CopyBytes(joined->bytes.get() + at, part.data(), n);
        at += n;
      }
      bytes = Share(std::move(joined));
    }
    int64_t selected = count;
    if (!atoms.all()) {
      selected = Selected(atoms, count);
      if (atoms.step == 1) {
        bytes = bytes.Slice(static_cast<size_t>(std::min(atoms.begin, count)) * atom_bytes,
                            static_cast<size_t>(selected) * atom_bytes);
      } else {
        auto picked = std::make_shared<RawBlock>(static_cast<size_t>(selected) * atom_bytes);
        CopyAtoms(bytes.data(), atom_bytes, atoms, count, picked->bytes.get());
        bytes = Share(std::move(picked));
      }
    }
    shape = shape.Behind(selected);
  }
  if (row.dtype == DType::kJson) {
    row.text = JsonOfArray(g.dtype, shape, bytes.bytes());
    return row;
  }
  row.shape = shape;
  if (g.dtype != row.dtype) {
    auto converted = std::make_shared<RawBlock>(bytes.size() / ItemSize(g.dtype) * ItemSize(row.dtype));
    ZN_RETURN_IF_ERROR(ConvertElements(g.dtype, bytes.bytes(), row.dtype,
                                       {converted->bytes.get(), converted->size}, false));
    bytes = Share(std::move(converted));
  }
  row.bytes = std::move(bytes);
  return row;
}

Error RowReader::Name(Error error, uint32_t field, FrameId first, FrameId last) const {
  if (error.code != ErrorCode::kCorrupt && error.code != ErrorCode::kIo && error.code != ErrorCode::kNotFound)
    return error;
  const std::string frames = first == last ? "frame id " + std::to_string(first)
                                           : "frame ids " + std::to_string(first) + " to " + std::to_string(last);
  return std::move(error).Context("field " + info(field).descriptor.name + " of " + frames);
}

Result<std::optional<Row>> RowReader::Read(uint32_t field, FrameId id, const AtomRange& atoms) const {
  auto row = ReadUnnamed(field, id, atoms);
  if (!row) return Name(std::move(row).error(), field, id, id);
  return row;
}

Result<std::optional<Row>> RowReader::ReadUnnamed(uint32_t field, FrameId id, const AtomRange& atoms) const {
  ZN_ASSIGN_OR_RETURN(const FieldEntry entry, state_.RowOf(core_, field, id));
  if (!entry.present()) return std::optional<Row>();
  if (entry.row == 0) DecodeAhead(field, id, entry);
  const FieldInfo& f = info(field);
  int64_t count = 0;
  switch (f.descriptor.geometries[entry.geometry].kind) {
    case FieldKind::kFrame: break;
    case FieldKind::kAtom: {
      ZN_ASSIGN_OR_RETURN(count, AtomCount(id));
      break;
    }
    case FieldKind::kRagged: {
      ZN_ASSIGN_OR_RETURN(const FieldEntry lengths, state_.RowOf(core_, static_cast<uint32_t>(f.lengths), id));
      ZN_ASSIGN_OR_RETURN(count, Length(field, entry, lengths));
      break;
    }
  }
  // Only the rows of atoms are selected by atoms.
  const bool per_atom = f.descriptor.kind == FieldKind::kAtom;
  ZN_ASSIGN_OR_RETURN(Row row, ReadEntry(field, entry, count, per_atom ? atoms : AtomRange{}));
  return std::optional<Row>(std::move(row));
}

void RowReader::DecodeAhead(uint32_t field, FrameId id, const FieldEntry& entry) const {
  const FieldInfo& f = info(field);
  const auto decoded_ahead = [&](const FieldEntry& at) {
    return at.present() && at.row == 0 && at.blocks == 1 && at.refs[0] && at.chunk_rows == entry.chunk_rows &&
           f.descriptor.geometries[at.geometry].dtype != DType::kJson;
  };
  if (entry.chunk_rows < ChunkCache::kSequentialRows || !decoded_ahead(entry) ||
      core_.chunks->ResidentRows(f.descriptor.geometries[entry.geometry], entry, 0, 0, 1))
    return;
  const auto rows = static_cast<FrameId>(entry.chunk_rows);
  if (!core_.read_ahead.Continues(state_.room, field, id, id + rows)) return;
  for (int i = 1; i <= ReadAhead::kChunks; ++i) {
    const auto next = state_.RowOf(core_, field, id + i * rows);
    if (!next || !decoded_ahead(*next)) return;
    // The table keeps geometries and pipelines; the state may be gone by then.
    core_.pool->Submit([&core = core_, table = state_.table, field, next = next->Owned()] {
      const FieldInfo& of = *table->all[field];
      // An error is met again by whoever wants the row.
      (void)core.chunks->ReadRows(of.descriptor.geometries[next.geometry], *of.pipelines[next.geometry], next, 0, 0, 1);
    });
  }
}

std::optional<Row> RowReader::ReadResident(uint32_t field, FrameId id) const {
  const FieldInfo& f = info(field);
  const auto entry = state_.RowOf(core_, field, id);
  if (!entry || !entry->present() || entry->blocks != 1) return std::nullopt;
  const Geometry& g = f.descriptor.geometries[entry->geometry];
  if (g.dtype != f.descriptor.dtype || g.dtype == DType::kJson || g.kind == FieldKind::kRagged)
    return std::nullopt;
  auto bytes = core_.chunks->ResidentRows(g, *entry, 0, entry->row, 1);
  if (!bytes) return std::nullopt;
  Row row;
  row.dtype = g.dtype;
  row.shape = g.inner;
  if (g.kind == FieldKind::kAtom) {
    const FieldInfo& counts = info(kAtomCountField);
    const auto count_entry = state_.RowOf(core_, kAtomCountField, id);
    if (!count_entry || !count_entry->present()) return std::nullopt;
    const auto count_bytes = core_.chunks->ResidentRows(
        counts.descriptor.geometries[count_entry->geometry], *count_entry, 0, count_entry->row, 1);
    if (!count_bytes) return std::nullopt;
    int32_t n;
    std::memcpy(&n, count_bytes->data(), sizeof n);
    const size_t size = static_cast<size_t>(std::max(n, 0)) * ElementBytes(g);
    if (size > bytes->size()) return std::nullopt;
    *bytes = bytes->Slice(0, size);
    row.shape = g.inner.Behind(n);
  }
  row.bytes = std::move(*bytes);
  return row;
}

Result<FrameRows> RowReader::RowsOf(FrameId id) const {
  FrameRows rows;
  for (uint32_t field = 0; field < state_.rows.size(); ++field) {
    ZN_ASSIGN_OR_RETURN(FieldEntry entry, state_.RowOf(core_, field, id));
    rows.push_back(std::move(entry));
  }
  return rows;
}

Result<FrameRows> RowReader::RowsAt(FrameId id, uint32_t version) const {
  ZN_ASSIGN_OR_RETURN(FrameRows rows, RowsOf(id));
  ZN_ASSIGN_OR_RETURN(VersionEntry newest, state_.VersionOf(core_, id));
  if (version < 1 || version > newest.version)
    return Error{ErrorCode::kNotFound, "frame " + std::to_string(id) + " has no version " + std::to_string(version) +
                                           "; its newest is " + std::to_string(newest.version)};
  ZN_ASSIGN_OR_RETURN(const VersionEntry oldest, state_.OldestVersionOf(core_, id));
  if (version < oldest.version)
    return Error{ErrorCode::kPruned, "version " + std::to_string(version) + " of frame " + std::to_string(id) +
                                         " is gone: the room keeps its versions from " +
                                         std::to_string(oldest.version) + " on"};
  RecordRef ref = newest.record;
  for (uint32_t at = newest.version; at > version; --at) {
    ZN_ASSIGN_OR_RETURN(const VersionRecord record, ReadVersionRecord(core_, ref));
    for (const auto& old : record.old_rows)
      if (old.field < rows.size()) rows[old.field] = old.row;
    ref = record.previous;
  }
  return rows;
}

Result<FrameBatch> RowReader::Frame(const FrameRows& rows, std::span<const uint32_t> fields) const {
  FrameBatch batch;
  ZN_ASSIGN_OR_RETURN(const int32_t n_atoms, AtomCountOf(rows[kAtomCountField]));
  batch.n_atoms.push_back(n_atoms);
  for (const uint32_t field : fields) {
    const FieldEntry& entry = rows[field];
    if (!entry.present()) continue;
    const FieldInfo& f = info(field);
    int64_t count = n_atoms;
    if (f.descriptor.geometries[entry.geometry].kind == FieldKind::kRagged) {
      ZN_ASSIGN_OR_RETURN(count, Length(field, entry, rows[static_cast<size_t>(f.lengths)]));
    }
    ZN_ASSIGN_OR_RETURN(Row row, ReadEntry(field, entry, count, {}));
    Column column;
    column.name = f.descriptor.name;
    column.kind = f.descriptor.kind;
    column.dtype = row.dtype;
    column.inner = f.descriptor.inner;
    column.attributes = f.descriptor.attributes;
    if (row.dtype == DType::kJson) {
      column.text.push_back(std::move(row.text));
    } else {
      if (column.kind == FieldKind::kRagged) column.lengths.push_back(row.shape.rank() > 0 ? row.shape[0] : 1);
      column.data = std::move(row.bytes);
    }
    batch.columns.push_back(std::move(column));
  }
  return batch;
}

Result<Column> RowReader::ReadColumn(uint32_t field, std::span<const FrameId> ids,
                                     std::span<const int32_t> n_atoms, const AtomRange& atoms) const {
  const FieldInfo& f = info(field);
  const FieldDescriptor& d = f.descriptor;
  Column column;
  column.name = d.name;
  column.kind = d.kind;
  column.dtype = d.dtype;
  column.inner = d.inner;
  column.attributes = d.attributes;

  std::vector<uint8_t> present(ids.size(), 1);
  bool some_absent = false;
  std::vector<Group> groups;
  const bool per_atom = d.kind == FieldKind::kAtom;
  const bool plain = d.dtype != DType::kJson && d.kind != FieldKind::kRagged;
  size_t row_unit = ItemSize(d.dtype);
  for (int64_t extent : d.inner) row_unit *= static_cast<size_t>(extent);
  size_t out_bytes = 0;
  bool convert = false;

  FieldTree::Found run;
  bool have_run = false;
  const FieldTree& tree = state_.rows[field];
  std::vector<std::byte> ragged;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<uint64_t>(ids[i]);
    FieldEntry entry;
    if (id < tree.span()) {
      if (!have_run || id < run.start || id >= run.start + run.span) {
        ZN_ASSIGN_OR_RETURN(run, tree.Find(core_, id));
        have_run = true;
      }
      entry = run.entry.SliceFrom(id - run.start);
    }
    if (!entry.present()) {
      present[i] = 0;
      some_absent = true;
      continue;
    }
    if (!plain) {
      int64_t count = n_atoms.empty() ? 0 : n_atoms[i];
      if (d.geometries[entry.geometry].kind == FieldKind::kRagged) {
        ZN_ASSIGN_OR_RETURN(const FieldEntry lengths, state_.RowOf(core_, static_cast<uint32_t>(f.lengths), ids[i]));
        ZN_ASSIGN_OR_RETURN(count, Length(field, entry, lengths));
      }
      ZN_ASSIGN_OR_RETURN(Row row, ReadEntry(field, entry, count, {}));
      if (d.dtype == DType::kJson) {
        column.text.push_back(std::move(row.text));
      } else {
        column.lengths.push_back(row.shape.rank() > 0 ? row.shape[0] : 1);
        ragged.insert(ragged.end(), row.bytes.data(), row.bytes.data() + row.bytes.size());
      }
      continue;
    }
    convert |= d.geometries[entry.geometry].dtype != d.dtype;
    Group* last = groups.empty() ? nullptr : &groups.back();
    if (last && last->first + last->frames == i && last->entry.row + last->frames == entry.row &&
        last->entry.SameChunk(entry)) {
      ++last->frames;
    } else {
      groups.push_back({entry, i, 1, out_bytes});
    }
    out_bytes += row_unit * (per_atom ? static_cast<size_t>(Selected(atoms, n_atoms[i])) : 1);
  }
  if (some_absent) column.present = std::move(present);
  if (!plain) {
    if (d.dtype != DType::kJson) column.data = Buffer::Own(std::move(ragged));
    return column;
  }

  const auto kept_row_bytes = [&](const Group& group) {
    return ShapeOfBlock(d.geometries[group.entry.geometry], group.entry, 0).kept_row_bytes;
  };
  // One stretch of one chunk without padding is handed on as it lies in the cache.
  if (groups.size() == 1 && !convert && groups[0].entry.blocks == 1 &&
      kept_row_bytes(groups[0]) * groups[0].frames == out_bytes && atoms.all()) {
    const Group& only = groups[0];
    auto rows = core_.chunks->ReadRows(d.geometries[only.entry.geometry], *f.pipelines[only.entry.geometry],
                                       only.entry, 0, only.entry.row, static_cast<int64_t>(only.frames));
    if (!rows) return Name(std::move(rows).error(), field, ids[only.first], ids[only.first + only.frames - 1]);
    column.data = std::move(*rows);
    return column;
  }

  auto out = std::make_shared<RawBlock>(out_bytes);
  std::vector<Result<>> results(groups.size());
  const auto read_group = [&](size_t index) -> Result<> {
    const Group& group = groups[index];
    const FieldEntry& entry = group.entry;
    const Geometry& g = d.geometries[entry.geometry];
    const CodecPipeline& pipeline = *f.pipelines[entry.geometry];
    std::byte* to = out->bytes.get() + group.out_offset;
    const auto frames = static_cast<int64_t>(group.frames);
    const size_t group_end = index + 1 < groups.size() ? groups[index + 1].out_offset : out_bytes;
    const size_t group_bytes = group_end - group.out_offset;
    if (entry.blocks == 1 && g.dtype == d.dtype && atoms.all() &&
        kept_row_bytes(group) * group.frames == group_bytes)
      return core_.chunks->ReadRowsInto(g, pipeline, entry, 0, entry.row, frames, {to, group_bytes});
    if (entry.blocks == 1 && g.dtype == d.dtype && per_atom) {
      ZN_ASSIGN_OR_RETURN(const Buffer rows, core_.chunks->ReadRows(g, pipeline, entry, 0, entry.row, frames));
      const size_t stride = kept_row_bytes(group);
      for (size_t i = 0; i < group.frames; ++i) {
        const int64_t n = n_atoms[group.first + i];
        if (static_cast<size_t>(n) * row_unit > stride)
          return Error{ErrorCode::kCorrupt, "field " + d.name + " has fewer rows than atoms; run zn-fsck"};
        CopyAtoms(rows.data() + i * stride, row_unit, atoms, n, to);
        to += static_cast<size_t>(Selected(atoms, n)) * row_unit;
      }
      return {};
    }
    // Several blocks of atoms, or a conversion: frame by frame.
    for (size_t i = 0; i < group.frames; ++i) {
      ZN_ASSIGN_OR_RETURN(const Row row, ReadEntry(field, entry.SliceFrom(i), per_atom ? n_atoms[group.first + i] : 0,
                                                   per_atom ? atoms : AtomRange{}));
      if (static_cast<size_t>(to - out->bytes.get()) + row.bytes.size() > out_bytes)
        return Error{ErrorCode::kCorrupt, "field " + d.name + " has rows of another shape; run zn-fsck"};
      CopyBytes(to, row.bytes.data(), row.bytes.size());
      to += row.bytes.size();
    }
    return {};
  };
  if (groups.size() > 1 && out_bytes >= kParallelBytes) {
    core_.pool->ParallelFor(groups.size(), [&](size_t i) { results[i] = read_group(i); });
  } else {
    for (size_t i = 0; i < groups.size(); ++i) results[i] = read_group(i);
  }
  for (size_t i = 0; i < groups.size(); ++i)
    if (!results[i])
      return Name(std::move(results[i]).error(), field, ids[groups[i].first],
                  ids[groups[i].first + groups[i].frames - 1]);
  column.data = Share(std::move(out));
  return column;
}

}  // namespace zn::internal
