#include "room/room_impl.h"

#include <algorithm>
#include <map>

#include "room/reader.h"
#include "tree/field_diff.h"

namespace zn::internal {
namespace {

constexpr size_t kMaxActor = 255;
constexpr size_t kMaxMessage = 4096;
constexpr size_t kMaxMetadata = 64 << 10;
constexpr size_t kOldStates = 8;

Error StaleHead(const RoomState& tip) {
  return {ErrorCode::kConflict, "the room has moved on; its newest commit is " + tip.commit.ToString()};
}

}  // namespace

RefRecord RoomImpl::ref() const {
  const std::lock_guard lock(head_mutex_);
  return ref_;
}

Result<StatePtr> RoomImpl::HeadState() const {
  const std::lock_guard lock(head_mutex_);
  if (!head_) {
    ZN_ASSIGN_OR_RETURN(RoomState state, LoadState(*core_, core_->pipelines, ref_.commit));
    state.room = ref_.room;
    state.position = {core_->epoch, core_->log->durable_sequence()};
    head_ = std::make_shared<const RoomState>(std::move(state));
  }
  return head_;
}

Result<StatePtr> RoomImpl::Tip() const {
  // Callers hold write_mutex_, or only want something recent to prepare on.
  {
    const std::lock_guard lock(head_mutex_);
    if (tip_) return tip_;
  }
  ZN_ASSIGN_OR_RETURN(StatePtr state, HeadState());
  const std::lock_guard lock(head_mutex_);
  if (!tip_) tip_ = std::move(state);
  return tip_;
}

Result<Snapshot> RoomImpl::HeadOrError() const {
  ZN_ASSIGN_OR_RETURN(StatePtr state, HeadState());
  return Snapshot(core_, std::move(state));
}

Snapshot RoomImpl::Head() const {
  auto head = HeadOrError();
  return head ? std::move(*head) : Snapshot();
}

RoomInfo RoomImpl::info() const {
  RoomInfo info;
  RefRecord ref;
  StatePtr head;
  {
    const std::lock_guard lock(head_mutex_);
    ref = ref_;
    head = head_;
  }
  info.name = ref.name;
  info.base = ref.base;
  info.incarnation = ref.room;
  if (ref.model) {
    if (const auto bytes = core_->ReadNode(ref.model)) {
      if (auto model = DecodeModel(bytes->bytes())) info.model = std::move(*model);
    }
  }
  if (head) {
    info.commit = head->commit;
    info.frames = head->frames();
  } else if (const auto commit = ReadCommitHeader(*core_, ref.commit)) {
    info.commit = CommitIdOf(commit->generation, ref.commit.name);
    info.frames = commit->frames;
  }
  return info;
}

Result<StatePtr> RoomImpl::LoadCommit(const CommitId& id) const {
  ZN_ASSIGN_OR_RETURN(const StatePtr head, HeadState());
  if (head->commit == id) return head;
  {
    const std::lock_guard lock(head_mutex_);
    for (const StatePtr& state : old_states_)
      if (state->commit == id) return state;
  }
  const Error unknown{ErrorCode::kNotFound, "commit " + id.ToString() + " is not in the history of room " + ref().name};
  if (id.generation == 0 || id.generation > head->commit.generation) return unknown;
  ZN_ASSIGN_OR_RETURN(const auto found, FindGeneration(*core_, head->commit_ref, id.generation));
  if (!(CommitIdOf(id.generation, found.first.name) == id)) return unknown;
  ZN_ASSIGN_OR_RETURN(RoomState loaded, LoadState(*core_, core_->pipelines, found.first));
  loaded.room = head->room;
  loaded.position = head->position;
  auto state = std::make_shared<const RoomState>(std::move(loaded));
  const std::lock_guard lock(head_mutex_);
  old_states_.push_front(state);
  if (old_states_.size() > kOldStates) old_states_.pop_back();
  return StatePtr(state);
}

Result<Snapshot> RoomImpl::At(const CommitId& commit) const {
  ZN_ASSIGN_OR_RETURN(StatePtr state, LoadCommit(commit));
  return Snapshot(core_, std::move(state));
}

Result<std::vector<CommitSummary>> RoomImpl::History(std::optional<CommitId> from, size_t limit) const {
  ZN_ASSIGN_OR_RETURN(StatePtr state, HeadState());
  if (from) {
    ZN_ASSIGN_OR_RETURN(state, LoadCommit(*from));
  }
  std::vector<CommitSummary> history;
  for (RecordRef ref = state->commit_ref; ref && history.size() < limit;) {
    ZN_ASSIGN_OR_RETURN(CommitRecord commit, ReadCommitHeader(*core_, ref));
    history.push_back({CommitIdOf(commit.generation, ref.name), commit.operation, std::move(commit.actor),
                       std::move(commit.message), commit.time_ns, commit.frames});
    ref = commit.parent;
  }
  return history;
}

Result<> RoomImpl::CheckWritable(const CommitContext& context) const {
  if (core_->read_only) return Error{ErrorCode::kReadOnly, "the store is open for reading only"};
  if (context.actor.size() > kMaxActor)
    return Error{ErrorCode::kInvalidArgument, "the actor's name is longer than 255 bytes"};
  if (context.message.size() > kMaxMessage)
    return Error{ErrorCode::kInvalidArgument, "the message is longer than 4096 bytes"};
  const std::lock_guard lock(head_mutex_);
  if (ref_.deleted) return Error{ErrorCode::kNotFound, "room " + ref_.name + " was deleted"};
  return {};
}

Result<> RoomImpl::CheckInRoom(const RoomState& state, FrameId id) const {
  ZN_ASSIGN_OR_RETURN(const auto position, state.order.FindId(*core_, id));
  if (!position) return Error{ErrorCode::kNotFound, "frame id " + std::to_string(id) + " is not in room " + ref().name};
  return {};
}

void RoomImpl::Publish(StatePtr state) {
  const std::lock_guard lock(head_mutex_);
  if (head_ && head_->room != 0 && head_->commit.generation >= state->commit.generation) return;
  ref_.commit = state->commit_ref;
  head_generation_.store(state->commit.generation, std::memory_order_release);
  head_ = std::move(state);
}

Result<std::optional<CommitInfo>> RoomImpl::TryCommit(Operation operation, const CommitContext& context,
                                                      const Check& check, const Fill& fill) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  CommitInfo info;
  StatePtr next;
  Ticket ticket;
  std::vector<std::pair<uint32_t, FrameId>> touched;
  {
    const std::lock_guard lock(write_mutex_);
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    if (check) {
      ZN_ASSIGN_OR_RETURN(const bool still_right, check(*tip));
      if (!still_right) return std::optional<CommitInfo>();
    }
    std::optional<CommitDraft::Finished> finished;
    RefRecord new_ref;
    ZN_ASSIGN_OR_RETURN(ticket, core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
      CommitDraft draft(*core_, *tip, append, operation, context, core_->clock());
      ZN_RETURN_IF_ERROR(fill(draft, info));
      ZN_ASSIGN_OR_RETURN(finished, draft.Finish());
      if (finished->state.room == 0) {  // its first commit makes the room
        finished->state.room = core_->sequenced.next_room++;
        RefRecord born = ref();
        born.room = finished->state.room;
        born.model = append(RecordType::kRoomModel, EncodeModel(first_model_));
        core_->sequenced.by_room[born.room] = born;
      }
      RefRecord& sequenced = core_->sequenced.by_room[finished->state.room];
      sequenced.commit = finished->state.commit_ref;
      append(RecordType::kRef, EncodeRef(sequenced));
      new_ref = sequenced;
      return {};
    }));
    finished->state.position = {core_->epoch, core_->log->SequenceOf(ticket)};
    finished->state.ticket = ticket;
    touched = std::move(finished->touched);
    next = std::make_shared<const RoomState>(std::move(finished->state));
    const std::lock_guard head_lock(head_mutex_);
    tip_ = next;
    ref_.room = new_ref.room;
    if (!ref_.model) ref_.model = new_ref.model;
  }
  ZN_RETURN_IF_ERROR(core_->log->Wait(ticket));
  core_->commits.fetch_add(1, std::memory_order_relaxed);
  if (operation != Operation::kMaintenance) {
    const std::lock_guard lock(touched_mutex_);
    for (const auto& row : touched)
      if (touched_.size() < kMaxTouched) touched_.insert(row);
  }
  info.commit = next->commit;
  info.position = next->position;
  info.frames = next->frames();
  Publish(std::move(next));
  return std::optional<CommitInfo>(std::move(info));
}

