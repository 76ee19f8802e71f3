// RoomImpl: frames added and changed by clients. Prepared outside the room's lock, checked and sequenced under it.

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "room/column_merger.h"
#include "room/reader.h"
#include "room/room_impl.h"

namespace zn::internal {
namespace {

// A preparation goes stale only when another writer touched the same frames or defined a field meanwhile.
constexpr int kAttempts = 64;

/// The rows of a column, a present frame each.
std::vector<SourceRow> RowsOf(const Column& column, const Geometry& geometry, std::span<const int32_t> n_atoms) {
  size_t element = ItemSize(column.dtype);
  for (int64_t extent : column.inner) element *= static_cast<size_t>(extent);
  std::vector<SourceRow> rows;
  const std::byte* at = column.data.data();
  size_t nth = 0;
  static constexpr std::byte kNothing{};
  for (size_t frame = 0; frame < n_atoms.size(); ++frame) {
    if (!column.HasFrame(frame)) continue;
    int64_t count = 1;
    if (geometry.kind == FieldKind::kAtom) count = n_atoms[frame];
    if (geometry.kind == FieldKind::kRagged) count = column.lengths[nth];
    rows.push_back({at ? at : &kNothing, count});
    if (at) at += element * static_cast<size_t>(count);
    ++nth;
  }
  return rows;
}

/// Short chunks of rows [0, rows) with what each needs; `place` takes the chunk and the index of its first row.
Result<> MakeChunks(StoreCore& core, const ColumnMerger::Merged& merged, std::span<const SourceRow> rows,
                    std::span<const std::string> texts, const std::function<void(PreparedChunk, size_t)>& place) {
  const size_t count = merged.geometry.dtype == DType::kJson ? texts.size() : rows.size();
  const auto step = static_cast<size_t>(merged.geometry.frames_per_chunk);
  for (size_t first = 0; first < count; first += step) {
    const size_t n = std::min(step, count - first);
    Result<PreparedChunk> chunk =
        merged.geometry.dtype == DType::kJson
            ? PrepareTextChunk(core, merged.geometry, merged.geometry_index, *merged.pipeline, texts.subspan(first, n))
            : PrepareChunk(core, merged.geometry, merged.geometry_index, *merged.pipeline, rows.subspan(first, n));
    if (!chunk) return std::move(chunk).error().Context("field " + merged.column.name);
    place(std::move(*chunk), first);
  }
  return {};
}

/// Blocks that are large go to packs, durable before the log names them.
template <class Chunks>
Result<> PutLargeBlocks(StoreCore& core, Chunks&& chunks) {
  bool any = false;
  for (auto& item : chunks) {
    ZN_ASSIGN_OR_RETURN(const bool put, PutBlocks(core, item.chunk, kPackThreshold));
    any |= put;
  }
  return any ? core.packs->Sync() : Result<>();
}

}  // namespace

Result<NewFrames> PrepareFrames(StoreCore& core, const std::shared_ptr<const FieldTable>& table, const FrameBatch& batch,
                                const LayoutOptions& layout, MergeMode mode) {
  ZN_RETURN_IF_ERROR(ValidateBatch(batch));
  NewFrames frames;
  frames.count = batch.frames();
  frames.table = table;
  ColumnMerger merger(core, table, layout, mode);
  const auto add = [&](const ColumnMerger::Merged& merged) -> Result<> {
    // The frame of each row: chunks are of rows that exist, so a stretch of frames may be several chunks' and a chunk
    // may be of several stretches.
    std::vector<uint64_t> frame_of;
    for (size_t i = 0; i < batch.n_atoms.size(); ++i)
      if (merged.column.HasFrame(i)) frame_of.push_back(i);
    const std::vector<SourceRow> rows = merged.geometry.dtype == DType::kJson
                                            ? std::vector<SourceRow>()
                                            : RowsOf(merged.column, merged.geometry, batch.n_atoms);
    return MakeChunks(core, merged, rows, merged.column.text, [&](PreparedChunk chunk, size_t first) {
      NewFrames::Rows part;
      part.field = merged.field;
      part.frames_of_rows.assign(frame_of.begin() + static_cast<ptrdiff_t>(first),
                                 frame_of.begin() + static_cast<ptrdiff_t>(first + chunk.rows));
      part.chunk = std::move(chunk);
      frames.rows.push_back(std::move(part));
    });
  };
  ZN_ASSIGN_OR_RETURN(const auto counts, merger.Counts(batch));
  ZN_RETURN_IF_ERROR(add(counts));
  for (const Column& column : batch.columns) {
    ZN_ASSIGN_OR_RETURN(const auto merged, merger.Merge(batch, column));
    ZN_RETURN_IF_ERROR(add(merged));
    if (merged.lengths >= 0) {
      ZN_ASSIGN_OR_RETURN(const auto lengths, merger.Lengths(merged));
      ZN_RETURN_IF_ERROR(add(lengths));
    }
  }
  frames.defines = merger.Definitions();
  ZN_RETURN_IF_ERROR(PutLargeBlocks(core, frames.rows));
  return frames;
}

Result<uint64_t> FindPlace(const NodeSource& source, const RoomState& tip, const Placement& place, int64_t count) {
  if (place.expected_head && !(tip.commit == *place.expected_head)) return StaleHead(tip);
  if (tip.next_id > kMaxFrameId - count) return Error{ErrorCode::kTooLarge, "the room has used up its frame ids"};
  if (place.before_id) {
    ZN_ASSIGN_OR_RETURN(const auto position, tip.order.FindId(source, *place.before_id));
    if (!position) return Error{ErrorCode::kNotFound, "frame id " + std::to_string(*place.before_id) + " is not in the room"};
    return *position;
  }
  if (!place.before) return tip.order.span();
  if (*place.before < 0 || *place.before > tip.frames())
    return Error{ErrorCode::kOutOfRange, "cannot insert before frame " + std::to_string(*place.before) +
                                             " of a room with " + std::to_string(tip.frames())};
  return static_cast<uint64_t>(*place.before);
}

Result<CommitInfo> RoomImpl::PlaceFrames(const Placement& place, NewFrames& frames, const CommitContext& context,
                                         bool& stale) {
  stale = false;
  uint64_t at = 0;
  const auto check = [&](const RoomState& tip) -> Result<bool> {
    ZN_ASSIGN_OR_RETURN(at, FindPlace(*core_, tip, place, frames.count));
    return tip.table == frames.table;
  };
  const Operation operation = place.before || place.before_id ? Operation::kInsert : Operation::kAppend;
  ZN_ASSIGN_OR_RETURN(auto info, TryCommit(operation, context, check, [&](CommitDraft& draft, CommitInfo& made) -> Result<> {
    const FrameId first = draft.state().next_id;
    for (const FieldDefineOp& define : frames.defines) ZN_RETURN_IF_ERROR(draft.Apply(define));
    ZN_RETURN_IF_ERROR(draft.Apply(NextIdOp{first + frames.count}));
    for (NewFrames::Rows& part : frames.rows) {
      AppendBlocks(part.chunk, draft.append());
      const FieldEntry entry = part.chunk.Entry();
      const auto& of = part.frames_of_rows;
      for (size_t begin = 0; begin < of.size();) {
        size_t end = begin + 1;
        while (end < of.size() && of[end] == of[end - 1] + 1) ++end;
        ZN_RETURN_IF_ERROR(draft.Apply(
            FieldSpliceOp{part.field, first + static_cast<int64_t>(of[begin]), end - begin, entry.SliceFrom(begin)}));
        begin = end;
      }
    }
    ZN_RETURN_IF_ERROR(PlaceCopied(draft, first, frames.copied));
    ZN_RETURN_IF_ERROR(draft.Apply(OrderSpliceOp{at, 0, {{static_cast<uint64_t>(frames.count), {first}}}}));
    for (int64_t i = 0; i < frames.count; ++i) made.ids.push_back(first + i);
    made.versions.assign(static_cast<size_t>(frames.count), 1);
    made.first_position = static_cast<int64_t>(at);
    return {};
  }));
  if (!info) {
    stale = true;
    return CommitInfo();
  }
  for (const NewFrames::Rows& part : frames.rows) RememberBlocks(*core_, part.chunk);
  return std::move(*info);
}

Result<CommitInfo> RoomImpl::AddFrames(const Placement& place, const CommitContext& context,
                                       const std::function<Result<NewFrames>(const RoomState&)>& prepare) {
  const WriteScopes::Scope scope(core_->writes);
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    ZN_ASSIGN_OR_RETURN(NewFrames frames, prepare(*tip));
    if (frames.count == 0) {
      ZN_ASSIGN_OR_RETURN(auto unchanged, LeaveUnchanged({}, context, nullptr));
      return std::move(*unchanged);
    }
    bool stale = false;
    ZN_ASSIGN_OR_RETURN(CommitInfo info, PlaceFrames(place, frames, context, stale));
    if (!stale) return info;
  }
  return Error{ErrorCode::kConflict, "other writers kept changing the room's fields; try again"};
}

