// The first pass of a check: every file from its first byte to its last, whatever refers to it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/rate_limit.h"
#include "base/thread_pool.h"
#include "check/check_state.h"
#include "check/findings.h"
#include "check/store_image.h"
#include "log/group.h"
#include "room/records.h"
#include "zn/engine/check.h"

namespace zn::check {

/// A record as a scan met it.
struct ScannedRecord {
  RecordType type;
  RecordRef ref;
};

/// Shared by the passes: what was asked, and who is told.
struct CheckRun {
  StoreImage& image;
  const CheckOptions& options;
  Findings& findings;
  CheckSummary& summary;
  ThreadPool& pool;
  std::function<void(const CheckProgress&)> progress;

  bool cancelled() const {
    return options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed);
  }
  void Progress(std::string_view stage, int64_t done, int64_t total) const {
    if (progress) progress({stage, done, total});
  }
};

/// What the log says at its end.
struct LogEnd {
  std::map<uint64_t, RefRecord> rooms;  // every living room's newest ref
  RecordsAt records;                    // the control records
};

class Scan {
 public:
  explicit Scan(CheckRun& run)
      : run_(run),
        rate_(run.options.bytes_per_second),
        state_(run.options.resume_file, FormatUuid(run.image.superblock().uuid),
               run.options.sample_part, run.options.sample_of) {}

  /// Groups and records of all log files, and what they say of the rooms.
  Result<LogEnd> Logs();
  /// Records and indexes of all packs.
  Result<> Packs();
  /// Files that should not be there.
  void Leftovers();

 private:
  struct LogFile;
  Result<> OneLog(LogFile& log, LogEnd& end);
  void OneGroup(LogFile& log, const GroupHeader& header, std::span<const std::byte> bytes,
                LogEnd& end);
  /// A group of a file that the collection has given parts of back: the records that are left of it.
  void PunchedGroup(const LogFile& log, const GroupHeader& header, std::span<const std::byte> bytes);
  Result<> OnePack(FileImage& file);
  void CheckIndex(const FileImage& file, const std::vector<ScannedRecord>& records);
  std::vector<ScannedRecord> RecordsOf(const FileImage& file);
  std::optional<uint64_t> NextRecord(const FileImage& file, uint64_t from) const;
  void Hash(const FileImage& file, const std::vector<ScannedRecord>& records);
  void HashOne(const FileImage& file, const ScannedRecord& record);
  bool Sampled(const Sha256& name) const;

  CheckRun& run_;
  RateLimit rate_;
  CheckState state_;
  std::optional<uint64_t> durable_sequence_;  // of the log; nullopt when it cannot be opened
  uint64_t last_sequence_ = 0;
  bool after_hole_ = false;  // what the collection took away stands between the last group and the next
  int64_t done_ = 0, total_ = 0;
};

}  // namespace zn::check
