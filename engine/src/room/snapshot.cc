#include "zn/engine/snapshot.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/bytes.h"
#include "room/reader.h"
#include "tree/field_diff.h"

namespace zn {

using internal::RowReader;

namespace {

Error NoFrame(FrameId id) {
  return {ErrorCode::kNotFound, "frame id " + std::to_string(id) + " is not in this room"};
}

}  // namespace

CommitId Snapshot::commit() const { return state_->commit; }
Position Snapshot::position() const { return state_->position; }
uint64_t Snapshot::incarnation() const { return state_->room; }
int64_t Snapshot::frames() const { return state_->frames(); }
int64_t Snapshot::first_shifted() const { return state_->first_shifted; }
const std::vector<FieldDescriptor>& Snapshot::fields() const { return state_->table->listed; }

std::optional<FieldIndex> Snapshot::FindField(std::string_view name) const {
  const auto& listed = state_->table->listed;
  for (size_t i = 0; i < listed.size(); ++i)
    if (listed[i].name == name) return static_cast<FieldIndex>(i);
  return std::nullopt;
}

Result<int64_t> Snapshot::CountPresent(FieldIndex field) const {
  const internal::RoomState& s = *state_;
  const FieldTree& rows = s.rows[s.table->listed_to_all[static_cast<size_t>(field)]];
  int64_t present = 0;
  Result<> inner;
  ZN_RETURN_IF_ERROR(s.order.ForEach(*store_, 0, s.order.span(), [&](uint64_t, uint64_t span, const OrderEntry& ids) {
    const auto first = static_cast<uint64_t>(ids.first);
    inner = rows.ForEach(*store_, first, first + span, [&](uint64_t, uint64_t n, const FieldEntry& entry) {
      if (entry.present()) present += static_cast<int64_t>(n);
      return true;
    });
    return inner.has_value();
  }));
  ZN_RETURN_IF_ERROR(std::move(inner));
  return present;
}

Result<FrameId> Snapshot::IdAt(int64_t position) const {
  if (position < 0 || position >= frames())
    return Error{ErrorCode::kOutOfRange, "frame " + std::to_string(position) + " of a room with " +
                                             std::to_string(frames()) + " frames"};
  ZN_ASSIGN_OR_RETURN(const auto run, state_->order.Find(*store_, static_cast<uint64_t>(position)));
  return run.entry.first + (position - static_cast<int64_t>(run.start));
}

Result<std::vector<FrameId>> Snapshot::IdsAt(int64_t begin, int64_t count) const {
  if (begin < 0 || count < 0 || begin > frames() || count > frames() - begin)
    return Error{ErrorCode::kOutOfRange, "frames " + std::to_string(begin) + " to " + std::to_string(begin + count) +
                                             " of a room with " + std::to_string(frames())};
  std::vector<FrameId> ids;
  ids.reserve(static_cast<size_t>(count));
  ZN_RETURN_IF_ERROR(state_->order.ForEach(*store_, static_cast<uint64_t>(begin), static_cast<uint64_t>(begin + count),
                                           [&](uint64_t, uint64_t span, const OrderEntry& entry) {
                                             for (uint64_t i = 0; i < span; ++i)
                                               ids.push_back(entry.first + static_cast<int64_t>(i));
                                             return true;
                                           }));
  return ids;
}

Result<int64_t> Snapshot::PositionOf(FrameId id) const {
  ZN_ASSIGN_OR_RETURN(const auto position, state_->order.FindId(*store_, id));
  if (!position) return NoFrame(id);
  return static_cast<int64_t>(*position);
}

Result<int32_t> Snapshot::AtomCount(FrameId id) const {
  return RowReader(*store_, *state_).AtomCount(id);
}

Result<uint32_t> Snapshot::VersionOf(FrameId id) const {
  ZN_ASSIGN_OR_RETURN(const VersionEntry entry, state_->VersionOf(*store_, id));
  return entry.version;
}

Result<std::vector<FrameVersion>> Snapshot::Versions(FrameId id, size_t limit) const {
  if (id < 0 || id >= state_->next_id) return NoFrame(id);
  ZN_ASSIGN_OR_RETURN(const VersionEntry newest, state_->VersionOf(*store_, id));
  ZN_ASSIGN_OR_RETURN(const VersionEntry oldest, state_->OldestVersionOf(*store_, id));
  std::vector<FrameVersion> versions;
  RecordRef ref = newest.record;
  for (uint32_t at = newest.version; at > 1 && at >= oldest.version && versions.size() < limit; --at) {
    ZN_ASSIGN_OR_RETURN(const VersionRecord record, internal::ReadVersionRecord(*store_, ref));
    FrameVersion version{id, at, record.operation, record.actor, record.time_ns, {}};
    for (const auto& old : record.old_rows) {
      const auto& info = *state_->table->all[old.field];
      if (!info.internal || old.field == internal::kAtomCountField) version.fields.push_back(info.descriptor.name);
    }
    versions.push_back(std::move(version));
    ref = record.previous;
  }
  if (oldest.version == 1 && versions.size() < limit) versions.push_back({id, 1, Operation::kAppend, "", 0, {}});
  return versions;
}

Result<std::optional<Row>> Snapshot::ReadRow(FieldIndex field, FrameId id, AtomRange atoms) const {
  return RowReader(*store_, *state_).Read(state_->table->listed_to_all[static_cast<size_t>(field)], id, atoms);
}

std::optional<Row> Snapshot::ReadResidentRow(FieldIndex field, FrameId id) const {
  return RowReader(*store_, *state_).ReadResident(state_->table->listed_to_all[static_cast<size_t>(field)], id);
}

Result<FrameBatch> Snapshot::Read(std::span<const FrameId> ids, std::span<const FieldIndex> fields,
                                  AtomRange atoms) const {
  const RowReader reader(*store_, *state_);
  FrameBatch batch;
  ZN_ASSIGN_OR_RETURN(const Column counts, reader.ReadColumn(internal::kAtomCountField, ids, {}, {}));
  // Every frame has a count, also one without atoms.
  if (!counts.present.empty())
    return Error{ErrorCode::kCorrupt, "a frame without an atom count; run zn-fsck"};
  batch.n_atoms.resize(ids.size());
  if (!ids.empty()) std::memcpy(batch.n_atoms.data(), counts.data.data(), ids.size() * sizeof(int32_t));
  for (const FieldIndex field : fields) {
    ZN_ASSIGN_OR_RETURN(Column column, reader.ReadColumn(state_->table->listed_to_all[static_cast<size_t>(field)], ids,
                                                         batch.n_atoms, atoms));
    batch.columns.push_back(std::move(column));
  }
  if (!atoms.all()) {
    for (int32_t& n : batch.n_atoms) {
      const int64_t begin = std::min<int64_t>(atoms.begin, n), end = std::min<int64_t>(atoms.end, n);
      n = begin >= end ? 0 : static_cast<int32_t>((end - begin + atoms.step - 1) / atoms.step);
    }
  }
  return batch;
}

Result<FrameBatch> Snapshot::ReadVersion(FrameId id, uint32_t version, std::span<const FieldIndex> fields) const {
  if (id < 0 || id >= state_->next_id) return NoFrame(id);
  const RowReader reader(*store_, *state_);
  ZN_ASSIGN_OR_RETURN(const internal::FrameRows rows, reader.RowsAt(id, version));
  std::vector<uint32_t> all;
  for (const FieldIndex field : fields) all.push_back(state_->table->listed_to_all[static_cast<size_t>(field)]);
  return reader.Frame(rows, all);
}

namespace {

// docs/format.md, "Frame hash". The columns come in the order of their names.
Sha256 HashOf(const FrameBatch& frame) {
  Sha256Hasher hasher;
  ByteWriter head;
  head.Put<int64_t>(frame.n_atoms[0]);
  hasher.Update(head.bytes());
  for (const Column& column : frame.columns) {
    ByteWriter out;
    out.PutString(column.name);
    out.PutString(NumpyName(column.dtype));
    Shape shape = column.inner;
    if (column.kind == FieldKind::kAtom) shape = shape.Behind(frame.n_atoms[0]);
    if (column.kind == FieldKind::kRagged) shape = shape.Behind(column.lengths[0]);
    out.Put(static_cast<uint8_t>(shape.rank()));
    for (int64_t extent : shape) out.Put(extent);
    const std::span<const std::byte> bytes =
        column.dtype == DType::kJson ? std::as_bytes(std::span(column.text[0].data(), column.text[0].size()))
                                     : column.data.bytes();
    out.Put(static_cast<uint64_t>(bytes.size()));
    hasher.Update(out.bytes());
    hasher.Update(bytes);
  }
  return hasher.Finish();
}

// Every field that is listed, by name.
std::vector<uint32_t> FieldsByName(const internal::RoomState& state) {
  std::vector<uint32_t> fields(state.table->listed_to_all);
  std::sort(fields.begin(), fields.end(), [&](uint32_t a, uint32_t b) {
    return state.table->all[a]->descriptor.name < state.table->all[b]->descriptor.name;
  });
  return fields;
}

}  // namespace

Result<Sha256> Snapshot::HashFrame(FrameId id) const {
  const RowReader reader(*store_, *state_);
  ZN_ASSIGN_OR_RETURN(const internal::FrameRows rows, reader.RowsOf(id));
  ZN_ASSIGN_OR_RETURN(const FrameBatch frame, reader.Frame(rows, FieldsByName(*state_)));
  return HashOf(frame);
}

Result<Sha256> Snapshot::HashVersion(FrameId id, uint32_t version) const {
  if (id < 0 || id >= state_->next_id) return NoFrame(id);
  const RowReader reader(*store_, *state_);
  ZN_ASSIGN_OR_RETURN(const internal::FrameRows rows, reader.RowsAt(id, version));
  ZN_ASSIGN_OR_RETURN(const FrameBatch frame, reader.Frame(rows, FieldsByName(*state_)));
  return HashOf(frame);
}

Result<Snapshot::Changes> Snapshot::ChangesSince(const Snapshot& older) const {
  const internal::RoomState& now = *state_;
  const internal::RoomState& then = *older.state_;
  if (now.room != then.room && then.next_id > now.next_id)
    return Error{ErrorCode::kInvalidArgument, "the two snapshots are of different rooms"};
  // Which ids are in each: id -> position, as sorted runs.
  struct IdRun {
    FrameId first;
    uint64_t span, position;
  };
  const auto runs_of = [&](const internal::RoomState& s) -> Result<std::vector<IdRun>> {
    std::vector<IdRun> runs;
    ZN_RETURN_IF_ERROR(s.order.ForEach(*store_, 0, s.order.span(), [&](uint64_t at, uint64_t span, const OrderEntry& e) {
      runs.push_back({e.first, span, at});
      return true;
    }));
    std::sort(runs.begin(), runs.end(), [](const IdRun& a, const IdRun& b) { return a.first < b.first; });
    return runs;
  };
  ZN_ASSIGN_OR_RETURN(const auto new_runs, runs_of(now));
  ZN_ASSIGN_OR_RETURN(const auto old_runs, runs_of(then));
  const auto contains = [](const std::vector<IdRun>& runs, FrameId id) {
    auto at = std::upper_bound(runs.begin(), runs.end(), id, [](FrameId x, const IdRun& r) { return x < r.first; });
    if (at == runs.begin()) return false;
    --at;
    return id < at->first + static_cast<int64_t>(at->span);
  };
  std::map<FrameId, Change> changed;
  const auto only_in = [&](const std::vector<IdRun>& here, const std::vector<IdRun>& there, bool added) {
    for (const IdRun& run : here) {
      FrameId id = run.first;
      const FrameId end = run.first + static_cast<int64_t>(run.span);
      while (id < end) {
        auto at = std::upper_bound(there.begin(), there.end(), id, [](FrameId x, const IdRun& r) { return x < r.first; });
        if (at != there.begin() && id < std::prev(at)->first + static_cast<int64_t>(std::prev(at)->span)) {
          id = std::prev(at)->first + static_cast<int64_t>(std::prev(at)->span);
          continue;
        }
        const FrameId gap_end = at == there.end() ? end : std::min(end, at->first);
        for (; id < gap_end; ++id) {
          Change& change = changed[id];
          change.id = id;
          (added ? change.added : change.removed) = true;
        }
      }
    }
  };
  only_in(new_runs, old_runs, true);
  only_in(old_runs, new_runs, false);

  for (size_t listed = 0; listed < now.table->listed_to_all.size(); ++listed) {
    const uint32_t field = now.table->listed_to_all[listed];
    const FieldTree empty;
    const FieldTree& before = field < then.rows.size() ? then.rows[field] : empty;
    std::vector<std::pair<uint64_t, uint64_t>> stretches;
    ZN_RETURN_IF_ERROR(DiffRows(*store_, before, now.rows[field],
                                [&](uint64_t first, uint64_t span, const FieldEntry&, const FieldEntry&) {
                                  stretches.emplace_back(first, first + span);
                                }));
    for (const auto& [begin, end] : stretches) {
      for (uint64_t id = begin; id < end; ++id) {
        const auto frame = static_cast<FrameId>(id);
        if (!contains(new_runs, frame) || !contains(old_runs, frame)) continue;
        // Compaction moves rows without changing the frame: its version tells.
        ZN_ASSIGN_OR_RETURN(const VersionEntry v_was, then.VersionOf(*store_, frame));
        ZN_ASSIGN_OR_RETURN(const VersionEntry v_is, now.VersionOf(*store_, frame));
        if (v_was.version == v_is.version) continue;
        Change& change = changed[frame];
        change.id = frame;
        change.fields.push_back(static_cast<FieldIndex>(listed));
      }
    }
  }

  Changes result;
  for (auto& [id, change] : changed) result.frames.push_back(std::move(change));
  // Positions: walk both orders, skipping what is only in one.
  const auto order_of = [&](const internal::RoomState& s, const std::vector<IdRun>& other) -> Result<std::vector<FrameId>> {
    std::vector<FrameId> ids;
    ZN_RETURN_IF_ERROR(s.order.ForEach(*store_, 0, s.order.span(), [&](uint64_t, uint64_t span, const OrderEntry& e) {
      for (uint64_t i = 0; i < span; ++i)
        if (contains(other, e.first + static_cast<int64_t>(i))) ids.push_back(e.first + static_cast<int64_t>(i));
      return true;
    }));
    return ids;
  };
  if (!now.order.SharesRootWith(then.order)) {
    ZN_ASSIGN_OR_RETURN(const auto new_order, order_of(now, old_runs));
    ZN_ASSIGN_OR_RETURN(const auto old_order, order_of(then, new_runs));
    result.order_changed = new_order != old_order;
  }
  return result;
}

}  // namespace zn
