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

/// What takes things back is possible on a full disk, too.
bool MayUseReserve(Operation operation) {
  return operation == Operation::kUndo || operation == Operation::kRedo || operation == Operation::kDelete;
}

}  // namespace

Error StaleHead(const RoomState& tip) {
  return {ErrorCode::kConflict, "the room has moved on; its newest commit is " + tip.commit.ToString()};
}

Error StaleVersion(FrameId id, uint32_t newest, uint32_t base) {
  return {ErrorCode::kConflict, "frame id " + std::to_string(id) + " is at version " + std::to_string(newest) + ", not " +
                                    std::to_string(base)};
}

RefRecord RoomImpl::ref() const {
  const std::lock_guard lock(head_mutex_);
  return ref_;
}

Result<StatePtr> RoomImpl::HeadState() const {
  const std::lock_guard lock(head_mutex_);
  if (!head_) {
    const LiveStates::Pin pin(core_->live, ref_.commit);
    const uint64_t sequence = core_->log->durable_sequence();  // no later than what ref_ is of: a lease relies on it
    ZN_ASSIGN_OR_RETURN(RoomState state, LoadState(*core_, core_->pipelines, ref_.commit));
    state.room = ref_.room;
    state.position = {core_->epoch, sequence};
    ZN_ASSIGN_OR_RETURN(state.floor, FloorAt(state.commit_ref, ref_.oldest));
    head_ = core_->live.Add(std::make_shared<const RoomState>(std::move(state)));
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
  if (auto model = LoadModel(ref.model)) info.model = std::move(*model);
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
  ZN_RETURN_IF_ERROR(CheckKept(id));
  const auto found = FindGeneration(*core_, head->commit_ref, id.generation);
  if (!found) {
    ZN_RETURN_IF_ERROR(CheckKept(id));  // the bound may have moved on the way
    return found.error();
  }
  if (!(CommitIdOf(id.generation, found->first.name) == id)) return unknown;
  const LiveStates::Pin pin(core_->live, found->first);
  ZN_RETURN_IF_ERROR(CheckKept(id));  // a collection that has not seen the pin has moved the bound before
  ZN_ASSIGN_OR_RETURN(RoomState loaded, LoadState(*core_, core_->pipelines, found->first));
  loaded.room = head->room;
  loaded.position = head->position;
  loaded.floor = head->floor;
  const StatePtr state = core_->live.Add(std::make_shared<const RoomState>(std::move(loaded)));
  const std::lock_guard lock(head_mutex_);
  old_states_.push_front(state);
  if (old_states_.size() > kOldStates) old_states_.pop_back();
  return state;
}

Result<VersionTree> RoomImpl::FloorAt(const RecordRef& head, uint64_t oldest) const {
  if (oldest <= 1) return VersionTree();
  ZN_ASSIGN_OR_RETURN(const auto found, FindGeneration(*core_, head, oldest));
  ZN_ASSIGN_OR_RETURN(RoomState state, LoadState(*core_, core_->pipelines, found.first));
  return std::move(state.versions);
}

Result<> RoomImpl::CheckKept(const CommitId& id) const {
  const std::lock_guard lock(head_mutex_);
  if (id.generation >= ref_.oldest) return {};
  return Error{ErrorCode::kPruned, "commit " + id.ToString() + " of room " + ref_.name +
                                       " is gone: the room keeps its commits from generation " +
                                       std::to_string(ref_.oldest) + " on"};
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
    auto read = ReadCommitHeader(*core_, ref);
    // The bound may have moved since its child was read.
    if (!read && !history.empty() && history.back().id.generation <= this->ref().oldest) break;
    if (!read) return std::move(read).error();
    CommitRecord commit = std::move(*read);
    history.push_back({CommitIdOf(commit.generation, ref.name), commit.operation, std::move(commit.actor),
                       std::move(commit.message), commit.time_ns, commit.frames});
    if (commit.generation <= this->ref().oldest) break;
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

uint64_t RoomImpl::OldestOfFork(const RoomState& base) const {
  if (!base.commit_ref) return 1;
  // What its base has let go of since the fork was asked for is not there for the fork either.
  const auto room = core_->sequenced.by_room.find(base_room_);
  const bool kept = room != core_->sequenced.by_room.end() && room->second.oldest <= base.commit.generation;
  return kept ? room->second.oldest : base.commit.generation + 1;
}

Result<std::optional<CommitInfo>> RoomImpl::TryCommit(Operation operation, const CommitContext& context,
                                                      const Check& check, const Fill& fill) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  ZN_RETURN_IF_ERROR(MayUseReserve(operation) ? core_->space.AdmitToReserve(1) : core_->space.Admit(1));
  CommitInfo info;
  RecordStatePtr records;
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
    auto appended = core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
      uint64_t oldest = 1;
      if (tip->room == 0) {
        oldest = OldestOfFork(*tip);
      } else {
        const auto sequenced = core_->sequenced.by_room.find(tip->room);
        if (sequenced == core_->sequenced.by_room.end())
          return Error{ErrorCode::kNotFound, "room " + ref().name + " was deleted"};
        oldest = sequenced->second.oldest;
        if (operation != Operation::kMaintenance) ZN_RETURN_IF_ERROR(CheckUnlocked(sequenced->second.model));
      }
      CommitDraft draft(*core_, *tip, append, operation, context, core_->clock(), fold_, oldest);
      ZN_RETURN_IF_ERROR(fill(draft, info));
      ZN_ASSIGN_OR_RETURN(finished, draft.Finish());
      info.commit = finished->state.commit;
      info.frames = finished->state.frames();
      RecordDraft record_draft(*core_->records, append);
      if (context.also) ZN_RETURN_IF_ERROR(context.also(record_draft, info));
      ZN_RETURN_IF_ERROR(record_draft.Finish());
      // Nothing fails from here on.
      records = record_draft.Sequence();
      if (finished->state.room == 0) {  // its first commit makes the room
        finished->state.room = core_->sequenced.next_room++;
        RefRecord born = ref();
        born.room = finished->state.room;
        born.oldest = oldest;
        born.model = append(RecordType::kRoomModel, EncodeModel(first_model_));
        core_->sequenced.by_room[born.room] = born;
      }
      RefRecord& sequenced = core_->sequenced.by_room[finished->state.room];
      sequenced.commit = finished->state.commit_ref;
      append(RecordType::kRef, EncodeRef(sequenced));
      new_ref = sequenced;
      return {};
    });
    if (!appended) {
      fold_.reset();  // what it wrote for this commit is gone with it
      return std::move(appended).error();
    }
    ticket = *appended;
    if (fold_) {
      fold_->Confirm();
      if (fold_->root_ref()) {
        SettleTrees(finished->state);
        fold_.reset();
      }
    }
    // A fork of what its base has let go of begins with itself.
    if (tip->room == 0 && new_ref.oldest == finished->state.commit.generation) finished->state.floor = finished->state.versions;
    finished->state.position = info.position = {core_->epoch, core_->log->SequenceOf(ticket)};
    finished->state.ticket = ticket;
    touched = std::move(finished->touched);
    const StatePtr next = core_->live.Add(std::make_shared<const RoomState>(std::move(finished->state)));
    {
      const std::lock_guard head_lock(head_mutex_);
      tip_ = next;
      ref_.room = new_ref.room;
      ref_.oldest = new_ref.oldest;
      if (!ref_.model) ref_.model = new_ref.model;
    }
    const auto kind = tip->room == 0 ? RoomChange::Kind::kCreated : RoomChange::Kind::kCommit;
    Enqueue({ticket, kind, operation, tip->room == 0 ? nullptr : tip, next, {}, {}, {}, {}, {}}, info, context);
  }
  auto finish = [self = shared_from_this(), ticket, records = std::move(records), touched = std::move(touched),
                 operation]() mutable -> Result<> {
    ZN_RETURN_IF_ERROR(self->WaitAndPublish(ticket, std::move(records)));
    self->core_->commits.fetch_add(1, std::memory_order_relaxed);
    if (operation == Operation::kMaintenance) return {};
    const std::lock_guard lock(self->touched_mutex_);
    for (const auto& row : touched)
      if (self->touched_.size() < kMaxTouched) self->touched_.insert(row);
    return {};
  };
  if (context.pending) {
    context.pending->Defer(std::move(finish));
  } else {
    ZN_RETURN_IF_ERROR(finish());
  }
  return std::optional<CommitInfo>(std::move(info));
}

