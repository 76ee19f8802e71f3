// A room of an open store. Writers prepare outside its lock (compare, encode, hash), then check and sequence under it, then
// wait for the log with all others.
//
// Locks, in this order: write_mutex_ (what is sequenced next), the log's, head_mutex_ (what is published).
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
#include "room/state.h"
#include "room/store_core.h"
#include "zn/engine/room.h"

namespace zn::internal {

using StatePtr = std::shared_ptr<const RoomState>;

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
  Result<CommitInfo> Delete(std::span<const FrameId> ids, const CommitContext& context,
                            std::optional<CommitId> expected_head) override;
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
  Result<CommitInfo> Restore(const CommitId& commit, const CommitContext& context) override;
  Result<std::unique_ptr<BulkAppender>> StartBulkAppend(const BulkAppender::Options& options) override;
  Result<> SetModel(const RoomModel& model, const CommitContext& context) override;
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

  /// Places prepared frames before `position` (-1: at the end).
  Result<CommitInfo> PlaceFrames(Operation operation, int64_t position, NewFrames& frames,
                                 const CommitContext& context, std::optional<CommitId> expected_head, bool& stale);

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
  /// Makes every kept snapshot of this room look old: it left the store's table.
  void Retire() { head_generation_.fetch_add(1, std::memory_order_release); }

  const std::shared_ptr<StoreCore>& core() const { return core_; }

 private:
  Result<CommitInfo> AddFrames(Operation operation, int64_t position, const FrameBatch& batch,
                               const CommitContext& context, std::optional<CommitId> expected_head);
  Result<CommitInfo> ChangeFrames(Operation operation, std::span<const FrameId> ids, const FrameBatch& changes,
                                  std::span<const std::string> remove, bool replace, std::span<const BaseVersion> bases,
                                  const CommitContext& context);
  Result<CommitInfo> Travel(bool forward, FrameId id, const CommitContext& context, BaseVersion base);
  Result<CommitInfo> Unchanged(const RoomState& state, std::span<const FrameId> ids) const;
  Result<> CheckWritable(const CommitContext& context) const;
  Result<> CheckInRoom(const RoomState& state, FrameId id) const;
  struct Window;
  Result<int64_t> Merge(const StatePtr& state, std::vector<Window> windows);
  Result<> WaitDurable(const RoomState& state) const;
  void Publish(StatePtr state);
  Result<StatePtr> LoadCommit(const CommitId& commit) const;

  const std::shared_ptr<StoreCore> core_;

  RoomModel first_model_;  // constant once the room is in the store

  std::mutex write_mutex_;
  mutable StatePtr tip_;  // guarded by write_mutex_, and by head_mutex_ for loading

  mutable std::mutex head_mutex_;
  mutable StatePtr head_;          // guarded by head_mutex_; null until first used
  RefRecord ref_;                  // guarded by head_mutex_
  mutable std::deque<StatePtr> old_states_;  // guarded by head_mutex_: a few that At() loaded
  std::atomic<uint64_t> head_generation_{0};

  // Rows written since the last CompactTouched, for it to look at; beyond the bound a full Compact finds the rest.
  static constexpr size_t kMaxTouched = 1 << 16;
  mutable std::mutex touched_mutex_;
  std::set<std::pair<uint32_t, FrameId>> touched_;  // guarded by touched_mutex_: field, id
};

/// Merges a batch's columns with a table's fields and encodes their rows into short chunks (at most F rows each). Blocks
/// that are large go to packs, and are synced.
Result<NewFrames> PrepareFrames(StoreCore& core, const std::shared_ptr<const FieldTable>& table, const FrameBatch& batch,
                                const LayoutOptions& layout, MergeMode mode);

std::unique_ptr<BulkAppender> MakeBulkAppender(std::shared_ptr<RoomImpl> room, const BulkAppender::Options& options);

}  // namespace zn::internal
