// Lists: which objects, in which order, make a part of a file, or a part of a directory. They are
// objects themselves, so that a snapshot shares those of the one before. docs/backup.md, "Lists".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "log/record.h"
#include "zn/engine/error.h"
#include "zn/engine/version.h"

namespace zn::backup {

/// A part of a store's file.
struct Piece {
  enum Kind : uint8_t {
    kInline = 0,  // the bytes stand here
    kRaw = 1,     // the bytes are an object
    kRecord = 2,  // a record of a pack: its payload is an object, and its head is made anew with
                  // the store's salt
  };
  Kind kind = kRaw;
  RecordType type = RecordType::kChunk;  // of a record
  uint32_t length = 0;                   // of the bytes, or of the payload
  Sha256 content;
  std::vector<std::byte> bytes;  // of kInline

  /// How many bytes of the file it makes.
  uint64_t file_bytes() const;
};
inline constexpr size_t kMostInline = 4096;

/// An entry of a directory.
struct TreeEntry {
  enum Kind : uint8_t { kFile = 1, kFolder = 2 };
  std::string path;  // relative, without "." and ".."
  Kind kind = kFile;
  uint32_t mode = 0;       // permission bits
  int64_t time_ns = 0;     // Unix: of the last change of its content
  int64_t changed_ns = 0;  // of the last change of anything (ctime); 0: not known
  uint64_t size = 0;       // of a file
  struct Part {
    uint32_t length = 0;
    Sha256 content;
  };
  std::vector<Part> parts;  // whose lengths add up to `size`
};

std::vector<std::byte> EncodePieces(std::span<const Piece> pieces);
Result<std::vector<Piece>> DecodePieces(std::span<const std::byte> bytes);

std::vector<std::byte> EncodeTree(std::span<const TreeEntry> entries);
/// kCorrupt also for a path that leads out of the directory.
Result<std::vector<TreeEntry>> DecodeTree(std::span<const std::byte> bytes);

/// A relative path of plain names.
bool IsSafePath(std::string_view path);

}  // namespace zn::backup
