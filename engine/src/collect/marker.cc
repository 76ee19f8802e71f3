#include "collect/marker.h"

#include <set>

#include "pack/pack_format.h"

namespace zn::internal {

Result<bool> Marker::Mark(const RecordRef& ref) {
  if (ref.in_log()) {
    if (!marks_.records.Add(ref.file, ref.offset)) return false;
    const uint64_t size = PaddedRecordSize(ref.length), begin = ref.offset - kRecordHeaderSize;
    marks_.bytes[ref.file] += size;
    for (uint64_t at = begin / kLogBlock * kLogBlock; at < begin + size; at += kLogBlock)
      marks_.log_blocks.Add(ref.file, Marks::BlockOf(at));
    return true;
  }
  hops_.clear();
  ZN_ASSIGN_OR_RETURN(const RecordRef now, core_.packs->Locate(ref, &hops_));
  for (const auto& [file, offset] : hops_) marks_.moved.Add(file, offset);
  if (!marks_.records.Add(now.file, now.offset)) return false;
  marks_.bytes[now.file] += PackRecordSize(now.length);
  return true;
}

Result<bool> Marker::Enter(const RecordRef& ref, PlaceSet& visited) {
  // By the reference as it stands: the same node may be named by an old place and by a new one, and
  // is then read twice.
  if (!visited.Add(ref.file, ref.offset)) return false;
  ZN_RETURN_IF_ERROR(Mark(ref));
  ++nodes_;
  ZN_RETURN_IF_ERROR(pace_(ref.length));
  return true;
}

template <class Tree>
Result<> Marker::FollowTree(const Tree& tree, Depth depth, const VersionTree* floor) {
  constexpr bool kVersions = std::is_same_v<Tree, VersionTree>;
  const auto enter = [&](const RecordRef& ref) -> Result<bool> {
    for (int more = depth + 1; more <= kHistory; ++more)
      if (visited_[more].Has(ref.file, ref.offset)) return false;
    // Another floor leaves out other versions, so a room with one does not rely on what was
    // followed for another room.
    if (kVersions && depth == kHistory && floor != nullptr) {
      if (visited_[kHistory].Has(ref.file, ref.offset)) return false;
      return Enter(ref, room_visited_);
    }
    return Enter(ref, visited_[depth]);
  };
  return tree.Follow(core_, enter, [&](uint64_t start, uint64_t, const auto& entry) -> Result<> {
    return depth == kNodes ? Result<>() : Entry(entry, start, depth, floor);
  });
}

Result<> Marker::Entry(const FieldEntry& entry, uint64_t, Depth, const VersionTree*) {
  for (size_t block = 0; block < entry.blocks; ++block)
    if (entry.refs[block]) ZN_RETURN_IF_ERROR(Mark(entry.refs[block]));
  return {};
}

Result<> Marker::Entry(const VersionEntry& entry, uint64_t start, Depth depth,
                       const VersionTree* floor) {
  if (entry.version == 0) return {};
  if (depth == kHistory) return Version(entry.record, static_cast<FrameId>(start), floor);
  ZN_RETURN_IF_ERROR(Mark(entry.record));
  return {};
}

Result<> Marker::Version(RecordRef ref, FrameId id, const VersionTree* floor) {
  uint32_t kept = 1;
  if (floor != nullptr) {
    ZN_ASSIGN_OR_RETURN(const VersionEntry oldest, RoomState::VersionIn(core_, *floor, id));
    kept = oldest.version;
  }
  PlaceSet& met = floor == nullptr ? versions_ : room_versions_;
  while (ref) {
    if (versions_.Has(ref.file, ref.offset) || !met.Add(ref.file, ref.offset)) return {};
    ZN_RETURN_IF_ERROR(Mark(ref));
    ZN_ASSIGN_OR_RETURN(const Buffer bytes, core_.ReadNode(ref));
    ZN_ASSIGN_OR_RETURN(const VersionRecord record, DecodeVersion(bytes.bytes()));
    if (record.version <= kept) return {};  // what it says is kept, what it replaced is not
    for (const VersionRecord::OldRow& old : record.old_rows)
      ZN_RETURN_IF_ERROR(Entry(old.row, 0, kEntries, nullptr));
    ref = record.previous;
  }
  return {};
}

Result<> Marker::Operation(const Op& op, const VersionTree* floor) {
  if (const auto* splice = std::get_if<FieldSpliceOp>(&op))
    return Entry(splice->entry, 0, kEntries, nullptr);
  if (const auto* set = std::get_if<VersionSetOp>(&op)) return Version(set->record, set->id, floor);
  return {};
}

Result<> Marker::Roots(const RecordRef& ref, Depth depth, const VersionTree* floor) {
  if (!ref) return {};
  ZN_RETURN_IF_ERROR(Mark(ref));
  ZN_ASSIGN_OR_RETURN(const Buffer bytes, core_.ReadNode(ref));
  ZN_ASSIGN_OR_RETURN(const RootRecord root, DecodeRoot(bytes.bytes()));
  ZN_RETURN_IF_ERROR(
      FollowTree(OrderTree(root.order.root, root.order.span, root.order.level), depth, floor));
  ZN_RETURN_IF_ERROR(FollowTree(
      VersionTree(root.versions.root, root.versions.span, root.versions.level), depth, floor));
  for (const RootRecord::Field& field : root.fields)
    ZN_RETURN_IF_ERROR(
        FollowTree(FieldTree(field.rows.root, field.rows.span, field.rows.level), depth, floor));
  return {};
}

Result<> Marker::State(const RoomState& state) {
  // To be loaded again it needs its root's nodes, which may hold rows that operations have replaced
  // since, and the commits with those operations.
  uint32_t missing = state.ops_since_root;
  for (RecordRef ref = state.commit_ref; ref;) {
    ZN_RETURN_IF_ERROR(Mark(ref));
    ZN_ASSIGN_OR_RETURN(const CommitRecord commit, ReadCommit(core_, ref));
    if (ref == state.commit_ref) ZN_RETURN_IF_ERROR(Roots(commit.root, kNodes, nullptr));
    missing -= std::min(missing, static_cast<uint32_t>(commit.ops.size()));
    if (missing == 0) break;
    ref = commit.parent;
  }
  // To be read it needs what its trees have today.
  ZN_RETURN_IF_ERROR(FollowTree(state.order, kEntries, nullptr));
  ZN_RETURN_IF_ERROR(FollowTree(state.versions, kEntries, nullptr));
  for (const FieldTree& tree : state.rows) ZN_RETURN_IF_ERROR(FollowTree(tree, kEntries, nullptr));
  return {};
}

Result<> Marker::Held(const RoomState& state) {
  ZN_RETURN_IF_ERROR(State(state));
  room_visited_.Clear();
  room_versions_.Clear();
  return FollowTree(state.versions, kHistory, state.floor.span() > 0 ? &state.floor : nullptr);
}

Result<> Marker::Fold(const FoldTrees& trees) {
  ZN_RETURN_IF_ERROR(FollowTree(trees.order, kEntries, nullptr));
  ZN_RETURN_IF_ERROR(FollowTree(trees.versions, kEntries, nullptr));
  for (const FieldTree& tree : trees.rows) ZN_RETURN_IF_ERROR(FollowTree(tree, kEntries, nullptr));
  return {};
}

Result<> Marker::Room(const RefRecord& room) {
  if (room.model) ZN_RETURN_IF_ERROR(Mark(room.model));
  std::optional<RoomState> floor;
  std::vector<RecordRef> kept;  // newest first; with a floor, it is the last
  for (RecordRef ref = room.commit; ref;) {
    if (followed_.Has(ref.file, ref.offset)) break;
    kept.push_back(ref);
    ZN_ASSIGN_OR_RETURN(const CommitRecord commit, ReadCommitHeader(core_, ref));
    ZN_RETURN_IF_ERROR(pace_(ref.length));
    if (commit.generation <= room.oldest) break;
    ref = commit.parent;
  }
  const bool has_floor = room.oldest > 1;
  if (has_floor && !kept.empty()) {
    ZN_ASSIGN_OR_RETURN(const CommitRecord last, ReadCommitHeader(core_, kept.back()));
    if (last.generation <= room.oldest) {
      ZN_ASSIGN_OR_RETURN(floor, LoadState(core_, core_.pipelines, kept.back()));
      ZN_RETURN_IF_ERROR(State(*floor));
      kept.pop_back();
    }
  }
  room_visited_.Clear();
  room_versions_.Clear();
  const VersionTree* const below = floor ? &floor->versions : nullptr;
  for (const RecordRef& ref : kept) {
    ++commits_;
    ZN_RETURN_IF_ERROR(Mark(ref));
    if (!has_floor) followed_.Add(ref.file, ref.offset);
    ZN_ASSIGN_OR_RETURN(const CommitRecord commit, ReadCommit(core_, ref));
    ZN_RETURN_IF_ERROR(pace_(ref.length));
    for (const Op& op : commit.ops) ZN_RETURN_IF_ERROR(Operation(op, below));
    // A root that the floor has too: what is new since is in the operations.
    if (below == nullptr || !(commit.root == floor->root_ref))
      ZN_RETURN_IF_ERROR(Roots(commit.root, kHistory, below));
  }
  return {};
}

Result<> Marker::Records(const RecordsAt& at, const std::vector<RecordStatePtr>& states) {
  const auto node = [&](Result<>& failed) {
    return [&](const RecordRef& ref, uint8_t) {
      auto entered = Enter(ref, visited_[kNodes]);
      if (!entered) failed = std::move(entered).error();
      return entered && *entered;
    };
  };
  Result<> failed;
  ZN_RETURN_IF_ERROR(KeyTree(at.root, at.level).ForEachNode(core_, node(failed)));
  ZN_RETURN_IF_ERROR(failed);
  for (const RecordStatePtr& state : states) {
    ZN_RETURN_IF_ERROR(state->tree.ForEachNode(core_, node(failed)));
    ZN_RETURN_IF_ERROR(failed);
    ZN_RETURN_IF_ERROR(state->tree.ForEach(core_, "", "", [&](const KeyTree::Entry& entry) {
      if (!entry.ref) return true;
      if (auto marked = Mark(entry.ref); !marked) failed = std::move(marked).error();
      return failed.has_value();
    }));
    ZN_RETURN_IF_ERROR(failed);
  }
  return {};
}

}  // namespace zn::internal
