// A commit while it is being made: the next state, the operations that lead to it, and the group they go into.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "room/chunk_writer.h"
#include "room/fold.h"
#include "room/state.h"
#include "room/store_core.h"

namespace zn::internal {

/// Lives inside Log::Append's build, under the room's write lock.
class CommitDraft {
 public:
  /// Commits of the room below generation `oldest` are not looked at. `fold` is the room's: begun, continued and given up here. Without a later success of Append it must be given up, too.
  CommitDraft(StoreCore& core, const RoomState& tip, const Log::AppendRecord& append, Operation operation,
              const CommitContext& context, int64_t now_ns, std::unique_ptr<RoomFold>& fold, uint64_t oldest)
      : core_(core),
        state_(tip),
        append_(append),
        operation_(operation),
        context_(context),
        now_ns_(now_ns),
        fold_(fold),
        oldest_(oldest) {}

  const RoomState& state() const { return state_; }
  const Log::AppendRecord& append() const { return append_; }

  Result<> Apply(Op op);

  /// As Apply for many runs at once, which go straight into the tree: the commit folds.
  Result<> AppendRuns(uint32_t field, FrameId first, std::vector<FieldTree::Run> runs);

  /// A frame's new rows, by field.
  using NewRows = std::vector<std::pair<uint32_t, FieldEntry>>;
  /// Where undo and redo go from the new version. Defaults are an edit's.
  struct Lineage {
    uint32_t content = 0;  // 0: the new version itself
    std::optional<uint32_t> undo;
    uint32_t redo = 0;
  };
  /// Makes a new version of the frame with these rows, keeping what they replace. Returns its number.
  Result<uint32_t> ChangeFrame(FrameId id, const NewRows& rows, const Lineage& lineage);

  /// Goes on folding operations into trees where there are many, and writes the commit.
  struct Finished {
    RoomState state;
    CommitRecord record;
    std::vector<std::pair<uint32_t, FrameId>> touched;  // field and first id of every splice
  };
  Result<Finished> Finish();

 private:
  Result<> FoldSome();

  StoreCore& core_;
  RoomState state_;
  const Log::AppendRecord& append_;
  const Operation operation_;
  const CommitContext& context_;
  const int64_t now_ns_;
  std::unique_ptr<RoomFold>& fold_;
  const uint64_t oldest_;  // generation below which there are no commits to refer to
  std::vector<Op> ops_;
  bool must_fold_ = false;
};

}  // namespace zn::internal
