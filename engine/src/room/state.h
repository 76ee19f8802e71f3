// The state of a room at one commit, in memory: its trees with every operation applied.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "codec/pipeline_cache.h"
#include "room/records.h"
#include "tree/run_tree.h"
#include "zn/engine/codec.h"
#include "zn/engine/field.h"
#include "zn/engine/version.h"

namespace zn::internal {

/// The index of the internal field with the frames' atom counts: kFrame, int32, in every room.
inline constexpr uint32_t kAtomCountField = 0;
inline constexpr std::string_view kAtomCountName = "n_atoms";

/// A field besides its rows. Immutable.
struct FieldInfo {
  FieldDescriptor descriptor;
  std::vector<std::shared_ptr<const CodecPipeline>> pipelines;  // one a geometry
  int32_t lengths = -1;   // kRagged: index of the field with the rows' counts
  bool internal = false;  // not listed: atom counts, lengths
};

/// All fields of a room. Rebuilt only when one is defined; shared by the states between.
struct FieldTable {
  std::vector<std::shared_ptr<const FieldInfo>> all;  // by index in trees and records
  std::vector<FieldDescriptor> listed;                // by FieldIndex
  std::vector<uint32_t> listed_to_all;
  std::unordered_map<std::string, uint32_t> by_name;  // index in `all`; internal ones too
};

/// Immutable once published.
struct RoomState {
  CommitId commit;
  RecordRef commit_ref;
  RecordRef root_ref;
  uint32_t ops_since_root = 0;
  Position position;
  uint64_t ticket = 0;  // of its commit in the log; 0 when it was durable already when loaded
  uint64_t room = 0;    // incarnation

  FrameId next_id = 0;
  int64_t first_shifted = INT64_MAX;
  OrderTree order;
  VersionTree versions;
  VersionTree floor;  // the versions of the oldest commit that the room keeps: older ones are gone; empty: none is
  std::shared_ptr<const FieldTable> table;
  std::vector<FieldTree> rows;  // by index in table->all

  int64_t frames() const { return static_cast<int64_t>(order.span()); }

  /// The row of a frame: absent beyond the tree's end.
  Result<FieldEntry> RowOf(const NodeSource& source, uint32_t field, FrameId id) const;
  /// Version and record of a frame; {1, null} by default.
  Result<VersionEntry> VersionOf(const NodeSource& source, FrameId id) const { return VersionIn(source, versions, id); }
  /// The oldest version whose content is kept.
  Result<VersionEntry> OldestVersionOf(const NodeSource& source, FrameId id) const { return VersionIn(source, floor, id); }
  static Result<VersionEntry> VersionIn(const NodeSource& source, const VersionTree& tree, FrameId id);
};

/// The empty room: no frames, only the atom counts' field.
RoomState EmptyState(PipelineCache& pipelines);

/// Applies one operation. kCorrupt when it does not fit the state (only a damaged or forged log has such).
Result<> ApplyOp(const NodeSource& source, PipelineCache& pipelines, RoomState& state, const Op& op);

/// Reads the commit at `ref`, its root, and applies the operations since.
Result<RoomState> LoadState(const NodeSource& source, PipelineCache& pipelines, const RecordRef& ref);

Result<CommitRecord> ReadCommit(const NodeSource& source, const RecordRef& ref);
/// Without its operations.
Result<CommitRecord> ReadCommitHeader(const NodeSource& source, const RecordRef& ref);

/// The record (without operations) of the ancestor (or self) of `from` with this generation, by skip references.
Result<std::pair<RecordRef, CommitRecord>> FindGeneration(const NodeSource& source, RecordRef from,
                                                          uint64_t generation);

}  // namespace zn::internal
