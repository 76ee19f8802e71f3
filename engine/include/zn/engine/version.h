// Versions, commits and what writing them needs.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"
#include "zn/engine/field.h"

namespace zn {

/// 32 bytes of SHA-256.
struct Sha256 {
  std::array<std::byte, 32> bytes{};
  friend auto operator<=>(const Sha256&, const Sha256&) = default;
  std::string Hex() const;
};

/// SHA-256 (FIPS 180-4) of `bytes`.
Sha256 HashSha256(std::span<const std::byte> bytes);

/// A commit's name within its room: "<generation>-<first 16 hex digits of its sha256>". Generations count 1, 2, ...
/// along a room's history, forks continuing their base's.
struct CommitId {
  uint64_t generation = 0;
  uint64_t digest = 0;

  std::string ToString() const;
  static Result<CommitId> Parse(std::string_view text);
  friend bool operator==(const CommitId&, const CommitId&) = default;
};

/// Where in the store's history something became durable. Sorts by time.
struct Position {
  uint64_t epoch = 0;     // raised at every start of a writer
  uint64_t sequence = 0;  // of the group in the log
  friend auto operator<=>(const Position&, const Position&) = default;
};

/// Stored on disk: never renumber.
enum class Operation : uint8_t {
  kCreate = 1, kAppend = 2, kInsert = 3, kDelete = 4, kReorder = 5, kReplace = 6, kEdit = 7,
  kUndo = 8, kRedo = 9, kRestore = 10, kImport = 11, kFork = 12, kMaintenance = 13,
};
std::string_view OperationName(Operation operation);

class RecordTransaction;
struct CommitInfo;
/// A commit that is sequenced, but not known to be durable nor visible to readers yet. From any thread.
class PendingCommit {
 public:
  /// Until it is both (at once when nothing was deferred), or the error why it never will be.
  Result<> Wait();
  bool empty() const;

  /// The engine's: what is to be done, in order.
  void Defer(std::function<Result<>()> finish);

 private:
  mutable std::mutex mutex_;
  std::vector<std::function<Result<>()>> finish_;  // guarded by mutex_
};

/// Who changes something and why; stored with the commit and its version entries.
struct CommitContext {
  std::string actor;    // at most 255 bytes
  std::string message;  // at most 4 KiB

  /// Called once for the commit, in the step that checks versions and takes its place in the log (records.h says what a
  /// RecordTransaction may do): its changes become durable with the commit or not at all, and its error refuses the
  /// commit. `draft` has everything but the position, which is known afterwards. A change that makes no commit because
  /// the content was there already calls it too, with draft.changed false; what it puts is then durable by itself.
  std::function<Result<>(RecordTransaction&, const CommitInfo& draft)> also = {};
  /// When set, a method of Room returns once its commit is sequenced; whoever set it must call Wait before telling
  /// anybody. Many commits then share a sync without a thread waiting for each.
  std::shared_ptr<PendingCommit> pending = nullptr;
};

/// What a commit made.
struct CommitInfo {
  CommitId commit;
  Position position;
  int64_t frames = 0;               // in the room afterwards
  std::vector<FrameId> ids;         // of the frames it appended, inserted or changed, in the order given
  std::vector<uint32_t> versions;   // theirs
  int64_t first_position = -1;      // of the first of them, where frames were added
  bool changed = true;              // false: the content was there already, and no commit was made
};

/// One version of one frame.
struct FrameVersion {
  FrameId id = 0;
  uint32_t version = 0;
  Operation operation = Operation::kAppend;
  std::string actor;               // "" where it was not recorded (bulk imports)
  int64_t time_ns = 0;             // Unix time; 0 where it was not recorded
  std::vector<std::string> fields; // whose content this version changed; empty for version 1
};

/// One entry of a room's history.
struct CommitSummary {
  CommitId id;
  Operation operation = Operation::kCreate;
  std::string actor, message;
  int64_t time_ns = 0;
  int64_t frames = 0;
};

}  // namespace zn