Result<CommitInfo> RoomImpl::Add(const FrameBatch& batch, const Placement& place, const CommitContext& context) {
  return AddFrames(place, context, [&](const RoomState& tip) {
    return PrepareFrames(*core_, tip.table, batch, {}, MergeMode::kStrict);
  });
}

Result<CommitInfo> RoomImpl::CopyFrames(const Snapshot& source, std::span<const FrameId> ids, const Placement& place,
                                        const CommitContext& context) {
  if (source.store() != core_)
    return Error{ErrorCode::kInvalidArgument, "frames can be copied by reference only within one store"};
  return AddFrames(place, context,
                   [&](const RoomState& tip) { return PrepareCopy(*core_, tip.table, source.state(), ids); });
}

Result<CommitInfo> RoomImpl::Append(const FrameBatch& batch, const CommitContext& context) {
  return Add(batch, {}, context);
}

Result<CommitInfo> RoomImpl::Insert(int64_t position, const FrameBatch& batch, const CommitContext& context,
                                    std::optional<CommitId> expected_head) {
  Placement place;
  place.before = position;
  place.expected_head = expected_head;
  return Add(batch, place, context);
}

namespace {

/// One attempt to change frames: what of it really changes, encoded.
struct Preparation {
  std::shared_ptr<const FieldTable> table;
  std::vector<FieldDefineOp> defines;
  std::vector<uint32_t> versions;  // of the ids, as prepared on
  std::optional<Error> stale;      // of the first frame that differs and is based on another version
  struct Part {
    uint32_t field = 0;
    std::vector<size_t> targets;  // row k is of ids[targets[k]]
    PreparedChunk chunk;
  };
  std::vector<Part> parts;
  std::vector<std::pair<uint32_t, size_t>> removed;  // field, target
  std::vector<uint8_t> changed;                      // by target
};

/// Is the stored row the same as row `nth` of the column, which is of the field's dtype?
Result<bool> SameAsStored(const RowReader& reader, uint32_t field, FrameId id, const Column& column, size_t nth,
                          const SourceRow& row, size_t element) {
  ZN_ASSIGN_OR_RETURN(const auto stored, reader.Read(field, id, {}));
  if (!stored || stored->dtype != column.dtype) return false;
  if (column.dtype == DType::kJson) return stored->text == column.text[nth];
  const size_t bytes = element * static_cast<size_t>(column.kind == FieldKind::kFrame ? 1 : row.atoms);
  return stored->bytes.size() == bytes && (bytes == 0 || std::memcmp(stored->bytes.data(), row.data, bytes) == 0);
}

}  // namespace

