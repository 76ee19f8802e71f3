// Making a store of a snapshot's files again.
#pragma once

#include <string>

#include "backup/file_list.h"
#include "backup/pipeline.h"
#include "backup/repository.h"
#include "base/rate_limit.h"
#include "pack/pack_format.h"
#include "zn/engine/backup.h"

namespace zn::backup {

/// What a lost object's restore tells, and counts.
class RestoreRun {
 public:
  RestoreRun(const Repository& repository, const RestoreOptions& options,
             const BackupControl& control, uint64_t total);

  /// The object, which fills `out`; without it, with keep_going, zeros, told and counted. `where` it
  /// belongs is for messages. From any thread.
  Result<> Object(const Sha256& content, std::span<std::byte> out, const std::string& where);
  Result<> Step(uint64_t bytes);
  Pipeline& pipeline() { return pipeline_; }
  const Repository& repository() const { return repository_; }
  uint64_t damaged() const { return damaged_; }

 private:
  const Repository& repository_;
  const RestoreOptions& options_;
  const BackupControl& control_;
  const uint64_t total_;
  uint64_t done_ = 0;
  std::atomic<uint64_t> damaged_{0};
  std::mutex mutex_;
  RateLimit rate_;
  Pipeline pipeline_;
};

/// Writes a file of a store to `path`, synced. `entries`: a pack's records. REQUIRES: nothing is at
/// `path`.
Result<> RestoreFile(RestoreRun& run, const FileRecord& file, uint32_t salt,
                     const std::string& path, std::vector<PackEntry>* entries);

/// Restores a whole store into the directory `target`, which may hold what an earlier run restored
/// of the same snapshot.
Result<RestoreSummary> RestoreStore(const Repository& repository, const SnapshotDocument& snapshot,
                                    const std::string& target, const RestoreOptions& options,
                                    const BackupControl& control);

}  // namespace zn::backup
