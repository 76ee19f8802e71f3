// A disk in memory for tests, which loses what was not synced.
//
// Files are memfds, so they are read and mapped as real ones are, and show every write at once, as
// the page cache does. Beside that each file knows what of it has reached the disk. AfterCrash()
// makes the disk that the next process finds.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/file_system.h"

namespace zn {

class MemoryFileSystem : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  /// What becomes of writes and names that were not synced. Files that are never synced come back
  /// as they are, or (torn, reordered) as they were at some earlier operation.
  enum class Crash {
    kRestart,  // only the process ended: the page cache still has everything, the disk still lacks
               // it
    kLost,     // none survives
    kTorn,  // they survive in order up to some point, which may lie within a write, at a multiple
            // of 512
    kReordered,  // any subset of their sectors of 512 bytes survives
  };
  /// A new disk, without faults; this one is left as it is. Equal seeds give equal disks.
  std::shared_ptr<MemoryFileSystem> AfterCrash(Crash crash, uint64_t seed) const;

  enum class Operation { kWrite, kSync };
  /// The nth (from 0) operation of this kind from now on fails; a failed write leaves a part of its
  /// bytes, a failed sync leaves the page cache claiming that all is written. Later ones succeed.
  void FailOnce(Operation operation, int64_t nth, ErrorCode code = ErrorCode::kIo);
  /// The nth operation of any kind (writes, syncs, names) and every one after it fail.
  void FailFrom(int64_t nth);
  /// How many operations there were.
  int64_t operations() const;
  int64_t syncs() const;

  /// What a damaged or tampered disk has: changes both the cache and the disk.
  Result<> Damage(const std::string& path, int64_t offset, std::span<const std::byte> bytes);
  Result<> Cut(const std::string& path, int64_t size);
  Result<std::vector<std::byte>> Contents(const std::string& path) const;

  Result<std::unique_ptr<WritableFile>> Create(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path) override;
  Result<File> OpenForReading(const std::string& path) const override;
  Result<File> OpenUnsynced(const std::string& path, int64_t size) override;
  Result<std::vector<std::string>> List(const std::string& directory) const override;
  Result<> MakeDirectory(const std::string& path) override;
  Result<> Rename(const std::string& from, const std::string& to) override;
  Result<> Remove(const std::string& path) override;
  Result<> SyncDirectory(const std::string& path) override;
  Result<> PunchHole(const std::string& path, int64_t offset, int64_t size) override;

 private:
  struct Node;
  class Handle;
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  Result<> CountOperation(const char* what, const std::string& path);  // REQUIRES: mutex_ held
  Result<> Write(Node& node, int64_t offset, std::span<const std::span<const std::byte>> pieces);
  Result<> Sync(Node& node);
  Result<std::shared_ptr<Node>> Find(const std::string& path) const;  // REQUIRES: mutex_ held

  mutable std::mutex mutex_;
  // All guarded by mutex_.
  Names names_;
  Names durable_names_;
  std::set<std::string> directories_;
  int64_t operations_ = 0, writes_ = 0, syncs_ = 0;
  int64_t fail_from_ = INT64_MAX, fail_write_ = -1, fail_sync_ = -1;
  ErrorCode fail_code_ = ErrorCode::kIo;
};

}  // namespace zn