Result<CommitInfo> RoomImpl::ChangeFrames(Operation operation, std::span<const FrameId> ids, const FrameBatch& changes,
                                          std::span<const std::string> remove, bool replace,
                                          std::span<const BaseVersion> bases, const CommitContext& context) {
  const WriteScopes::Scope scope(core_->writes);
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  ZN_RETURN_IF_ERROR(ValidateBatch(changes));
  if (changes.frames() != static_cast<int64_t>(ids.size()) || (!bases.empty() && bases.size() != ids.size()))
    return Error{ErrorCode::kInvalidArgument, "as many rows and base versions are needed as frames are named"};
  if (std::unordered_set<FrameId>(ids.begin(), ids.end()).size() != ids.size())
    return Error{ErrorCode::kInvalidArgument, "a frame is named twice"};

  const auto stale = [&](size_t i, uint32_t newest) {
    return !bases.empty() && bases[i].version && *bases[i].version != newest;
  };
  const auto prepare = [&](const RoomState& state) -> Result<Preparation> {
    Preparation p;
    p.table = state.table;
    p.changed.assign(ids.size(), 0);
    const RowReader reader(*core_, state);
    const bool has_atoms =
        std::any_of(changes.columns.begin(), changes.columns.end(), [](const Column& c) { return c.kind == FieldKind::kAtom; });
    for (size_t i = 0; i < ids.size(); ++i) {
      ZN_RETURN_IF_ERROR(CheckInRoom(state, ids[i]));
      ZN_ASSIGN_OR_RETURN(const VersionEntry version, state.VersionOf(*core_, ids[i]));
      p.versions.push_back(version.version);
      if (replace || !has_atoms) continue;
      ZN_ASSIGN_OR_RETURN(const int32_t n_atoms, reader.AtomCount(ids[i]));
      if (n_atoms == changes.n_atoms[i]) continue;
      // Whoever wrote another number of atoms meanwhile is why these do not fit.
      if (stale(i, version.version)) return StaleVersion(ids[i], version.version, *bases[i].version);
      return Error{ErrorCode::kInvalidArgument, "frame id " + std::to_string(ids[i]) + " has " + std::to_string(n_atoms) +
                                                    " atoms; rows of " + std::to_string(changes.n_atoms[i]) + " were given"};
    }
    ColumnMerger merger(*core_, state.table, {}, MergeMode::kStrict);
    std::unordered_set<uint32_t> given;
    const auto add = [&](const ColumnMerger::Merged& merged, const std::vector<uint8_t>* follow) -> Result<std::vector<uint8_t>> {
      given.insert(merged.field);
      const Column& column = merged.column;
      size_t element = ItemSize(column.dtype);
      for (int64_t extent : column.inner) element *= static_cast<size_t>(extent);
      std::vector<SourceRow> rows;
      if (column.dtype != DType::kJson) rows = RowsOf(column, merged.geometry, changes.n_atoms);
      std::vector<size_t> targets;
      std::vector<SourceRow> new_rows;
      std::vector<std::string> new_texts;
      std::vector<uint8_t> differs(ids.size(), 0);
      size_t nth = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (!column.HasFrame(i)) continue;
        const SourceRow row = rows.empty() ? SourceRow() : rows[nth];
        const bool known = merged.field < state.rows.size();
        bool same = false;
        if (follow == nullptr && known) {
          ZN_ASSIGN_OR_RETURN(same, SameAsStored(reader, merged.field, ids[i], column, nth, row, element));
        } else if (follow != nullptr) {
          same = (*follow)[i] == 0;
        }
        if (!same) {
          differs[i] = 1;
          p.changed[i] = 1;
          targets.push_back(i);
          if (column.dtype == DType::kJson) {
            new_texts.push_back(column.text[nth]);
          } else {
            new_rows.push_back(row);
          }
        }
        ++nth;
      }
      if (targets.empty()) return differs;
      ZN_RETURN_IF_ERROR(MakeChunks(*core_, merged, new_rows, new_texts, [&](PreparedChunk chunk, size_t first) {
        Preparation::Part part;
        part.field = merged.field;
        part.targets.assign(targets.begin() + static_cast<ptrdiff_t>(first),
                            targets.begin() + static_cast<ptrdiff_t>(first + chunk.rows));
        part.chunk = std::move(chunk);
        p.parts.push_back(std::move(part));
      }));
      return differs;
    };
    for (const Column& column : changes.columns) {
      ZN_ASSIGN_OR_RETURN(const auto merged, merger.Merge(changes, column));
      ZN_ASSIGN_OR_RETURN(const auto differs, add(merged, nullptr));
      if (merged.lengths >= 0) {
        ZN_ASSIGN_OR_RETURN(const auto lengths, merger.Lengths(merged));
        ZN_RETURN_IF_ERROR(add(lengths, &differs));
      }
    }
    if (replace) {
      ZN_ASSIGN_OR_RETURN(const auto counts, merger.Counts(changes));
      ZN_RETURN_IF_ERROR(add(counts, nullptr));
    }
    p.defines = merger.Definitions();
    const auto drop = [&](uint32_t field) -> Result<> {
      for (size_t i = 0; i < ids.size(); ++i) {
        ZN_ASSIGN_OR_RETURN(const FieldEntry row, state.RowOf(*core_, field, ids[i]));
        if (!row.present()) continue;
        p.removed.emplace_back(field, i);
        p.changed[i] = 1;
      }
      return {};
    };
    for (const std::string& name : remove) {
      const auto known = state.table->by_name.find(name);
      if (known == state.table->by_name.end() || state.table->all[known->second]->internal)
        return Error{ErrorCode::kNotFound, "the room has no field " + name};
      if (given.count(known->second) != 0)
        return Error{ErrorCode::kInvalidArgument, "field " + name + " is both set and removed"};
      ZN_RETURN_IF_ERROR(drop(known->second));
    }
    if (replace) {
      for (uint32_t field = 0; field < state.rows.size(); ++field)
        if (!state.table->all[field]->internal && given.count(field) == 0) ZN_RETURN_IF_ERROR(drop(field));
    }
    for (size_t i = 0; i < ids.size() && !p.stale; ++i)
      if (p.changed[i] && stale(i, p.versions[i])) p.stale = StaleVersion(ids[i], p.versions[i], *bases[i].version);
    if (!p.stale) ZN_RETURN_IF_ERROR(PutLargeBlocks(*core_, p.parts));
    return p;
  };

  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    ZN_ASSIGN_OR_RETURN(Preparation p, prepare(*tip));
    if (p.stale) {
      ZN_RETURN_IF_ERROR(WaitAndPublish(tip->ticket, nullptr));  // so that whoever is told can see what is newer
      return std::move(*p.stale);
    }
    const auto check = [&](const RoomState& now) -> Result<bool> {
      if (now.table != p.table) return false;
      for (size_t i = 0; i < ids.size(); ++i) {
        ZN_ASSIGN_OR_RETURN(const VersionEntry version, now.VersionOf(*core_, ids[i]));
        if (version.version != p.versions[i]) return false;
        ZN_RETURN_IF_ERROR(CheckInRoom(now, ids[i]));
      }
      return true;
    };
    if (std::find(p.changed.begin(), p.changed.end(), 1) == p.changed.end()) {
      ZN_ASSIGN_OR_RETURN(auto unchanged, LeaveUnchanged(ids, context, check));
      if (!unchanged) continue;
      return std::move(*unchanged);
    }
    ZN_ASSIGN_OR_RETURN(auto info, TryCommit(operation, context, check, [&](CommitDraft& draft, CommitInfo& made) -> Result<> {
      for (const FieldDefineOp& define : p.defines) ZN_RETURN_IF_ERROR(draft.Apply(define));
      std::vector<CommitDraft::NewRows> rows(ids.size());
      for (auto& part : p.parts) {
        AppendBlocks(part.chunk, draft.append());
        const FieldEntry entry = part.chunk.Entry();
        for (size_t k = 0; k < part.targets.size(); ++k)
          rows[part.targets[k]].emplace_back(part.field, entry.SliceFrom(k));
      }
      for (const auto& [field, target] : p.removed) rows[target].emplace_back(field, FieldEntry::Absent());
      made.ids.assign(ids.begin(), ids.end());
      made.versions = p.versions;
      for (size_t i = 0; i < ids.size(); ++i) {
        if (!p.changed[i]) continue;
        ZN_ASSIGN_OR_RETURN(made.versions[i], draft.ChangeFrame(ids[i], rows[i], {}));
      }
      return {};
    }));
    if (!info) continue;
    for (const auto& part : p.parts) RememberBlocks(*core_, part.chunk);
    return std::move(*info);
  }
  return Error{ErrorCode::kConflict, "other writers kept changing these frames; try again"};
}

Result<CommitInfo> RoomImpl::Replace(FrameId id, const FrameBatch& frame, const CommitContext& context, BaseVersion base) {
  return ChangeFrames(Operation::kReplace, {&id, 1}, frame, {}, true, {&base, 1}, context);
}

Result<CommitInfo> RoomImpl::Edit(FrameId id, const FrameBatch& changes, std::span<const std::string> remove,
                                  const CommitContext& context, BaseVersion base) {
  return ChangeFrames(Operation::kEdit, {&id, 1}, changes, remove, false, {&base, 1}, context);
}

Result<CommitInfo> RoomImpl::EditMany(std::span<const FrameId> ids, const FrameBatch& changes,
                                      std::span<const BaseVersion> bases, const CommitContext& context) {
  return ChangeFrames(Operation::kEdit, ids, changes, {}, false, bases, context);
}

}  // namespace zn::internal
