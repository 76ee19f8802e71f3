// The log makes commits durable. It is the only place that decides what is acknowledged.
//
// A *group* is a header (4 KiB aligned, {sequence, length, durable_to}) and records. One group is built while the one
// before it is being written and synced; what arrives meanwhile shares it. Append() assigns the records' places at
// once, so that records may refer to each other before they are written; Wait() returns when they are durable.
//
// Implementations: LocalLog (files STORE/log/NNNNNN.log, at most 64 MiB or one group if that is larger; each opens
// with a checkpoint) and MemoryLog (tests; loses, tears and reorders writes and fails syncs on demand). Both pass
// tests/engine/log/log_conformance.h. An S3 log would be the third.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "log/record.h"
#include "zn/engine/buffer.h"
#include "zn/engine/error.h"

namespace zn {

/// A record to be appended. `payload` may be empty at first: see Log::Append.
struct PendingRecord {
  RecordType type;
  std::vector<std::byte> payload;
};

/// Names one Append; pass it to Wait.
using Ticket = uint64_t;

/// A record found while recovering or tailing.
struct LoggedRecord {
  RecordType type;
  RecordRef ref;
  std::span<const std::byte> payload;  // valid during the callback
};

class Log {
 public:
  virtual ~Log() = default;

  /// Builds records and puts them into the group that is being gathered, all of them into the same group. `build` is
  /// called under the log's lock with a function that appends one record and returns its final reference, so a later
  /// record can hold the references of earlier ones. If `build` fails nothing is appended.
  /// kUnavailable after a failed write or sync.
  using AppendRecord = std::function<RecordRef(RecordType, std::vector<std::byte> payload)>;
  virtual Result<Ticket> Append(const std::function<Result<>(const AppendRecord&)>& build) = 0;

  /// Returns when the ticket's group is durable, or with the error why it will never be. The caller may be made the
  /// one who writes the group for all that wait.
  virtual Result<> Wait(Ticket ticket) = 0;

  /// The sequence of the newest durable group.
  virtual uint64_t durable_sequence() const = 0;
  /// The sequence of the group of a ticket.
  virtual uint64_t SequenceOf(Ticket ticket) const = 0;

  /// The payload of a record, from the map; its CRC is checked on first use in this process. Valid as long as the log.
  /// Records of the group that is still gathered or being written can be read too. kCorrupt, kNotFound.
  virtual Result<std::span<const std::byte>> Read(const RecordRef& ref) const = 0;

  /// Called under the lock when a new file is begun: gives the payload of its checkpoint record.
  using CheckpointWriter = std::function<std::vector<std::byte>()>;
  virtual void SetCheckpointWriter(CheckpointWriter writer) = 0;
  /// Writes a checkpoint now (also at a clean close, so that opening reads nothing else).
  virtual Result<> Checkpoint() = 0;

  /// Replays what is durable from the newest checkpoint on, in order; also how a reader in another process follows:
  /// each call continues where the last one ended. The checkpoint comes first, as its record. Opening for writing
  /// replays once before anything is appended; a torn tail has then been moved to quarantine/.
  virtual Result<> Replay(const std::function<Result<>(uint64_t sequence, const LoggedRecord&)>& visit) = 0;

  struct Stats {
    int64_t groups = 0, bytes_written = 0, syncs = 0, files = 0;
  };
  virtual Stats stats() const = 0;
};

struct LocalLogOptions {
  std::string directory;       // STORE/log
  std::string head_path;       // STORE/head
  std::string quarantine;      // STORE/quarantine
  uint32_t salt = 0;
  bool read_only = false;
  int64_t max_file_bytes = 64 << 20;
};

/// Opens and recovers. kCorrupt naming file and offset for damage below a later group's durable_to; a torn tail is
/// copied to quarantine/ and the log goes on in a new file. A new log has no records (Replay visits none).
Result<std::unique_ptr<Log>> OpenLocalLog(const LocalLogOptions& options);

}  // namespace zn
