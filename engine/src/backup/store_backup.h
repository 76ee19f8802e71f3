// Backing up a store's files: which lists of objects they are made of.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "backup/file_list.h"
#include "backup/object_writer.h"
#include "backup/pipeline.h"
#include "backup/snapshot_document.h"
#include "backup/store_files.h"
#include "base/rate_limit.h"
#include "zn/engine/backup.h"

namespace zn::backup {

/// Used once, by one thread.
class StoreBackup {
 public:
  StoreBackup(const Repository& repository, ObjectWriter& writer, const BackupControl& control);

  /// Fills in `snapshot.files`, `bytes` and `damaged`. What `parent` (null: none) has of the same
  /// store is not read again.
  Result<> Run(const StoreFiles& store, const SnapshotDocument* parent, SnapshotDocument& snapshot);

 private:
  struct Building;  // a file's lists in the making
  Result<FileRecord> One(const SourceFile& file, const FileRecord* parent);
  Result<> Pack(const SourceFile& file, Building& building);
  Result<> Log(const SourceFile& file, Building& building);
  Result<> Plain(const SourceFile& file, uint64_t begin, uint64_t end, Building& building);
  Result<> Damage(const SourceFile& file, uint64_t begin, uint64_t end, const std::string& what,
                  Building& building);
  Result<> CheckRecord(const SourceFile& file, uint64_t offset, std::span<const std::byte> record,
                       Piece& piece, std::atomic<bool>& damaged);
  Result<> Flush(Building& building);
  Result<> Read(const SourceFile& file, uint64_t offset, std::span<std::byte> out);
  Result<> Step(uint64_t bytes);
  void Warn(const std::string& text);

  const Repository& repository_;
  ObjectWriter& writer_;
  const BackupControl& control_;
  RateLimit rate_;
  Pipeline pipeline_;
  uint32_t salt_ = 0;
  uint64_t done_ = 0, total_ = 0;
  std::mutex mutex_;
  uint32_t damaged_ = 0;  // guarded by mutex_
};

/// Is `parent` a snapshot of what `store` was earlier? (Not of another store with the same UUID: a
/// restored one that went its own way since.)
Result<bool> Continues(const StoreFiles& store, const SnapshotDocument& parent);

}  // namespace zn::backup
