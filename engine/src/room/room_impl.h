// A room of an open store. Writers prepare outside its lock (compare, encode, hash), then check and sequence under it, then
// wait for the log with all others.
//
// Locks, in this order: write_mutex_ (what is sequenced next), the log's, publish_mutex_ (whose turn it is to be
// published), head_mutex_ (what is).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "room/chunk_writer.h"
#include "room/commit_draft.h"
#include "room/field_merge.h"
#include "room/fold.h"
#include "room/state.h"
#include "room/store_core.h"
#include "zn/engine/room.h"
#include "zn/engine/store.h"

namespace zn::internal {

/// Rows of new frames, ready to be placed: from a batch, or from a bulk append.
struct NewFrames {
  int64_t count = 0;
  std::vector<FieldDefineOp> defines;  // apply to `table`
  std::shared_ptr<const FieldTable> table;  // the fields it was prepared for
  struct Rows {
    uint32_t field = 0;
    std::vector<uint64_t> frames_of_rows;  // ascending: row k of the chunk is of this new frame
    PreparedChunk chunk;
  };
  std::vector<Rows> rows;
  struct CopiedRows {
    uint32_t field = 0;
    int64_t first = 0;  // new frame
    uint64_t span = 0;
    FieldEntry entry;
  };
  std::vector<CopiedRows> copied;  // ascending within a field
};

class RoomImpl final : public Room, public std::enable_shared_from_this<RoomImpl> {
 public:
  RoomImpl(std::shared_ptr<StoreCore> core, RefRecord ref) : core_(std::move(core)), ref_(std::move(ref)) {}

  RoomInfo info() const override;
  Snapshot Head() const override;
  Result<Snapshot> HeadOrError() const override;
  uint64_t head_generation() const override { return head_generation_.load(std::memory_order_acquire); }
  Result<Snapshot> At(const CommitId& commit) const override;
  Result<std::vector<CommitSummary>> History(std::optional<CommitId> from, size_t limit) const override;

  Result<CommitInfo> Append(const FrameBatch& batch, const CommitContext& context) override;
  Result<CommitInfo> Insert(int64_t position, const FrameBatch& batch, const CommitContext& context,
                            std::optional<CommitId> expected_head) override;
  Result<CommitInfo> Add(const FrameBatch& batch, const Placement& place, const CommitContext& context) override;
  Result<CommitInfo> CopyFrames(const Snapshot& source, std::span<const FrameId> ids, const Placement& place,
                                const CommitContext& context) override;
  Result<CommitInfo> Delete(std::span<const FrameId> ids, const CommitContext& context,
                            std::optional<CommitId> expected_head, std::span<const BaseVersion> bases) override;
  Result<CommitInfo> Move(int64_t begin, int64_t count, int64_t to, const CommitContext& context) override;
  Result<CommitInfo> Reorder(std::span<const FrameId> order, const CommitContext& context) override;
  Result<CommitInfo> Replace(FrameId id, const FrameBatch& frame, const CommitContext& context,
                             BaseVersion base) override;
  Result<CommitInfo> Edit(FrameId id, const FrameBatch& changes, std::span<const std::string> remove,
                          const CommitContext& context, BaseVersion base) override;
  Result<CommitInfo> EditMany(std::span<const FrameId> ids, const FrameBatch& changes,
                              std::span<const BaseVersion> bases, const CommitContext& context) override;
  Result<CommitInfo> Undo(FrameId id, const CommitContext& context, BaseVersion base) override;
  Result<CommitInfo> Redo(FrameId id, const CommitContext& context, BaseVersion base) override;
  Result<CommitInfo> Restore(const CommitId& commit, const CommitContext& context,
                             std::optional<CommitId> expected_head) override;
  Result<std::unique_ptr<BulkAppender>> StartBulkAppend(const BulkAppender::Options& options) override;
  Result<> SetModel(const RoomModel& model, const CommitContext& context) override;
  Result<RoomModel> UpdateModel(const std::function<Result<RoomModel>(const RoomModel&)>& change,
                                const CommitContext& context) override;
  Result<int64_t> Compact(int64_t max_chunks) override;
  /// As Compact, but looks only at windows that were written to since the last call: for the store's own thread.
  Result<int64_t> CompactTouched(int64_t max_chunks);
  size_t touched_rows() const;