Result<std::optional<CommitInfo>> RoomImpl::LeaveUnchanged(std::span<const FrameId> ids, const CommitContext& context,
                                                           const Check& check) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  CommitInfo info;
  RecordStatePtr records;
  Ticket ticket;
  {
    const std::lock_guard lock(write_mutex_);
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    if (check) {
      ZN_ASSIGN_OR_RETURN(const bool still_right, check(*tip));
      if (!still_right) return std::optional<CommitInfo>();
    }
    ZN_ASSIGN_OR_RETURN(info, Unchanged(*tip, ids));
    // Equal to what is sequenced; said only once that is durable.
    ticket = tip->ticket;
    if (context.also) {
      ZN_ASSIGN_OR_RETURN(
          ticket, core_->AppendRecords([&](RecordTransaction& t) { return context.also(t, info); }, records));
    }
  }
  ZN_RETURN_IF_ERROR(WaitAndPublish(ticket, std::move(records)));
  return std::optional<CommitInfo>(std::move(info));
}

Result<> RoomImpl::WaitAndPublish(Ticket ticket, RecordStatePtr records) {
  if (ticket != 0) ZN_RETURN_IF_ERROR(core_->log->Wait(ticket));
  if (records) core_->records->Publish(std::move(records));
  PublishUpTo(ticket);
  return {};
}

