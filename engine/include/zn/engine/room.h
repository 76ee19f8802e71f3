// A room: a named, versioned trajectory in a store, and every change to it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/snapshot.h"
#include "zn/engine/version.h"

namespace zn {

/// Which commits, and which versions of frames, a room keeps besides its newest. What is beyond goes with the next
/// collection and is kPruned from then on.
struct Retention {
  int64_t commits = 0;      // the newest so many, maintenance not counted; 0: no such bound
  int64_t nanoseconds = 0;  // instead: the room as it was at any moment of the last so long; 0: no such bound
  /// Neither bound: everything is kept.
  bool keeps_all() const { return commits == 0 && nanoseconds == 0; }
  friend bool operator==(const Retention&, const Retention&) = default;
};
/// "all", a number of commits ("100"), or a duration ("36h"; units s, m, h, d, w). kInvalidArgument.
Result<Retention> ParseRetention(std::string_view text);
/// As ParseRetention takes it.
std::string FormatRetention(const Retention& retention);

/// What a room is besides its frames. Changing it makes no commit.
struct RoomModel {
  std::string description;   // at most 4 KiB
  bool locked = false;
  bool hidden = false;
  std::string metadata;      // free JSON, at most 64 KiB
  std::optional<Retention> retention;  // nullopt: the store's default (StoreOptions)
  friend bool operator==(const RoomModel&, const RoomModel&) = default;
};

struct RoomInfo {
  std::string name;
  RoomModel model;
  std::string base;  // "room@commit" it was forked from, or ""
  CommitId commit;
  int64_t frames = 0;
  uint64_t incarnation = 0;
};

/// What an edit of an existing frame is based on. Absent: whatever is newest.
struct BaseVersion {
  std::optional<uint32_t> version;
};

/// How new chunks are laid out, where the caller wants to say so (zn-import's --chunk and --codec).
struct LayoutOptions {
  int64_t target_chunk_bytes = 768 << 10;  // raw; see docs/decisions/
  int64_t frames_per_chunk = 0;            // 0: from target_chunk_bytes
  int64_t atoms_per_chunk = 0;             // 0: from the histogram of atom counts
  std::string codecs;                      // as ParseCodecs takes it; "": the default of the dtype
};

/// Where new frames go; checked in the step that commits.
struct Placement {
  std::optional<int64_t> before;          // a position in [0, frames]; absent: the end
  std::optional<FrameId> before_id;       // or: before this frame, wherever it stands by then
  std::optional<CommitId> expected_head;  // kConflict when it is not the head
};

/// Streams frames into one commit, at the end of a room or where Options::place says. Bounded memory: at most `max_bytes_in_flight` of raw rows
/// besides the batch at hand. Chunks are encoded and hashed on the store's pool and go to packs as they come; nothing
/// is visible before Finish. One thread at a time.
class BulkAppender {
 public:
  struct Options {
    LayoutOptions layout;
    int64_t max_bytes_in_flight = 256 << 20;
    int64_t histogram_frames = 4096;  // frames seen before atoms_per_chunk is chosen
    Placement place;                  // where the frames go; checked by Finish
    bool strict = false;              // fields keep their dtypes, as with Add; else they widen
    Operation operation = Operation::kImport;
  };
  struct Stats {
    int64_t frames = 0, atoms = 0, chunks = 0;
    int64_t raw_bytes = 0;           // of the rows without padding
    int64_t stored_bytes = 0;        // of the chunks that had to be written
    int64_t deduplicated_bytes = 0;  // encoded bytes that were there already
    std::vector<std::string> warnings;
  };
  virtual ~BulkAppender() = default;
  virtual Result<> Append(const FrameBatch& batch) = 0;
  /// Syncs, commits, and returns what was made. Destroying the appender without it leaves the room as it was.
  virtual Result<CommitInfo> Finish(const CommitContext& context) = 0;
  virtual Stats stats() const = 0;
};

/// A handle of a room. Every method that changes something is one commit: durable when it returns, all or nothing;
/// they may be called from any thread, and commits of several threads and rooms share a sync.
class Room {
 public:
  virtual ~Room() = default;
  virtual RoomInfo info() const = 0;
  /// The newest durable commit. Empty (false) only when its records cannot be read; HeadOrError says why.
  virtual Snapshot Head() const = 0;
  virtual Result<Snapshot> HeadOrError() const = 0;
  /// Changes whenever Head() does: a cheap test whether a kept snapshot is still the newest.
  virtual uint64_t head_generation() const = 0;
  /// The room as it was. kNotFound when the commit is not in its history.
  virtual Result<Snapshot> At(const CommitId& commit) const = 0;
  /// Newest first, from `from` (or the head), at most `limit`.
  virtual Result<std::vector<CommitSummary>> History(std::optional<CommitId> from, size_t limit) const = 0;

