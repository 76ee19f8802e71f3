// Rows of frames out of a room's state: what Snapshot and the writer both read through.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "room/state.h"
#include "room/store_core.h"
#include "zn/engine/snapshot.h"

namespace zn::internal {

/// All fields' rows of one frame, by index in table->all; what a version is made of.
using FrameRows = std::vector<FieldEntry>;

/// Cheap to make; refers to both for its life.
class RowReader {
 public:
  RowReader(const StoreCore& core, const RoomState& state) : core_(core), state_(state) {}

  Result<int32_t> AtomCount(FrameId id) const;
  Result<int32_t> AtomCountOf(const FieldEntry& row) const;
  /// Rows of a kRagged field in the frame, from its lengths' row.
  Result<int64_t> Length(uint32_t field, const FieldEntry& row, const FieldEntry& lengths_row) const;

  /// nullopt when absent.
  Result<std::optional<Row>> Read(uint32_t field, FrameId id, const AtomRange& atoms) const;
  /// The same of a given entry, which need not be the state's (an older version's). `count` is the number of atoms
  /// (kAtom) or of rows (kRagged).
  Result<Row> ReadEntry(uint32_t field, const FieldEntry& entry, int64_t count, const AtomRange& atoms) const;
  std::optional<Row> ReadResident(uint32_t field, FrameId id) const;

  /// Rows of all fields of the frame now, and as of an older version.
  Result<FrameRows> RowsOf(FrameId id) const;
  Result<FrameRows> RowsAt(FrameId id, uint32_t version) const;
  /// The frame those rows make, as a batch of one with every listed field.
  Result<FrameBatch> Frame(const FrameRows& rows, std::span<const uint32_t> fields) const;

  /// Joined rows of many frames, one column.
  Result<Column> ReadColumn(uint32_t field, std::span<const FrameId> ids, std::span<const int32_t> n_atoms,
                            const AtomRange& atoms) const;

 private:
  Result<std::optional<Row>> ReadUnnamed(uint32_t field, FrameId id, const AtomRange& atoms) const;
  /// What cannot be read, with the field and the frames it is of.
  Error Name(Error error, uint32_t field, FrameId first, FrameId last) const;
  /// Decodes the chunks behind this one on the pool where a reader goes through the field in order.
  void DecodeAhead(uint32_t field, FrameId id, const FieldEntry& entry) const;
  const FieldInfo& info(uint32_t field) const { return *state_.table->all[field]; }
  const StoreCore& core_;
  const RoomState& state_;
};

/// Reads the version record behind an entry.
Result<VersionRecord> ReadVersionRecord(const StoreCore& core, const RecordRef& ref);

}  // namespace zn::internal
