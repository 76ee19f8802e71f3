// A snapshot: what was backed up, and which lists of objects it is made of. docs/backup.md,
// "Snapshots".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backup/object_id.h"
#include "zn/engine/error.h"

namespace zn::backup {

/// A list (file_list.h) that is an object, and which part of its file it makes.
struct ListRef {
  Sha256 content;
  uint64_t begin = 0;   // of the file's bytes; in a directory, how many entries come before
  uint64_t length = 0;  // bytes, or entries
};

/// A file of a store, as it was.
struct FileRecord {
  std::string name;  // "log/000001.log", "packs/000001.pack"
  uint64_t size = 0;
  Sha256 tail;  // SHA-256 of its last kTailSize bytes: whether a later file continues this one
  bool damaged = false;  // holds bytes that are not what they should be
  std::vector<ListRef> lists;
};
inline constexpr uint64_t kTailSize = 4096;

enum class SourceKind : uint8_t { kStore = 1, kDirectory = 2 };

struct SnapshotDocument {
  RandomId id;
  RandomId parent;  // zero: none
  SourceKind kind = SourceKind::kStore;
  int64_t time_ns = 0;  // Unix; when it was begun
  std::string host, source, description;
  std::vector<std::string> tags;
  uint64_t bytes = 0;      // of the source's files
  uint64_t new_bytes = 0;  // stored for it
  uint64_t new_objects = 0;
  uint32_t damaged = 0;  // places of the source that were damaged

  // Of a store.
  std::array<std::byte, 16> store{};  // its UUID
  std::vector<std::byte> superblock;
  uint64_t sequence = 0;  // of the newest group of the log

  /// In the order of their names. A directory is one file without a name, whose lists hold its
  /// entries.
  std::vector<FileRecord> files;
};

/// The payload of its envelope.
std::vector<std::byte> EncodeSnapshot(const SnapshotDocument& snapshot);
/// kCorrupt for what makes no sense: lists that leave gaps, names that lead out of a store.
Result<SnapshotDocument> DecodeSnapshot(std::span<const std::byte> payload);

}  // namespace zn::backup