void RoomImpl::Enqueue(Publication publication, const CommitInfo& info, const CommitContext& context) {
  if (core_->listener) {
    publication.info = info;
    publication.context.actor = context.actor;
    publication.context.message = context.message;
    if (!model_) model_ = std::make_shared<const RoomModel>(RoomImpl::info().model);
    if (!publication.model_before) publication.model_before = model_;
    if (!publication.model_after) publication.model_after = model_;
    model_ = publication.model_after;
  }
  const std::lock_guard lock(queue_mutex_);
  queue_.push_back(std::move(publication));
}

void RoomImpl::PublishUpTo(Ticket ticket) {
  // Writers come here in any order; what one of them publishes for others, those find done.
  const std::lock_guard lock(publish_mutex_);
  for (;;) {
    Publication next;
    {
      const std::lock_guard queue_lock(queue_mutex_);
      if (queue_.empty() || queue_.front().ticket > ticket) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    if (next.kind == RoomChange::Kind::kModel) {
      const std::lock_guard head_lock(head_mutex_);
      ref_.model = next.model;
    } else if (next.kind != RoomChange::Kind::kDeleted) {
      Publish(next.after);
    }
    if (next.kind == RoomChange::Kind::kCreated || next.kind == RoomChange::Kind::kDeleted) {
      withheld_ = std::move(next);
    } else {
      Tell(next);
    }
  }
}

void RoomImpl::Announce() {
  const std::lock_guard lock(publish_mutex_);
  if (withheld_) Tell(*withheld_);
  withheld_.reset();
}

void RoomImpl::Tell(const Publication& p) const {
  if (!core_->listener) return;
  const std::string name = ref().name;
  const Snapshot before = p.before ? Snapshot(core_, p.before) : Snapshot();
  const Snapshot after(core_, p.after);
  core_->listener(RoomChange{p.kind, name, p.after->room, p.operation, before, after, p.info, *p.model_before,
                             *p.model_after, p.context});
}

Result<CommitInfo> RoomImpl::CommitNow(Operation operation, const CommitContext& context, const Fill& fill) {
  ZN_ASSIGN_OR_RETURN(auto info, TryCommit(operation, context, nullptr, fill));
  return std::move(*info);
}

void RoomImpl::PrepareFirstCommit(const RoomModel& model, const StatePtr& base) {
  RoomState start = base ? *base : EmptyState(core_->pipelines);
  start.room = 0;
  first_model_ = model;
  if (base) base_room_ = base->room;
  head_ = tip_ = core_->live.Add(std::make_shared<const RoomState>(std::move(start)));
}

Result<> RoomImpl::Begin(Operation operation, const CommitContext& context) {
  CommitContext now = context;  // the room is listed once it is in the store
  now.pending = nullptr;
  ZN_RETURN_IF_ERROR(CommitNow(operation, now, [](CommitDraft&, CommitInfo&) { return Result<>(); }));
  return {};
}

Result<uint64_t> RoomImpl::OldestToKeep(const RefRecord& ref, const Retention& retention, int64_t now_ns) const {
  if (retention.keeps_all() || !ref.commit) return ref.oldest;
  int64_t commits = 0;
  for (RecordRef at = ref.commit; at;) {
    ZN_ASSIGN_OR_RETURN(const CommitRecord commit, ReadCommitHeader(*core_, at));
    if (commit.generation <= ref.oldest) break;
    // What the background merges is no change that anybody would go back to.
    if (commit.operation != Operation::kMaintenance) ++commits;
    const bool enough = retention.commits > 0 && commits >= retention.commits;
    // The room as it was at any moment within the time: so the last commit before it is one of them.
    const bool long_ago = retention.nanoseconds > 0 && commit.time_ns < now_ns - retention.nanoseconds;
    if ((retention.commits == 0 || enough) && (retention.nanoseconds == 0 || long_ago)) return commit.generation;
    at = commit.parent;
  }
  return ref.oldest;
}

Retention RoomImpl::retention() const {
  const auto model = LoadModel(ref().model);
  // A model that cannot be read says not that anything may go.
  return model ? model->retention.value_or(core_->default_retention) : Retention();
}

Result<int64_t> RoomImpl::LetGo(const Retention& retention, int64_t now_ns) {
  if (retention.keeps_all()) return 0;
  int64_t gone = 0;
  Ticket ticket;
  uint64_t oldest = 1;
  VersionTree floor;
  {
    const std::lock_guard lock(write_mutex_);
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    RefRecord now = ref();
    if (now.deleted || now.room == 0) return 0;
    now.commit = tip->commit_ref;
    ZN_ASSIGN_OR_RETURN(oldest, OldestToKeep(now, retention, now_ns));
    if (oldest <= now.oldest) return 0;
    gone = static_cast<int64_t>(oldest - now.oldest);
    ZN_ASSIGN_OR_RETURN(floor, FloorAt(tip->commit_ref, oldest));
    ZN_ASSIGN_OR_RETURN(ticket, core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
      const auto sequenced = core_->sequenced.by_room.find(now.room);
      if (sequenced == core_->sequenced.by_room.end())
        return Error{ErrorCode::kNotFound, "room " + now.name + " was deleted"};
      sequenced->second.oldest = oldest;
      append(RecordType::kRef, EncodeRef(sequenced->second));
      return {};
    }));
    // Whatever is sequenced from here on refers to nothing older.
    auto next = std::make_shared<RoomState>(*tip);
    next->floor = floor;
    const std::lock_guard head_lock(head_mutex_);
    tip_ = core_->live.Add(std::move(next));
    ref_.oldest = oldest;
    old_states_.clear();
  }
  ZN_RETURN_IF_ERROR(WaitAndPublish(ticket, nullptr));
  // What was sequenced before has been published by now, and says nothing of the floor.
  const std::lock_guard head_lock(head_mutex_);
  if (head_) {
    auto head = std::make_shared<RoomState>(*head_);
    head->floor = std::move(floor);
    head_ = core_->live.Add(std::move(head));
  }
  return gone;
}

