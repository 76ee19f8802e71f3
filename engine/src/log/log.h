// The log makes commits durable. It is the only place that decides what is acknowledged.
//
// A *group* is a header (4 KiB aligned, {sequence, length, durable_to}) and records. One group is built while the one
// before it is being written and synced; what arrives meanwhile shares it. Append() assigns the records' places at
// once, so that records may refer to each other before they are written; Wait() returns when they are durable.
//
// Implementations: OpenLog over a FileSystem. OpenLocalLog keeps files STORE/log/NNNNNN.log, at most 64 MiB or one group
// if that is larger; each opens with a checkpoint. OpenMemoryLog (memory_log.h, for tests) runs the same code over a
// disk image that loses, tears and reorders writes and fails syncs on demand. Both pass
// tests/engine/log/log_conformance.h. An S3 log would be another class.
//
// Locks: callers' own locks (a room's) come first, then the log's append lock, which is held while `build` and the
// CheckpointWriter run; those may call Read and ReadDurable, but not Append, Wait, Checkpoint or Replay.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file_system.h"
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
  /// record can hold the references of earlier ones. If `build` fails nothing is appended. If it appends nothing, the
  /// ticket is that of what was sequenced last: once it is durable, so is all that `build` can have seen.
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

  /// The payload of a record; its CRC is checked on first use in this process. Records of the group that is still
  /// gathered or being written can be read too: the Buffer then shares that group's memory. Once the record is durable
  /// the Buffer points into the file's map, which lives as long as the log, and has no owner: it costs no reference
  /// count, and must not outlive the log. kCorrupt, kNotFound.
  virtual Result<Buffer> Read(const RecordRef& ref) const = 0;

  /// As Read, for records known to be durable (every record a Wait or Replay has returned from); kNotFound for others.
  /// Valid as long as the log.
  virtual Result<std::span<const std::byte>> ReadDurable(const RecordRef& ref) const = 0;

  /// Called under the append lock when a new file is begun, before the `build` whose records come first in it: gives the
  /// payload of its checkpoint record, the state after every Append until then. Callers that update what they have
  /// sequenced inside `build` are therefore consistent with it. Without a writer the payload is empty.
  using CheckpointWriter = std::function<std::vector<std::byte>()>;
  virtual void SetCheckpointWriter(CheckpointWriter writer) = 0;
  /// Writes a checkpoint now, and waits until it is durable (also at a clean close, so that opening reads nothing else).
  virtual Result<> Checkpoint() = 0;

  /// Replays what is durable from the newest checkpoint on, in order; also how a reader in another process follows:
  /// each call continues where the last one ended. The checkpoint comes first, as its record; further kCheckpoint
  /// records come wherever one was written, and restate everything before them. Opening for writing replays once before
  /// anything is appended; a torn tail has then been copied to quarantine/. One thread at a time. When `visit` fails,
  /// Replay returns its error and the next call begins with the same group again.
  virtual Result<> Replay(const std::function<Result<>(uint64_t sequence, const LoggedRecord&)>& visit) = 0;

  // For the collection, one thread at a time.

  /// A file that gets no more groups, and that opening the log does not read.
  struct ClosedFile {
    uint32_t number = 0;
    uint64_t size = 0;
    int64_t allocated = 0;   // bytes of the disk that it takes
    bool removable = false;  // opening looks at its size, while false
  };
  /// Of what is durable now, by number. What is appended from now on goes to files with greater numbers.
  virtual Result<std::vector<ClosedFile>> ListClosed() const = 0;
  /// Removes a file, or gives back the space of parts of it (whole blocks of 4 KiB within [first, second) of each).
  /// REQUIRES: it is closed, and nothing refers to a record there. Maps of it stay.
  virtual Result<> Remove(uint32_t file) = 0;
  virtual Result<> GiveBack(uint32_t file, std::span<const std::pair<uint64_t, uint64_t>> parts) = 0;

  struct Stats {
    int64_t groups = 0, bytes_written = 0, syncs = 0, files = 0;
  };
  virtual Stats stats() const = 0;
};

struct LogOptions {
  std::string directory;       // STORE/log; made when missing, unless read_only
  std::string head_path;       // STORE/head
  std::string quarantine;      // STORE/quarantine
  uint32_t salt = 0;
  bool read_only = false;
  uint64_t boot = 0;           // names the machine's current boot; 0: not known
  int64_t max_file_bytes = 64 << 20;  // a group that passes it is the last one of its file
};
using LocalLogOptions = LogOptions;

/// Opens and recovers. kCorrupt naming file and offset for damage below a later group's durable_to; a torn tail is
/// copied to quarantine/ and the log goes on in a new file. A new log has no records (Replay visits none).
Result<std::unique_ptr<Log>> OpenLog(std::shared_ptr<FileSystem> files, const LogOptions& options);

/// OpenLog over the local disk.
Result<std::unique_ptr<Log>> OpenLocalLog(const LocalLogOptions& options);

}  // namespace zn
