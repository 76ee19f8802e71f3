// The payloads of a room's records: root, commit with its operations, version, ref, model, checkpoint.
// Plain structs; encoding and decoding are pure. docs/format.md has every byte.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "control/record_format.h"
#include "log/record.h"
#include "tree/run_tree.h"
#include "zn/engine/field.h"
#include "zn/engine/room.h"
#include "zn/engine/version.h"

namespace zn {

/// A saved tree: enough to open it.
struct TreeRef {
  RecordRef root;
  uint64_t span = 0;
  uint8_t level = 0;
};

/// kRoot: a room's trees and descriptors, all operations folded in.
struct RootRecord {
  FrameId next_id = 0;
  int64_t first_shifted = INT64_MAX;  // smallest position that ever came to mean another frame
  TreeRef order, versions;
  struct Field {
    FieldDescriptor descriptor;
    int32_t lengths = -1;  // kRagged: index of the internal field with the rows' counts
    bool internal = false;
    TreeRef rows;
  };
  std::vector<Field> fields;
};

/// Replaces positions [begin, begin + removed) by runs of ids.
struct OrderSpliceOp {
  uint64_t begin = 0, removed = 0;
  std::vector<OrderTree::Run> runs;
};
/// Sets the rows of ids [first, first + span) of a field.
struct FieldSpliceOp {
  uint32_t field = 0;
  FrameId first = 0;
  uint64_t span = 0;
  FieldEntry entry;
};
/// Sets the newest version of a frame.
struct VersionSetOp {
  FrameId id = 0;
  uint32_t version = 0;
  RecordRef record;
};
/// Adds a field (index = number of fields) or replaces a descriptor by one with more geometries or a wider dtype.
struct FieldDefineOp {
  uint32_t field = 0;
  FieldDescriptor descriptor;
  int32_t lengths = -1;
  bool internal = false;
};
/// Ids below `next_id` are taken.
struct NextIdOp {
  FrameId next_id = 0;
};
using Op = std::variant<OrderSpliceOp, FieldSpliceOp, VersionSetOp, FieldDefineOp, NextIdOp>;

/// kCommit.
struct CommitRecord {
  Operation operation = Operation::kCreate;
  uint64_t generation = 1;
  int64_t time_ns = 0;
  int64_t frames = 0;
  RecordRef parent;          // null for the first
  RecordRef skip;            // an ancestor further back: SkipGeneration(generation)
  RecordRef root;            // the newest folded root at or before this commit; null: the empty room
  uint32_t ops_since_root = 0;  // on the chain from the root to this commit, its own included
  std::string actor, message;
  std::vector<Op> ops;       // its own
};

/// The generation that a commit's skip reference points to, so that any ancestor is found in O(log n) steps.
uint64_t SkipGeneration(uint64_t generation);

/// kVersion: one version of one frame, with what it replaced.
struct VersionRecord {
  FrameId id = 0;
  uint32_t version = 0;
  Operation operation = Operation::kEdit;
  uint32_t content = 0;  // the version whose content this one has: itself, or an older one after undo, redo, restore
  uint32_t undo = 0;     // the version to which undo goes back; 0: none
  uint32_t redo = 0;     // the version to which redo goes; 0: none
  int64_t time_ns = 0;
  std::string actor;
  RecordRef previous;    // the record of version - 1; null when that is version 1
  struct OldRow {
    uint32_t field = 0;
    FieldEntry row;  // one row, or absent
  };
  std::vector<OldRow> old_rows;  // of the fields that this version changed
};

/// kRef: the newest commit of a room, or its end.
struct RefRecord {
  uint64_t room = 0;  // incarnation
  bool deleted = false;
  std::string name;
  std::string base;
  RecordRef commit;
  RecordRef model;
  uint64_t oldest = 1;  // generation of the oldest commit that is kept; those below may be gone
};

/// kCheckpoint: all refs and the control records as of the groups before it.
struct CheckpointRecord {
  uint64_t epoch = 0;
  uint64_t next_room = 1;
  std::vector<RefRecord> rooms;
  RecordsAt records;
};

std::vector<std::byte> EncodeRoot(const RootRecord& root);
Result<RootRecord> DecodeRoot(std::span<const std::byte> bytes);
std::vector<std::byte> EncodeCommit(const CommitRecord& commit);
Result<CommitRecord> DecodeCommit(std::span<const std::byte> bytes);
/// All but its operations: for walks along a history.
Result<CommitRecord> DecodeCommitHeader(std::span<const std::byte> bytes);
std::vector<std::byte> EncodeVersion(const VersionRecord& version);
Result<VersionRecord> DecodeVersion(std::span<const std::byte> bytes);
std::vector<std::byte> EncodeRef(const RefRecord& ref);
Result<RefRecord> DecodeRef(std::span<const std::byte> bytes);
std::vector<std::byte> EncodeModel(const RoomModel& model);
Result<RoomModel> DecodeModel(std::span<const std::byte> bytes);
std::vector<std::byte> EncodeCheckpoint(const CheckpointRecord& checkpoint);
Result<CheckpointRecord> DecodeCheckpoint(std::span<const std::byte> bytes);

/// The name that a commit goes by: its generation and the start of its record's sha256.
CommitId CommitIdOf(uint64_t generation, const Sha256& name);

}  // namespace zn