Result<> RoomImpl::End(const CommitContext& context) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  RecordStatePtr records;
  Ticket ticket;
  {
    const std::lock_guard lock(write_mutex_);
    ZN_RETURN_IF_ERROR(CheckWritable(context));
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    ZN_ASSIGN_OR_RETURN(CommitInfo info, Unchanged(*tip, {}));
    info.changed = true;
    RefRecord ended = ref();
    ended.deleted = true;
    ZN_ASSIGN_OR_RETURN(ticket, core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
      RecordDraft draft(*core_->records, append);
      if (context.also) ZN_RETURN_IF_ERROR(context.also(draft, info));
      ZN_RETURN_IF_ERROR(draft.Finish());
      records = draft.Sequence();
      append(RecordType::kRef, EncodeRef(ended));
      core_->sequenced.by_room.erase(ended.room);
      return {};
    }));
    {
      // Nothing may be sequenced behind the end, whether or not it becomes durable.
      const std::lock_guard head_lock(head_mutex_);
      ref_.deleted = true;
    }
    info.position = {core_->epoch, core_->log->SequenceOf(ticket)};
    Enqueue({ticket, RoomChange::Kind::kDeleted, Operation::kDelete, tip, tip, {}, {}, {}, {}, {}}, info, context);
  }
  return WaitAndPublish(ticket, std::move(records));
}

void RoomImpl::Follow(const RefRecord& ref) {
  const std::lock_guard lock(head_mutex_);
  const bool moved = !(ref_.commit == ref.commit) || ref_.oldest != ref.oldest;
  ref_ = ref;
  if (!moved) return;
  head_ = tip_ = nullptr;
  head_generation_.fetch_add(1, std::memory_order_release);
}

Result<RoomModel> RoomImpl::LoadModel(const RecordRef& ref) const {
  if (!ref) return RoomModel();
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, core_->ReadNode(ref));
  return DecodeModel(bytes.bytes());
}

Result<> RoomImpl::CheckUnlocked(const RecordRef& model) {
  if (locked_ == Locked::kUnknown) {
    ZN_ASSIGN_OR_RETURN(const RoomModel loaded, LoadModel(model));
    locked_ = loaded.locked ? Locked::kYes : Locked::kNo;
  }
  if (locked_ == Locked::kNo) return {};
  return Error{ErrorCode::kReadOnly, "room " + ref().name + " is locked; its lock has to be taken off before it can change"};
}

