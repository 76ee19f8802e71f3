// Control records: a small, durable, ordered map from byte keys to byte values beside the rooms, and the audit log in it.
//
// It holds what must be all or nothing with a commit, or outlive a restart: fences of locks, state records, results of
// idempotent requests, tokens. The engine knows nothing of what they mean; callers agree on the first part of their keys
// ("fence", "state", ...; docs/format.md lists those of the server), and the engine keeps "audit" for itself.
//
// Changes are made in transactions, which are sequenced one after another with the commits of all rooms: one that comes
// with a commit (CommitContext::also) becomes durable and visible with it or not at all; Store::Update makes one alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"

namespace zn {

namespace internal {
class RecordTable;
struct RecordState;
}  // namespace internal

inline constexpr size_t kMaxRecordKey = 1024;          // bytes; at least 1
inline constexpr size_t kMaxRecordValue = 1 << 20;     // bytes
inline constexpr size_t kMaxAuditLine = 64 << 10;      // bytes

struct Record {
  std::string key, value;
};

/// One line of a room's audit log. `sequence` counts 1, 2, ... per room name.
struct AuditLine {
  uint64_t sequence = 0;
  std::string line;
};

/// What records can be read from: a view, or a transaction.
class RecordReader {
 public:
  virtual ~RecordReader() = default;
  /// nullopt when there is none. kCorrupt and kIo as any read of the store.
  virtual Result<std::optional<std::string>> Get(std::string_view key) const = 0;
  /// Records with begin <= key < end in the order of their bytes, at most `limit`; an empty `end` is no bound.
  virtual Result<std::vector<Record>> Scan(std::string_view begin, std::string_view end, size_t limit) const = 0;

  /// Records whose key begins with `prefix`, from the first key that is greater than `after` on ("": from the first).
  Result<std::vector<Record>> ScanPrefix(std::string_view prefix, size_t limit, std::string_view after = {}) const;
  /// Lines of a room's audit log with sequence > after, oldest first, at most `limit`. Old ones are gone: the newest
  /// StoreOptions::audit_lines of each room are kept.
  Result<std::vector<AuditLine>> Audit(std::string_view room, uint64_t after, size_t limit) const;
};

/// The records as they were at one moment: all that is durable, nothing that is not. A cheap handle on immutable state;
/// all members may be called from any thread at once, and none waits for a writer. It must not outlive its Store.
class RecordView final : public RecordReader {
 public:
  explicit RecordView(std::shared_ptr<const internal::RecordTable> table);
  Result<std::optional<std::string>> Get(std::string_view key) const override;
  Result<std::vector<Record>> Scan(std::string_view begin, std::string_view end, size_t limit) const override;
  /// Grows with every transaction that changed something.
  uint64_t generation() const;

 private:
  std::shared_ptr<const internal::RecordTable> table_;
  std::shared_ptr<const internal::RecordState> state_;
};

/// Changes that are being made. Reads see every transaction sequenced before this one (durable or about to be) and this
/// one's own changes. It lives during the callback that gets it, on that thread, under the lock that all writers of the
/// store share: it must be short, and must not call anything else of the store but read a Snapshot.
class RecordTransaction : public RecordReader {
 public:
  /// kInvalidArgument for a key or value beyond its bound, or a key of the engine's own.
  virtual Result<> Put(std::string_view key, std::string_view value) = 0;
  /// Nothing happens when there is no such record.
  virtual Result<> Erase(std::string_view key) = 0;
  /// Adds a line to the audit log of `room` (any name of at most 128 bytes; "" for what concerns no room). The oldest
  /// lines beyond StoreOptions::audit_lines go.
  virtual Result<> AppendAudit(std::string_view room, std::string_view line) = 0;
};

/// An error of it refuses everything: nothing of the transaction, nor of the commit it came with, happens.
using RecordChanges = std::function<Result<>(RecordTransaction&)>;

}  // namespace zn
