// A store: a directory with rooms, opened by one writer and any number of readers in other processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "zn/engine/collect.h"
#include "zn/engine/records.h"
#include "zn/engine/room.h"

namespace zn {

struct CacheOptions {
  int64_t max_bytes = int64_t{4} << 30;  // of NPY files on disk (their pages are the page cache's)
  int64_t max_maps = 16384;
  int64_t max_heap_bytes = 32 << 20;     // for what cannot be a file: texts, and everything on a full disk
};

/// Collections by the store itself, on a thread of its own, while it is open for writing.
struct BackgroundCollection {
  int64_t bytes_per_second = 0;  // of reading and copying; 0: none of this
  /// One is due when this time has passed since the last and anything has changed; at once after much was written or a room
  /// deleted.
  std::chrono::milliseconds every = std::chrono::minutes(10);
};

struct StoreOptions {
  bool create = false;     // make the directory when there is none
  bool read_only = false;  // no lock; follows the writer, also one in another process
  int threads = 0;         // of the pool for encoding and decoding; 0: one a core
  CacheOptions cache;
  /// Merge short chunks and windows with many pieces on a thread of the store's own, in commits that change no version.
  bool background_maintenance = true;
  uint64_t audit_lines = 100'000;  // kept for each room
  Retention default_retention;     // of rooms that have none of their own
  BackgroundCollection collection;
  /// Free space of the disk that only undo, redo, deletions, locks and collections may use: other writes are kNoSpace
  /// before. 0: none is kept.
  int64_t reserve_bytes = 0;
  /// Unix time in nanoseconds; tests pass their own.
  std::function<int64_t()> clock;
};

/// One change of one room, as Store::Listener gets it. Valid during the call only.
struct RoomChange {
  enum class Kind {
    kCreated,  // by CreateRoom, an import or a fork: its first commit
    kCommit,   // any further one
    kModel,    // SetModel: no commit
    kDeleted,
  };
  Kind kind = Kind::kCommit;
  const std::string& room;
  uint64_t incarnation = 0;
  Operation operation = Operation::kCreate;  // of the commit; kMaintenance changes neither contents nor versions
  const Snapshot& before;                    // empty for kCreated
  const Snapshot& after;                     // equal to `before` for kModel and kDeleted
  const CommitInfo& info;                    // with the position; for kModel and kDeleted only the position
  const RoomModel& model_before;             // differs from model_after only for kModel
  const RoomModel& model_after;
  const CommitContext& context;              // actor and message
};

/// Owns every file. Rooms and snapshots must not outlive it. All members may be called from any thread.
class Store {
 public:
  /// kBusy when another process writes to it, kCorrupt naming file and offset when its log is damaged (the remedy is
  /// zn-fsck), kNotFound when there is none and `create` is false.
  static Result<std::unique_ptr<Store>> Open(const std::string& directory, const StoreOptions& options);
  virtual ~Store() = default;

  virtual std::string directory() const = 0;
  virtual std::string uuid() const = 0;
  virtual uint64_t epoch() const = 0;
  virtual Position position() const = 0;

  /// Sorted by name.
  virtual std::vector<RoomInfo> ListRooms() const = 0;
  virtual Result<std::shared_ptr<Room>> OpenRoom(const std::string& name) const = 0;
  virtual Result<std::shared_ptr<Room>> CreateRoom(const std::string& name, const RoomModel& model,
                                                   const CommitContext& context) = 0;
  /// A room whose first commit is an import: nothing of it is in the store before Finish returns. `base` ("room" or
  /// "room@commit", "" for none) is forked first. kAlreadyExists also while another such import holds the name.
  virtual Result<std::unique_ptr<BulkAppender>> CreateRoomByImport(const std::string& name, const RoomModel& model,
                                                                   const std::string& base,
                                                                   const BulkAppender::Options& options) = 0;
  /// O(1): the new room starts at `at` of `base` (its head when not given) and shares everything. Without `model` it has
  /// the base's description.
  virtual Result<std::shared_ptr<Room>> ForkRoom(const std::string& base, std::optional<CommitId> at,
                                                 const std::string& name, const CommitContext& context,
                                                 const std::optional<RoomModel>& model = {}) = 0;
  virtual Result<> DeleteRoom(const std::string& name, const CommitContext& context) = 0;

  /// The control records that are durable.
  virtual RecordView records() const = 0;
  /// A transaction of its own: durable and visible when it returns. When `changes` puts nothing, what it saw is durable.
  virtual Result<> Update(const RecordChanges& changes) = 0;

  /// Told of every change of every room that this process makes: once each, in the order of the room's history (also
  /// across a deletion and a new room of the same name), on the thread of some writer. When it is called the change is
  /// durable, and readers see it already; the call that made it returns after it. So whoever notes the listener's state
  /// first and takes a snapshot then misses nothing, and may only see a change twice.
  /// It must be quick (writers of the room wait for it; those of others do not, unless a room comes or goes), must not
  /// throw, and may read the snapshots but call nothing else of the store, its rooms or its records.
  using Listener = std::function<void(const RoomChange&)>;
  /// Before the first change, and once.
  virtual void SetListener(Listener listener) = 0;

  /// Gives space back (collect.h). One at a time: kBusy. Readers and writers go on; it runs on the calling thread. A store
  /// that is open for reading can only be asked for a dry run. kCorrupt when something that is referred to cannot be read:
  /// then nothing was taken away.
  virtual Result<CollectSummary> Collect(const CollectOptions& options,
                                         const std::function<void(const CollectProgress&)>& progress = {}) = 0;

  /// Readers of a store that another process writes: takes in what it committed since. No-op for the writer.
  virtual Result<> Refresh() = 0;

  struct Stats {
    int64_t cache_bytes = 0, cache_files = 0, cache_hits = 0, cache_misses = 0;
    int64_t log_bytes_written = 0, pack_bytes_written = 0, groups = 0, commits = 0;
    int64_t log_files = 0, packs = 0, rooms = 0;
    // Of all collections of this process.
    int64_t collections = 0, collections_failed = 0, collecting = 0;
    int64_t collected_bytes = 0, copied_bytes = 0, waiting_bytes = 0, commits_pruned = 0;
    int64_t disk_free_bytes = 0;  // for those who may not use the reserve
  };
  virtual Stats stats() const = 0;
};

/// "kInvalidArgument" with the rule when `name` is not [A-Za-z0-9._-]{1,128} without a leading dot, or is the name of a
/// Zarr metadata document.
Result<> ValidateRoomName(std::string_view name);

}  // namespace zn
