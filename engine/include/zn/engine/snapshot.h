// Reading a room as it was at one commit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/buffer.h"
#include "zn/engine/field.h"
#include "zn/engine/version.h"

namespace zn {

namespace internal {
struct RoomState;
struct StoreCore;
}  // namespace internal

/// Index of a field in Snapshot::fields(). Stable within a room's history: fields are never renumbered.
using FieldIndex = int32_t;

/// One frame's row of one field, not padded. `bytes` share the cache's map or their own heap block.
struct Row {
  DType dtype = DType::kFloat64;  // the field's
  Shape shape;                    // (inner...) or (n, inner...)
  Buffer bytes;                   // empty for kJson
  std::string text;               // kJson only
};

/// Positions begin, begin + step, ..., `count` of them.
struct PositionRun {
  int64_t begin = 0, count = 0, step = 1;
  int64_t at(int64_t k) const { return begin + k * step; }
  friend bool operator==(const PositionRun&, const PositionRun&) = default;
};

/// Which atoms of per-atom fields a read wants; clipped to each frame's atoms.
struct AtomRange {
  int64_t begin = 0;
  int64_t end = INT64_MAX;
  int64_t step = 1;  // > 0
  bool all() const { return begin == 0 && end == INT64_MAX && step == 1; }
};

/// An immutable view of one commit. A cheap handle; copies share one state. All members may be called from any
/// thread at once, and none waits for a writer. It must not outlive its Store.
class Snapshot {
 public:
  Snapshot() = default;
  Snapshot(std::shared_ptr<internal::StoreCore> store, std::shared_ptr<const internal::RoomState> state)
      : store_(std::move(store)), state_(std::move(state)) {}
  explicit operator bool() const { return state_ != nullptr; }
  /// Equal for the same state in memory: a cheap test whether a cached answer is still valid.
  const void* identity() const { return state_.get(); }

  CommitId commit() const;
  Position position() const;
  /// Names the room for as long as it exists; a deleted and recreated room gets another. 16 hex digits on the wire.
  uint64_t incarnation() const;

  /// Frames in today's order.
  int64_t frames() const;
  /// The smallest position that ever came to mean another frame, by an insert, delete, reorder or restore; INT64_MAX when
  /// none did. Below it a bare index still names what it always named.
  int64_t first_shifted() const;
  const std::vector<FieldDescriptor>& fields() const;
  /// By canonical name only; aliases are the formats' table's.
  std::optional<FieldIndex> FindField(std::string_view name) const;
  /// How many of the current frames have the field: exact.
  Result<int64_t> CountPresent(FieldIndex field) const;

  /// kOutOfRange when position is not in [0, frames()).
  Result<FrameId> IdAt(int64_t position) const;
  /// Ids of positions [begin, begin + count).
  Result<std::vector<FrameId>> IdsAt(int64_t begin, int64_t count) const;
  /// kNotFound when the frame is not (or no longer) in the room. O(log n) unless frames were shuffled (then it may
  /// look at many runs).
  Result<int64_t> PositionOf(FrameId id) const;

  Result<int32_t> AtomCount(FrameId id) const;
  /// The newest version of the frame in this snapshot; 1 when it was never changed.
  Result<uint32_t> VersionOf(FrameId id) const;
  /// Newest first, at most `limit`.
  Result<std::vector<FrameVersion>> Versions(FrameId id, size_t limit) const;

  /// nullopt: the frame does not have the field (which is not a NaN).
  Result<std::optional<Row>> ReadRow(FieldIndex field, FrameId id, AtomRange atoms = {}) const;
  /// As ReadRow, but only when it needs no decoding and no file access: the row lies in the cache (or is stored
  /// unencoded) and no conversion applies. nullopt otherwise. Meant for I/O threads.
  std::optional<Row> ReadResidentRow(FieldIndex field, FrameId id) const;

  /// The rows of `ids` as one joined buffer a field; decodes on several threads when there is much to decode.
  Result<FrameBatch> Read(std::span<const FrameId> ids, std::span<const FieldIndex> fields,
                          AtomRange atoms = {}) const;

  /// A frame as an older version of it was: `version` in [1, VersionOf(id)]. Presence of fields as it was then.
  Result<FrameBatch> ReadVersion(FrameId id, uint32_t version, std::span<const FieldIndex> fields) const;

  /// The same commit with only these frames, in this order, and only these fields: for readers that take a whole
  /// snapshot. Chunks are shared; a frame may stand several times. kOutOfRange for a position that is not in [0, frames()).
  Result<Snapshot> Select(std::span<const PositionRun> frames, std::span<const FieldIndex> fields) const;

  /// sha256 over the frame's canonical bytes (docs/format.md, "Frame hash").
  Result<Sha256> HashFrame(FrameId id) const;
  /// The same of an older version, as ReadVersion.
  Result<Sha256> HashVersion(FrameId id, uint32_t version) const;

  /// What changed between `older` (a snapshot of the same room) and this one.
  struct Change {
    FrameId id = 0;
    std::vector<FieldIndex> fields;  // whose rows differ; empty for frames that came or went
    bool added = false, removed = false;
  };
  struct Changes {
    std::vector<Change> frames;  // by id
    bool order_changed = false;  // frames present in both stand at other positions
  };
  Result<Changes> ChangesSince(const Snapshot& older) const;

  const internal::RoomState& state() const { return *state_; }
  const std::shared_ptr<internal::StoreCore>& store() const { return store_; }

 private:
  std::shared_ptr<internal::StoreCore> store_;
  std::shared_ptr<const internal::RoomState> state_;
};

}  // namespace zn
