// Marking: everything that rooms, kept commits, held snapshots and control records lead to.
//
// Every node is read once, however many commits share it: what a walk meets for the second time it
// does not enter, so the cost of a commit is that of its difference from those followed before.
// Nothing is copied and nothing is locked; the records that are followed cannot go away, as only
// the collection takes them away.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "collect/place_set.h"
#include "control/record_table.h"
#include "room/fold.h"
#include "room/records.h"
#include "room/state.h"
#include "room/store_core.h"

namespace zn::internal {

/// What of a log file is given back at once.
inline constexpr uint64_t kLogBlock = 4096;

/// What is alive. Files are numbered as in references.
struct Marks {
  PlaceSet records;  // offsets of payloads
  std::unordered_map<uint32_t, uint64_t>
      bytes;            // that the records of a file take, with their heads
  PlaceSet moved;       // records of packs that are gone which references still name
  PlaceSet log_blocks;  // of log files: the blocks that living records touch (BlockOf)

  /// How `log_blocks` names the block that holds the byte at `offset`.
  static uint64_t BlockOf(uint64_t offset) { return offset / kLogBlock * kRecordAlignment; }

  uint64_t BytesOf(uint32_t file) const {
    const auto at = bytes.find(file);
    return at == bytes.end() ? 0 : at->second;
  }
};

class Marker {
 public:
  /// `pace` is told of the bytes read, and may wait, or stop the marking by an error.
  Marker(StoreCore& core, std::function<Result<>(int64_t bytes)> pace)
      : core_(core), pace_(std::move(pace)) {}

  // In this order: rooms that keep everything first, so that those that do not find it followed.
  Result<> Room(const RefRecord& ref);
  /// What a state in memory needs to be read, forked and loaded again; with the versions that it
  /// keeps.
  Result<> Held(const RoomState& state);
  /// The same without older versions.
  Result<> State(const RoomState& state);
  Result<> Fold(const FoldTrees& trees);
  Result<> Records(const RecordsAt& at, const std::vector<RecordStatePtr>& states);

  const Marks& marks() const { return marks_; }
  int64_t commits() const { return commits_; }
  int64_t nodes() const { return nodes_; }

 private:
  /// How much of what a tree's entries lead to is marked; each takes in the one before.
  enum Depth : int { kNodes, kEntries, kHistory };

  /// Was it new?
  Result<bool> Mark(const RecordRef& ref);
  Result<bool> Enter(const RecordRef& ref, PlaceSet& visited);
  Result<> Roots(const RecordRef& root, Depth depth, const VersionTree* floor);
  template <class Tree>
  Result<> FollowTree(const Tree& tree, Depth depth, const VersionTree* floor);
  Result<> Entry(const OrderEntry&, uint64_t, Depth, const VersionTree*) { return {}; }
  Result<> Entry(const FieldEntry& entry, uint64_t start, Depth depth, const VersionTree* floor);
  Result<> Entry(const VersionEntry& entry, uint64_t start, Depth depth, const VersionTree* floor);
  /// The record of a version and, down to the floor's version of the frame, what it replaced.
  Result<> Version(RecordRef record, FrameId id, const VersionTree* floor);
  Result<> Operation(const Op& op, const VersionTree* floor);

  StoreCore& core_;
  const std::function<Result<>(int64_t)> pace_;
  Marks marks_;
  PlaceSet followed_;      // commits with all before them
  PlaceSet visited_[3];    // tree nodes, by depth
  PlaceSet versions_;      // version records with all before them
  PlaceSet room_visited_;  // as visited_[kHistory] and versions_, of the room at hand, when it has
                           // a floor
  PlaceSet room_versions_;
  std::vector<PackStore::Hop> hops_;
  int64_t commits_ = 0, nodes_ = 0;
};

}  // namespace zn::internal