Result<CommitInfo> RoomImpl::CommitNow(Operation operation, const CommitContext& context, const Fill& fill) {
  ZN_ASSIGN_OR_RETURN(auto info, TryCommit(operation, context, nullptr, fill));
  return std::move(*info);
}

void RoomImpl::PrepareFirstCommit(const RoomModel& model, const StatePtr& base) {
  RoomState start = base ? *base : EmptyState(core_->pipelines);
  start.room = 0;
  first_model_ = model;
  head_ = tip_ = std::make_shared<const RoomState>(std::move(start));
}

Result<> RoomImpl::Begin(Operation operation, const CommitContext& context) {
  ZN_RETURN_IF_ERROR(CommitNow(operation, context, [](CommitDraft&, CommitInfo&) { return Result<>(); }));
  return {};
}

Result<> RoomImpl::End(const CommitContext& context) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  const std::lock_guard write_lock(write_mutex_);
  RefRecord ended = ref();
  ended.deleted = true;
  ZN_ASSIGN_OR_RETURN(const Ticket ticket, core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
    append(RecordType::kRef, EncodeRef(ended));
    core_->sequenced.by_room.erase(ended.room);
    return {};
  }));
  {
    // Nothing may be sequenced behind the end, whether or not it becomes durable.
    const std::lock_guard lock(head_mutex_);
    ref_.deleted = true;
  }
  return core_->log->Wait(ticket);
}

