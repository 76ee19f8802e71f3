// Backups of stores, and of Zarr directories, in a repository: what zn-backup does, as a library.
// docs/backup.md.
//
// A repository is a directory with objects that are named by their content, in files of many, and
// snapshots that say of which objects a source was made at one moment. So what any snapshot has, of
// whichever source, is stored once, and the next snapshot of the same source costs what is new.
// With a password everything is encrypted and authenticated (AES-256-GCM), and names are keyed
// hashes.
//
// A store may be written to while it is backed up: the snapshot has everything that was
// acknowledged before it began, and what came since up to one moment, as a crash at that moment
// would have left it, but without the crash. Whatever process is killed at whatever time, the
// repository is whole; what it had stored is used by the next.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/error.h"
#include "zn/engine/store.h"
#include "zn/engine/version.h"

namespace zn {

struct BackupProgress {
  std::string_view stage;        // "backing up", "restoring", "reading", ...
  uint64_t done = 0, total = 0;  // bytes, or objects where a stage is of objects
};

/// How to work, for everything that takes long.
struct BackupControl {
  int64_t bytes_per_second = 0;  // read from the source or the repository; 0: no limit
  int threads = 0;               // 0: one a core
  const std::atomic<bool>* cancel = nullptr;
  /// Called on the calling thread.
  std::function<void(const BackupProgress&)> progress;
  /// What is damaged, stale or left out, in words; from any thread, one at a time.
  std::function<void(const std::string&)> warning;
};

/// One snapshot.
struct BackupSnapshot {
  std::string id;        // 32 hex digits
  std::string parent;    // the snapshot that it continued, or ""
  bool is_store = true;  // else a directory
  int64_t time_ns = 0;   // Unix
  std::string host, source, description;
  std::vector<std::string> tags;
  std::string store;      // UUID of a store
  uint64_t sequence = 0;  // of the store's newest group
  uint64_t files = 0, bytes = 0;
  uint64_t new_bytes = 0, new_objects = 0;  // what it added to the repository
  uint32_t damaged = 0;                     // places of the source that were damaged then
};

struct BackupOptions {
  std::string description;
  std::vector<std::string> tags;
  std::string host;                // "": this machine's name
  bool read_all = false;           // do not rely on what the last snapshot of the same source has
  std::function<int64_t()> clock;  // Unix time in nanoseconds; tests pass their own
};

struct BackupVerifyOptions {
  bool read_data = false;                   // read every object, and compare it with its name
  uint32_t subset_part = 1, subset_of = 1;  // of the bundles; for read_data
};
struct BackupVerifySummary {
  uint64_t snapshots = 0, bundles = 0, objects = 0, lists = 0;
  uint64_t bundles_read = 0, bytes_read = 0;
  uint64_t unused_bytes = 0;  // that no snapshot needs: prune gives them back
  uint64_t problems = 0;
};

struct RestoreOptions {
  bool keep_id =
      false;  // the store keeps its UUID; else it gets a new one, as there may be two of it by then
  bool keep_going = false;  // past damaged objects: what they made is zeros
};
struct RestoreSummary {
  uint64_t files = 0, bytes = 0;
  uint64_t resumed_bytes = 0;  // of files that an earlier run had restored
  uint64_t damaged = 0;        // objects that could not be read, with keep_going
};

/// Which snapshots of a source are kept: the newest `last`, and the newest of each of the newest
/// `daily` days that have one (UTC), and so on. Also those with one of `tags`.
struct KeepRules {
  int last = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0;
  std::vector<std::string> tags;
  bool empty() const {
    return last == 0 && daily == 0 && weekly == 0 && monthly == 0 && yearly == 0 && tags.empty();
  }
};
struct PruneOptions {
  KeepRules keep;  // none at all: every snapshot is kept
  bool dry_run = false;
  double max_unused =
      0.5;  // bundles are written anew when more than this part of them is not needed
};
struct PruneSummary {
  std::vector<BackupSnapshot> kept, removed;
  uint64_t bundles_removed = 0, bundles_rewritten = 0;
  uint64_t freed_bytes = 0;  // on disk, what was written anew taken off
  uint64_t bytes = 0;        // of the repository's bundles afterwards
};

/// An open repository. One thread at a time; several processes and objects at once are safe.
class BackupRepository {
 public:
  struct Access {
    std::optional<std::string> password;
    std::chrono::milliseconds wait{0};  // for another process's lock
    int scrypt_log_n = 17;              // of a new repository: 2^log_n · 1 KiB of memory
    std::function<void(const std::string&)> notice;  // of stale locks that are removed
  };
  /// With a password the repository is encrypted, for ever. kAlreadyExists, kInvalidArgument when
  /// the directory has other files.
  static Result<std::unique_ptr<BackupRepository>> Create(const std::string& directory,
                                                          const Access& access);
  /// kNotFound: there is none. kInvalidArgument: the password is wrong or missing.
  static Result<std::unique_ptr<BackupRepository>> Open(const std::string& directory,
                                                        const Access& access);
  virtual ~BackupRepository() = default;

  virtual bool encrypted() const = 0;
  /// Oldest first. kCorrupt when one cannot be read, unless `damaged` is told.
  virtual Result<std::vector<BackupSnapshot>> List(
      const std::function<void(const std::string&)>& damaged = {}) = 0;
  /// By id, or by a part of at least 4 digits that it begins with; "latest" is the newest.
  /// kNotFound, kInvalidArgument.
  virtual Result<BackupSnapshot> Find(std::string_view id) = 0;

  /// Backs up a store, or a Zarr directory. kNotFound when `source` is neither. Damage in the
  /// source is told to `control.warning` and counted in the snapshot, which has the bytes as they
  /// are.
  virtual Result<BackupSnapshot> Backup(const std::string& source, const BackupOptions& options,
                                        const BackupControl& control) = 0;

  /// Everything, into `target`, which must not be there or be empty. It appears there whole, or not
  /// at all; another run after one that ended early goes on. A store's next epoch is far beyond any
  /// that the backed up one can have given fences of since, so none of those is valid here.
  virtual Result<RestoreSummary> Restore(const std::string& id, const std::string& target,
                                         const RestoreOptions& options,
                                         const BackupControl& control) = 0;
  /// The snapshot of a store, to read from; only what is asked for is read. `scratch` is an empty
  /// directory for what has to be a file; the caller removes it after the store is closed. The
  /// repository must outlive the store.
  virtual Result<std::unique_ptr<Store>> OpenSnapshot(const std::string& id,
                                                      const std::string& scratch) = 0;

  /// Problems are told to `control.warning`.
  virtual Result<BackupVerifySummary> Verify(const BackupVerifyOptions& options,
                                             const BackupControl& control) = 0;
  /// Forgets snapshots, and removes what no other needs. Nobody else may use the repository
  /// meanwhile: kBusy.
  virtual Result<PruneSummary> Prune(const PruneOptions& options, const BackupControl& control) = 0;

  /// The content with this SHA-256, if any snapshot has it as an object: a chunk that a store has
  /// lost, say. kCorrupt.
  virtual Result<std::optional<Buffer>> FindContent(const Sha256& content) = 0;
  /// A store's superblock as the snapshot has it; empty for that of a directory.
  virtual Result<std::vector<std::byte>> SuperblockOf(const std::string& id) = 0;
  /// Writes one file of a store ("log/000001.log") as the snapshot has it to `path`, where nothing may be; zeros stand for
  /// objects that are damaged. kNotFound: the snapshot has no such file.
  virtual Result<> RestoreFile(const std::string& id, const std::string& file,
                               const std::string& path) = 0;
};

}  // namespace zn
