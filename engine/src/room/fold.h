// Folding a room's operations into saved trees, a few nodes with every commit, so that no commit
// waits for thousands of them.
//
// A fold writes the trees of one state, S, while commits go on. When all its nodes are in the log,
// the commit that finds it so names the new root, and counts as operations since that root its own
// and those between S and itself. Until then nobody refers to the nodes: a fold that is given up
// leaves dead bytes and nothing else.
#pragma once

#include <memory>
#include <vector>

#include "log/log.h"
#include "room/state.h"

namespace zn::internal {

/// The trees of the state that a fold writes. What of them is written nobody refers to yet, so the collection follows them
/// too.
struct FoldTrees {
  OrderTree order;
  VersionTree versions;
  std::vector<FieldTree> rows;
};

/// Used under the room's write lock, inside Log::Append's build where it writes.
class RoomFold {
 public:
  explicit RoomFold(const RoomState& state);

  /// Operations that the new root will hold.
  uint32_t ops() const { return ops_; }
  /// Writes up to `nodes` nodes, and the root behind the last. Whether the root is written. When it
  /// fails, or the records are dropped with their group, this fold must be given up.
  Result<bool> Step(const Log::AppendRecord& append, size_t nodes);
  /// Null until Step returned true.
  const RecordRef& root_ref() const { return root_ref_; }
  /// What was written so far is in the log's sequence: it will be durable before any later record.
  void Confirm();
  std::shared_ptr<const FoldTrees> trees() const { return trees_; }

 private:
  const std::shared_ptr<const FoldTrees> trees_;
  RootRecord root_;
  TreeSaver<OrderEntry> order_;
  TreeSaver<VersionEntry> versions_;
  std::vector<TreeSaver<FieldEntry>> rows_;
  const uint32_t ops_;
  RecordRef root_ref_;
};

/// Writes the trees of `state` now, and their root; sets both in it.
Result<> FoldNow(const Log::AppendRecord& append, RoomState& state);

/// Leaves out of memory what confirmed folds wrote.
void SettleTrees(RoomState& state);

}  // namespace zn::internal