void RoomImpl::Follow(const RefRecord& ref) {
  const std::lock_guard lock(head_mutex_);
  const bool moved = !(ref_.commit == ref.commit);
  ref_ = ref;
  if (!moved) return;
  head_ = tip_ = nullptr;
  head_generation_.fetch_add(1, std::memory_order_release);
}

Result<> RoomImpl::SetModel(const RoomModel& model, const CommitContext& context) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  if (model.description.size() > kMaxMessage)
    return Error{ErrorCode::kInvalidArgument, "the description is longer than 4096 bytes"};
  if (model.metadata.size() > kMaxMetadata)
    return Error{ErrorCode::kTooLarge, "the metadata is larger than 64 KiB"};
  RecordRef model_ref;
  const uint64_t room = ref().room;
  ZN_ASSIGN_OR_RETURN(const Ticket ticket, core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
    const auto sequenced = core_->sequenced.by_room.find(room);
    if (sequenced == core_->sequenced.by_room.end())
      return Error{ErrorCode::kNotFound, "room " + ref().name + " was deleted"};
    model_ref = append(RecordType::kRoomModel, EncodeModel(model));
    // Commits sequenced from here on carry the new model in their refs.
    sequenced->second.model = model_ref;
    append(RecordType::kRef, EncodeRef(sequenced->second));
    return {};
  }));
  ZN_RETURN_IF_ERROR(core_->log->Wait(ticket));
  const std::lock_guard lock(head_mutex_);
  ref_.model = model_ref;
  return {};
}

Result<> RoomImpl::WaitDurable(const RoomState& state) const {
  return state.ticket == 0 ? Result<>() : core_->log->Wait(state.ticket);
}

Result<CommitInfo> RoomImpl::Unchanged(const RoomState& state, std::span<const FrameId> ids) const {
  CommitInfo info;
  info.changed = false;
  info.commit = state.commit;
  info.position = state.position;
  info.frames = state.frames();
  for (const FrameId id : ids) {
    ZN_ASSIGN_OR_RETURN(const VersionEntry version, state.VersionOf(*core_, id));
    info.ids.push_back(id);
    info.versions.push_back(version.version);
  }
  return info;
}

Result<CommitInfo> RoomImpl::Delete(std::span<const FrameId> ids, const CommitContext& context,
                                    std::optional<CommitId> expected_head) {
  if (ids.empty()) {
    ZN_ASSIGN_OR_RETURN(const StatePtr head, HeadState());
    return Unchanged(*head, {});
  }
  return CommitNow(Operation::kDelete, context, [&](CommitDraft& draft, CommitInfo& info) -> Result<> {
    if (expected_head && !(draft.state().commit == *expected_head)) return StaleHead(draft.state());
    std::vector<uint64_t> positions;
    for (const FrameId id : ids) {
      ZN_ASSIGN_OR_RETURN(const auto position, draft.state().order.FindId(*core_, id));
      if (!position)
        return Error{ErrorCode::kNotFound, "frame id " + std::to_string(id) + " is not in room " + ref().name};
      positions.push_back(*position);
    }
    std::sort(positions.begin(), positions.end());
    if (std::adjacent_find(positions.begin(), positions.end()) != positions.end())
      return Error{ErrorCode::kInvalidArgument, "a frame is named twice"};
    // From the back, stretches of neighbours at once: positions before stay what they are.
    for (size_t end = positions.size(); end > 0;) {
      size_t begin = end - 1;
      while (begin > 0 && positions[begin - 1] + 1 == positions[begin]) --begin;
      ZN_RETURN_IF_ERROR(draft.Apply(OrderSpliceOp{positions[begin], end - begin, {}}));
      end = begin;
    }
    info.ids.assign(ids.begin(), ids.end());
    for (const FrameId id : ids) {
      ZN_ASSIGN_OR_RETURN(const VersionEntry version, draft.state().VersionOf(*core_, id));
      info.versions.push_back(version.version);
    }
    return {};
  });
}

