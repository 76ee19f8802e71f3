// A store: a directory with rooms, opened by one writer and any number of readers in other processes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "zn/engine/room.h"

namespace zn {

struct CacheOptions {
  int64_t max_bytes = int64_t{4} << 30;  // of NPY files on disk (their pages are the page cache's)
  int64_t max_maps = 16384;
  int64_t max_heap_bytes = 32 << 20;     // for what cannot be a file: texts, and everything on a full disk
};

struct StoreOptions {
  bool create = false;     // make the directory when there is none
  bool read_only = false;  // no lock; follows the writer, also one in another process
  int threads = 0;         // of the pool for encoding and decoding; 0: one a core
  CacheOptions cache;
  /// Merge short chunks and windows with many pieces on a thread of the store's own, in commits that change no version.
  bool background_maintenance = true;
  /// Unix time in nanoseconds; tests pass their own.
  std::function<int64_t()> clock;
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
  /// O(1): the new room starts at `at` of `base` (its head when not given) and shares everything.
  virtual Result<std::shared_ptr<Room>> ForkRoom(const std::string& base, std::optional<CommitId> at,
                                                 const std::string& name, const CommitContext& context) = 0;
  virtual Result<> DeleteRoom(const std::string& name, const CommitContext& context) = 0;

  /// Readers of a store that another process writes: takes in what it committed since. No-op for the writer.
  virtual Result<> Refresh() = 0;

  struct Stats {
    int64_t cache_bytes = 0, cache_files = 0, cache_hits = 0, cache_misses = 0;
    int64_t log_bytes_written = 0, pack_bytes_written = 0, groups = 0, commits = 0;
    int64_t log_files = 0, packs = 0, rooms = 0;
  };
  virtual Stats stats() const = 0;
};

/// "kInvalidArgument" with the rule when `name` is not [A-Za-z0-9._-]{1,128} without a leading dot, or is the name of a
/// Zarr metadata document.
Result<> ValidateRoomName(std::string_view name);

}  // namespace zn
