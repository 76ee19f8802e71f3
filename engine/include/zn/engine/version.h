// Versions, commits and what writing them needs.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
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

/// Who changes something and why; stored with the commit and its version entries.
struct CommitContext {
  std::string actor;    // at most 255 bytes
  std::string message;  // at most 4 KiB
};

/// What a commit made.
struct CommitInfo {
  CommitId commit;
  Position position;
  int64_t frames = 0;               // in the room afterwards
  std::vector<FrameId> ids;         // of the frames it appended, inserted or changed, in the order given
  std::vector<uint32_t> versions;   // theirs
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