  /// The newest sequenced state: what a writer prepares on. Loads the room at first use.
  Result<StatePtr> Tip() const;
  /// The newest durable one.
  Result<StatePtr> HeadState() const;

  /// Sequences one commit: `fill` applies operations to a draft on the tip. Then waits and publishes. `check`, called under
  /// the write lock with the tip, may refuse; a nullopt from it means that the preparation is stale and must be redone.
  using Fill = std::function<Result<>(CommitDraft&, CommitInfo&)>;
  using Check = std::function<Result<bool>(const RoomState& tip)>;
  Result<std::optional<CommitInfo>> TryCommit(Operation operation, const CommitContext& context, const Check& check,
                                              const Fill& fill);
  /// As TryCommit where the preparation cannot be stale.
  Result<CommitInfo> CommitNow(Operation operation, const CommitContext& context, const Fill& fill);

  /// Where the content is there already: runs what comes `also` with the change, if anything. nullopt as TryCommit.
  Result<std::optional<CommitInfo>> LeaveUnchanged(std::span<const FrameId> ids, const CommitContext& context,
                                                   const Check& check);

  /// Sequences prepared frames; `stale` when the room's fields are others than they were prepared for.
  Result<CommitInfo> PlaceFrames(const Placement& place, NewFrames& frames, const CommitContext& context, bool& stale);

  /// A room that is not in the store yet: its first commit puts it there, atomically with whatever that commit holds.
  /// `base` is the state it forks from, or null.
  void PrepareFirstCommit(const RoomModel& model, const StatePtr& base);
  /// An empty first commit.
  Result<> Begin(Operation operation, const CommitContext& context);
  Result<> End(const CommitContext& context);
  /// The state at a commit of its history.
  Result<StatePtr> StateAt(const CommitId& commit) const { return LoadCommit(commit); }
  /// A follower's room has a newer ref.
  void Follow(const RefRecord& ref);
  RefRecord ref() const;
  /// What it says, or the store's default.
  Retention retention() const;
  /// The generation of the oldest commit that `retention` keeps of the history before `ref`; at least ref.oldest.
  Result<uint64_t> OldestToKeep(const RefRecord& ref, const Retention& retention, int64_t now_ns) const;
  /// Lets go of what `retention` does not keep, durably: from then on it is kPruned, and nothing new refers to it. Returns
  /// how many commits.
  Result<int64_t> LetGo(const Retention& retention, int64_t now_ns);
  /// The newest durable state, if it was loaded; else null.
  StatePtr loaded_head() const {
    const std::lock_guard lock(head_mutex_);
    return head_;
  }
  /// The trees of a fold under way, or null.
  std::shared_ptr<const FoldTrees> fold_trees() {
    const std::lock_guard lock(write_mutex_);
    return fold_ ? fold_->trees() : nullptr;
  }
  /// Tells the listener that the room came or went. REQUIRES: whoever finds the room by name waits meanwhile.
  void Announce();
  /// Makes every kept snapshot of this room look old: it left the store's table.
  void Retire() { head_generation_.fetch_add(1, std::memory_order_release); }

  const std::shared_ptr<StoreCore>& core() const { return core_; }

 private:
  Result<CommitInfo> AddFrames(const Placement& place, const CommitContext& context,
                               const std::function<Result<NewFrames>(const RoomState&)>& prepare);
  Result<CommitInfo> ChangeFrames(Operation operation, std::span<const FrameId> ids, const FrameBatch& changes,
                                  std::span<const std::string> remove, bool replace, std::span<const BaseVersion> bases,
                                  const CommitContext& context);
  Result<CommitInfo> Travel(bool forward, FrameId id, const CommitContext& context, BaseVersion base);
  Result<CommitInfo> Unchanged(const RoomState& state, std::span<const FrameId> ids) const;
  Result<> CheckWritable(const CommitContext& context) const;
  Result<> CheckInRoom(const RoomState& state, FrameId id) const;
  struct Window;
  Result<int64_t> Merge(const StatePtr& state, std::vector<Window> windows);