Result<CommitInfo> RoomImpl::Move(int64_t begin, int64_t count, int64_t to, const CommitContext& context) {
  return CommitNow(Operation::kReorder, context, [&](CommitDraft& draft, CommitInfo&) -> Result<> {
    const int64_t frames = draft.state().frames();
    if (begin < 0 || count <= 0 || begin > frames - count || to < 0 || to > frames - count)
      return Error{ErrorCode::kOutOfRange, "cannot move " + std::to_string(count) + " frames from " +
                                               std::to_string(begin) + " to " + std::to_string(to) + " in a room with " +
                                               std::to_string(frames)};
    OrderSpliceOp insert{static_cast<uint64_t>(to), 0, {}};
    ZN_RETURN_IF_ERROR(draft.state().order.ForEach(
        *core_, static_cast<uint64_t>(begin), static_cast<uint64_t>(begin + count),
        [&](uint64_t, uint64_t span, const OrderEntry& entry) {
          insert.runs.push_back({span, entry});
          return true;
        }));
    ZN_RETURN_IF_ERROR(draft.Apply(OrderSpliceOp{static_cast<uint64_t>(begin), static_cast<uint64_t>(count), {}}));
    return draft.Apply(std::move(insert));
  });
}

Result<CommitInfo> RoomImpl::Reorder(std::span<const FrameId> order, const CommitContext& context) {
  std::vector<FrameId> sorted(order.begin(), order.end());
  std::sort(sorted.begin(), sorted.end());
  return CommitNow(Operation::kReorder, context, [&](CommitDraft& draft, CommitInfo&) -> Result<> {
    std::vector<FrameId> present;
    ZN_RETURN_IF_ERROR(draft.state().order.ForEach(*core_, 0, draft.state().order.span(),
                                                   [&](uint64_t, uint64_t span, const OrderEntry& entry) {
                                                     for (uint64_t i = 0; i < span; ++i)
                                                       present.push_back(entry.first + static_cast<int64_t>(i));
                                                     return true;
                                                   }));
    std::sort(present.begin(), present.end());
    if (present != sorted)
      return Error{ErrorCode::kInvalidArgument, "the order given is not a permutation of the room's frames"};
    OrderSpliceOp op{0, draft.state().order.span(), {}};
    for (const FrameId id : order) {
      if (!op.runs.empty() && op.runs.back().entry.first + static_cast<int64_t>(op.runs.back().span) == id) {
        ++op.runs.back().span;
      } else {
        op.runs.push_back({1, {id}});
      }
    }
    return draft.Apply(std::move(op));
  });
}

Result<CommitInfo> RoomImpl::Undo(FrameId id, const CommitContext& context, BaseVersion base) {
  return Travel(false, id, context, base);
}

Result<CommitInfo> RoomImpl::Redo(FrameId id, const CommitContext& context, BaseVersion base) {
  return Travel(true, id, context, base);
}

Result<CommitInfo> RoomImpl::Travel(bool forward, FrameId id, const CommitContext& context, BaseVersion base) {
  const Operation operation = forward ? Operation::kRedo : Operation::kUndo;
  return CommitNow(operation, context, [&](CommitDraft& draft, CommitInfo& info) -> Result<> {
    ZN_RETURN_IF_ERROR(CheckInRoom(draft.state(), id));
    ZN_ASSIGN_OR_RETURN(const VersionEntry newest, draft.state().VersionOf(*core_, id));
    if (base.version && *base.version != newest.version)
      return Error{ErrorCode::kConflict, "frame id " + std::to_string(id) + " is at version " +
                                             std::to_string(newest.version) + ", not " + std::to_string(*base.version)};
    // What a version says of undo and redo; version 1 has no record and neither.
    const auto lineage_of = [&](uint32_t version) -> Result<VersionRecord> {
      VersionRecord record;
      record.version = record.content = 1;
      RecordRef ref = newest.record;
      for (uint32_t at = newest.version; at > 1; --at) {
        ZN_ASSIGN_OR_RETURN(VersionRecord read, ReadVersionRecord(*core_, ref));
        if (at == version) return read;
        ref = read.previous;
      }
      return record;
    };
    ZN_ASSIGN_OR_RETURN(const VersionRecord current, lineage_of(newest.version));
    const uint32_t target = forward ? current.redo : current.undo;
    if (target == 0)
      return Error{ErrorCode::kOutOfRange, std::string("frame id ") + std::to_string(id) + " has nothing left to " +
                                               (forward ? "redo" : "undo")};
    ZN_ASSIGN_OR_RETURN(const VersionRecord goal, lineage_of(target));
    const RowReader reader(*core_, draft.state());
    ZN_ASSIGN_OR_RETURN(const FrameRows now, reader.RowsOf(id));
    ZN_ASSIGN_OR_RETURN(const FrameRows then, reader.RowsAt(id, target));
    CommitDraft::NewRows rows;
    for (uint32_t field = 0; field < now.size(); ++field)
      if (!now[field].SameRow(then[field])) rows.emplace_back(field, then[field]);
    CommitDraft::Lineage lineage;
    lineage.content = goal.content;
    lineage.undo = forward ? newest.version : goal.undo;
    lineage.redo = forward ? goal.redo : newest.version;
    ZN_ASSIGN_OR_RETURN(const uint32_t version, draft.ChangeFrame(id, rows, lineage));
    info.ids = {id};
    info.versions = {version};
    return {};
  });
}