  virtual Result<CommitInfo> Append(const FrameBatch& batch, const CommitContext& context) = 0;
  /// Before `position` in [0, frames]. kConflict when `expected_head` is given and is not the head.
  virtual Result<CommitInfo> Insert(int64_t position, const FrameBatch& batch, const CommitContext& context,
                                    std::optional<CommitId> expected_head = {}) = 0;
  /// New frames at a place of the caller's choice.
  virtual Result<CommitInfo> Add(const FrameBatch& batch, const Placement& place, const CommitContext& context) = 0;
  /// Frames of a snapshot of any room of this store as new ones (new ids, version 1), by reference: no row is read or
  /// written. kTypeMismatch when a field is of another kind or shape here, or of a wider dtype there.
  virtual Result<CommitInfo> CopyFrames(const Snapshot& source, std::span<const FrameId> ids, const Placement& place,
                                        const CommitContext& context) = 0;
  /// `bases`: empty, or one for each id, checked in the step that commits.
  virtual Result<CommitInfo> Delete(std::span<const FrameId> ids, const CommitContext& context,
                                    std::optional<CommitId> expected_head = {},
                                    std::span<const BaseVersion> bases = {}) = 0;
  /// Moves frames [begin, begin + count) so that they start at `to` (a position after their removal).
  virtual Result<CommitInfo> Move(int64_t begin, int64_t count, int64_t to, const CommitContext& context) = 0;
  /// `order` is a permutation of all current ids.
  virtual Result<CommitInfo> Reorder(std::span<const FrameId> order, const CommitContext& context) = 0;

  /// Replaces the frame: fields that `frame` (a batch of one) does not have become absent.
  virtual Result<CommitInfo> Replace(FrameId id, const FrameBatch& frame, const CommitContext& context,
                                     BaseVersion base = {}) = 0;
  /// Sets the fields in `changes` (a batch of one, same atom count) and removes those in `remove`. A frame equal to
  /// what is stored makes no version and no commit (CommitInfo::changed is false), whatever it was based on: a retry
  /// of a write that came through is no conflict.
  virtual Result<CommitInfo> Edit(FrameId id, const FrameBatch& changes, std::span<const std::string> remove,
                                  const CommitContext& context, BaseVersion base = {}) = 0;
  /// Many frames at once, all or nothing: row k of `changes` is for ids[k], based on bases[k] (empty: unchecked).
  virtual Result<CommitInfo> EditMany(std::span<const FrameId> ids, const FrameBatch& changes,
                                      std::span<const BaseVersion> bases, const CommitContext& context) = 0;
  /// Along the frame's linear history, whoever wrote it; kOutOfRange when there is nothing left.
  virtual Result<CommitInfo> Undo(FrameId id, const CommitContext& context, BaseVersion base = {}) = 0;
  virtual Result<CommitInfo> Redo(FrameId id, const CommitContext& context, BaseVersion base = {}) = 0;
  /// Makes the content of an old commit the newest. Frames whose content changes get a new version above any before.
  virtual Result<CommitInfo> Restore(const CommitId& commit, const CommitContext& context,
                                     std::optional<CommitId> expected_head = {}) = 0;

  virtual Result<std::unique_ptr<BulkAppender>> StartBulkAppend(const BulkAppender::Options& options) = 0;
  virtual Result<> SetModel(const RoomModel& model, const CommitContext& context) = 0;
  /// As SetModel, with the new model made from the newest one in the step that commits; an error of `change` is returned
  /// and nothing is changed. `change` must not call into the store.
  virtual Result<RoomModel> UpdateModel(const std::function<Result<RoomModel>(const RoomModel&)>& change,
                                        const CommitContext& context) = 0;
  /// Merges short chunks and windows with many runs into whole chunks; changes no version. Returns chunks rewritten.
  virtual Result<int64_t> Compact(int64_t max_chunks) = 0;
};

}  // namespace zn