Result<> RoomImpl::SetModel(const RoomModel& model, const CommitContext& context) {
  ZN_RETURN_IF_ERROR(UpdateModel([&](const RoomModel&) { return Result<RoomModel>(model); }, context));
  return {};
}

Result<RoomModel> RoomImpl::UpdateModel(const std::function<Result<RoomModel>(const RoomModel&)>& change,
                                        const CommitContext& context) {
  ZN_RETURN_IF_ERROR(CheckWritable(context));
  RoomModel model;
  RecordStatePtr records;
  Ticket ticket;
  {
    const std::lock_guard lock(write_mutex_);
    ZN_RETURN_IF_ERROR(CheckWritable(context));
    ZN_ASSIGN_OR_RETURN(const StatePtr tip, Tip());
    ZN_ASSIGN_OR_RETURN(CommitInfo info, Unchanged(*tip, {}));
    info.changed = true;
    RecordRef model_ref;
    ZN_ASSIGN_OR_RETURN(ticket, core_->log->Append([&](const Log::AppendRecord& append) -> Result<> {
      RefRecord& sequenced = core_->sequenced.by_room[tip->room];
      ZN_ASSIGN_OR_RETURN(const RoomModel before, LoadModel(sequenced.model));
      ZN_ASSIGN_OR_RETURN(model, change(before));
      if (model.description.size() > kMaxMessage)
        return Error{ErrorCode::kInvalidArgument, "the description is longer than 4096 bytes"};
      if (model.metadata.size() > kMaxMetadata)
        return Error{ErrorCode::kTooLarge, "the metadata is larger than 64 KiB"};
      RecordDraft draft(*core_->records, append);
      if (context.also) ZN_RETURN_IF_ERROR(context.also(draft, info));
      ZN_RETURN_IF_ERROR(draft.Finish());
      records = draft.Sequence();
      model_ref = append(RecordType::kRoomModel, EncodeModel(model));
      // Commits sequenced from here on carry the new model in their refs, and see its lock, durable or not.
      sequenced.model = model_ref;
      append(RecordType::kRef, EncodeRef(sequenced));
      locked_ = model.locked ? Locked::kYes : Locked::kNo;
      return {};
    }));
    info.position = {core_->epoch, core_->log->SequenceOf(ticket)};
    Publication publication{ticket, RoomChange::Kind::kModel, Operation::kEdit, tip, tip, model_ref, {}, {}, {}, {}};
    if (core_->listener) publication.model_after = std::make_shared<const RoomModel>(model);
    Enqueue(std::move(publication), info, context);
  }
  ZN_RETURN_IF_ERROR(WaitAndPublish(ticket, std::move(records)));
  return model;
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
                                    std::optional<CommitId> expected_head, std::span<const BaseVersion> bases) {
  if (!bases.empty() && bases.size() != ids.size())
    return Error{ErrorCode::kInvalidArgument, "as many base versions are needed as frames are named"};
  if (ids.empty()) {
    ZN_ASSIGN_OR_RETURN(auto unchanged, LeaveUnchanged({}, context, nullptr));
    return std::move(*unchanged);
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
    for (size_t i = 0; i < ids.size(); ++i) {
      ZN_ASSIGN_OR_RETURN(const VersionEntry version, draft.state().VersionOf(*core_, ids[i]));
      if (!bases.empty() && bases[i].version && *bases[i].version != version.version)
        return StaleVersion(ids[i], version.version, *bases[i].version);
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
      return StaleVersion(id, newest.version, *base.version);
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
    ZN_ASSIGN_OR_RETURN(const VersionEntry oldest, draft.state().OldestVersionOf(*core_, id));
    if (target != 0 && target < oldest.version)
      return Error{ErrorCode::kPruned, "version " + std::to_string(target) + " of frame id " + std::to_string(id) +
                                           " is gone: the room keeps its versions from " +
                                           std::to_string(oldest.version) + " on"};
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

Result<CommitInfo> RoomImpl::Restore(const CommitId& commit, const CommitContext& context,
                                     std::optional<CommitId> expected_head) {
  ZN_ASSIGN_OR_RETURN(const StatePtr old, LoadCommit(commit));
  return CommitNow(Operation::kRestore, context, [&](CommitDraft& draft, CommitInfo& info) -> Result<> {
    if (expected_head && !(draft.state().commit == *expected_head)) return StaleHead(draft.state());
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