Result<CommitInfo> RoomImpl::Restore(const CommitId& commit, const CommitContext& context) {
  ZN_ASSIGN_OR_RETURN(const StatePtr old, LoadCommit(commit));
  return CommitNow(Operation::kRestore, context, [&](CommitDraft& draft, CommitInfo& info) -> Result<> {
    // Rows of frames that the old commit has, where they differ from today's.
    std::vector<std::pair<uint64_t, uint64_t>> wanted;
    ZN_RETURN_IF_ERROR(old->order.ForEach(*core_, 0, old->order.span(), [&](uint64_t, uint64_t span, const OrderEntry& e) {
      wanted.emplace_back(static_cast<uint64_t>(e.first), static_cast<uint64_t>(e.first) + span);
      return true;
    }));
    std::sort(wanted.begin(), wanted.end());
    std::map<FrameId, CommitDraft::NewRows> changes;
    const FieldTree none;
    for (uint32_t field = 0; field < draft.state().rows.size(); ++field) {
      const FieldTree& before = field < old->rows.size() ? old->rows[field] : none;
      ZN_RETURN_IF_ERROR(DiffRows(*core_, draft.state().rows[field], before,
                                  [&](uint64_t first, uint64_t span, const FieldEntry&, const FieldEntry& then) {
        auto at = std::upper_bound(wanted.begin(), wanted.end(), std::pair(first, UINT64_MAX));
        if (at != wanted.begin()) --at;
        for (; at != wanted.end() && at->first < first + span; ++at) {
          const uint64_t begin = std::max(first, at->first), end = std::min(first + span, at->second);
          for (uint64_t id = begin; id < end; ++id)
            changes[static_cast<FrameId>(id)].emplace_back(field, then.SliceFrom(id - first));
        }
      }));
    }
    for (const auto& [id, rows] : changes) {
      ZN_ASSIGN_OR_RETURN(const VersionEntry was, old->VersionOf(*core_, id));
      CommitDraft::Lineage lineage;
      lineage.content = was.version;
      ZN_ASSIGN_OR_RETURN(const uint32_t version, draft.ChangeFrame(id, rows, lineage));
      info.ids.push_back(id);
      info.versions.push_back(version);
    }
    std::vector<OrderTree::Run> runs;
    ZN_RETURN_IF_ERROR(old->order.ForEach(*core_, 0, old->order.span(), [&](uint64_t, uint64_t span, const OrderEntry& e) {
      runs.push_back({span, e});
      return true;
    }));
    // The same order again costs nothing.
    bool same = runs.size() > 0 && draft.state().order.span() == old->order.span();
    size_t i = 0;
    if (same) {
      ZN_RETURN_IF_ERROR(draft.state().order.ForEach(*core_, 0, old->order.span(), [&](uint64_t, uint64_t span, const OrderEntry& e) {
        same = i < runs.size() && runs[i].span == span && runs[i].entry.first == e.first;
        ++i;
        return same;
      }));
    }
    if (same && i == runs.size()) return {};
    return draft.Apply(OrderSpliceOp{0, draft.state().order.span(), std::move(runs)});
  });
}

Result<std::unique_ptr<BulkAppender>> RoomImpl::StartBulkAppend(const BulkAppender::Options& options) {
  ZN_RETURN_IF_ERROR(CheckWritable({}));
  return MakeBulkAppender(shared_from_this(), options);
}

}  // namespace zn::internal
