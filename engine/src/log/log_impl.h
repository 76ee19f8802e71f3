// The Log over a FileSystem: group commit with a leader among the waiters. See log.h.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "log/head.h"
#include "log/log.h"
#include "log/log_maps.h"
#include "log/recovery.h"

namespace zn {

class LogImpl : public Log {
 public:
  static Result<std::unique_ptr<Log>> Open(std::shared_ptr<FileSystem> files,
                                           const LogOptions& options);

  Result<Ticket> Append(const std::function<Result<>(const AppendRecord&)>& build) override;
  Result<> Wait(Ticket ticket) override;
  uint64_t durable_sequence() const override;
  uint64_t SequenceOf(Ticket ticket) const override { return ticket; }
  Result<Buffer> Read(const RecordRef& ref) const override;
  Result<std::span<const std::byte>> ReadDurable(const RecordRef& ref) const override {
    return maps_.Read(ref);
  }
  void SetCheckpointWriter(CheckpointWriter writer) override;
  Result<> Checkpoint() override;
  Result<> Replay(const std::function<Result<>(uint64_t, const LoggedRecord&)>& visit) override;
  Result<std::vector<ClosedFile>> ListClosed() const override;
  Result<> Remove(uint32_t file) override;
  Result<> GiveBack(uint32_t file, std::span<const std::pair<uint64_t, uint64_t>> parts) override;
  Stats stats() const override;

 private:
  struct Record {
    std::array<std::byte, kRecordHeaderSize> header;
    std::vector<std::byte> payload;
    uint64_t offset;  // of the payload in the file
  };
  enum Signal : int { kGathering, kLead, kDone, kFailed };

  /// Becomes durable as one. Tickets are the sequences of groups.
  struct Group {
    GroupHeader header;   // position, sequence, flags from the start; the rest when sealed
    uint64_t length = 0;  // so far, with the header
    std::vector<Record>
        records;      // guarded by pending_mutex_ until the group is sealed, then constant
    int waiters = 0;  // guarded by mutex_
    std::optional<Error> error;  // set before `signal` is kFailed
    std::atomic<int> signal{kGathering};
  };

  LogImpl(std::shared_ptr<FileSystem> files, const LogOptions& options);
  Result<> Recover();
  Result<std::optional<Head>> ReplayTarget();
  bool OfThisBoot(const Head& head) const {
    return head.boot == 0 || options_.boot == 0 || head.boot == options_.boot;
  }

  // REQUIRES: mutex_ held, for all of these.
  Error Failure() const;
  std::shared_ptr<Group> BeginGroup();
  RecordRef AddRecord(Group& group, RecordType type, std::vector<std::byte> payload);
  void DropFrom(Group& group, size_t records, uint64_t length);
  void LeadGroup(std::unique_lock<std::mutex>& lock);  // released while it writes

  Result<> WriteGroup(const Group& group);  // by the leader only

  // Constant after Open.
  const std::shared_ptr<FileSystem> files_;
  const LogOptions options_;

  LogMaps maps_;
  std::unique_ptr<HeadPage> head_page_;  // a reader's may be missing at first
  std::unique_ptr<WritableFile> file_;   // used by the leader only

  mutable std::mutex mutex_;            // the append lock; before pending_mutex_
  CheckpointWriter checkpoint_writer_;  // guarded by mutex_, as all until pending_mutex_
  uint64_t next_sequence_ = 1;
  LogPosition next_;                   // where the next group begins, but for a change of file
  bool new_file_next_ = false;         // the newest file has a dead tail
  bool ends_with_checkpoint_ = false;  // nothing was appended since the newest checkpoint
  bool writing_ = false;               // there is a leader
  std::optional<Error> failure_;       // the first; nothing is written after it
  Head head_;                          // of what is durable
  Stats stats_;

  // Changed with both mutexes held, so that Read needs only this one.
  mutable std::shared_mutex pending_mutex_;
  std::shared_ptr<Group> gathering_;
  std::shared_ptr<Group> in_flight_;

  std::atomic<uint64_t> durable_sequence_{0};

  // Replay's; one thread at a time.
  LogPosition replayed_;  // {0, 0}: nothing yet
};

}  // namespace zn