  /// A change that was sequenced, on its way to the readers and the listener.
  struct Publication {
    Ticket ticket = 0;
    RoomChange::Kind kind = RoomChange::Kind::kCommit;
    Operation operation = Operation::kCreate;
    StatePtr before, after;
    RecordRef model;  // kModel
    // What only the listener needs.
    CommitInfo info;
    CommitContext context;
    std::shared_ptr<const RoomModel> model_before, model_after;
  };
  /// REQUIRES: write_mutex_ held.
  void Enqueue(Publication publication, const CommitInfo& info, const CommitContext& context);
  /// Publishes what was sequenced up to a ticket that is durable, in order.
  void PublishUpTo(Ticket ticket);
  Result<RoomModel> LoadModel(const RecordRef& ref) const;
  /// kReadOnly when the model sequenced last is locked. Within Log::Append's build.
  Result<> CheckUnlocked(const RecordRef& model);
  void Publish(StatePtr state);
  void Tell(const Publication& publication) const;
  /// Waits for the log, then makes visible what became durable.
  Result<> WaitAndPublish(Ticket ticket, RecordStatePtr records);
  Result<StatePtr> LoadCommit(const CommitId& commit) const;
  /// The versions of the commit of generation `oldest` before `head`; none for 1.
  Result<VersionTree> FloorAt(const RecordRef& head, uint64_t oldest) const;
  /// For its first commit: how far back a fork of `base` may look. Within Log::Append's build.
  uint64_t OldestOfFork(const RoomState& base) const;
  /// kPruned when the commit is older than what the room keeps.
  Result<> CheckKept(const CommitId& commit) const;

  const std::shared_ptr<StoreCore> core_;

  RoomModel first_model_;   // constant once the room is in the store, as is
  uint64_t base_room_ = 0;  // the incarnation it forks from

  std::mutex write_mutex_;
  mutable StatePtr tip_;  // guarded by write_mutex_, and by head_mutex_ for loading
  std::unique_ptr<RoomFold> fold_;  // guarded by write_mutex_; of an ancestor of tip_

  std::shared_ptr<const RoomModel> model_;  // guarded by write_mutex_: the newest sequenced, once the listener needs it

  std::mutex publish_mutex_;              // held while one of the queue is published
  std::optional<Publication> withheld_;   // guarded by publish_mutex_: for Announce
  std::mutex queue_mutex_;
  std::deque<Publication> queue_;         // guarded by queue_mutex_: by ticket

  mutable std::mutex head_mutex_;
  mutable StatePtr head_;          // guarded by head_mutex_; null until first used
  RefRecord ref_;                  // guarded by head_mutex_
  mutable std::deque<StatePtr> old_states_;  // guarded by head_mutex_: a few that At() loaded
  std::atomic<uint64_t> head_generation_{0};

  enum class Locked { kUnknown, kNo, kYes };
  Locked locked_ = Locked::kUnknown;  // by the model sequenced last; guarded by the log's lock

  // Rows written since the last CompactTouched, for it to look at; beyond the bound a full Compact finds the rest.
  static constexpr size_t kMaxTouched = 1 << 16;
  mutable std::mutex touched_mutex_;
  std::set<std::pair<uint32_t, FrameId>> touched_;  // guarded by touched_mutex_: field, id
};

/// The kConflict of a base that is not the newest any more.
Error StaleHead(const RoomState& tip);
Error StaleVersion(FrameId id, uint32_t newest, uint32_t base);

/// The position of `count` frames that `place` asks for: kConflict, kNotFound, kOutOfRange or kTooLarge when there is none.
Result<uint64_t> FindPlace(const NodeSource& source, const RoomState& tip, const Placement& place, int64_t count);

/// Merges a batch's columns with a table's fields and encodes their rows into short chunks (at most F rows each). Blocks
/// that are large go to packs, and are synced.
Result<NewFrames> PrepareFrames(StoreCore& core, const std::shared_ptr<const FieldTable>& table, const FrameBatch& batch,
                                const LayoutOptions& layout, MergeMode mode);

/// Frames of another state by reference (copy_frames.cc).
Result<NewFrames> PrepareCopy(StoreCore& core, const std::shared_ptr<const FieldTable>& table, const RoomState& source,
                              std::span<const FrameId> ids);

Result<> PlaceCopied(CommitDraft& draft, FrameId first, std::span<const NewFrames::CopiedRows> copied);

std::unique_ptr<BulkAppender> MakeBulkAppender(std::shared_ptr<RoomImpl> room, const BulkAppender::Options& options);

}  // namespace zn::internal
