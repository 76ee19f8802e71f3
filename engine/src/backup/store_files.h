// The files of a store as they are at one moment, while a writer may go on.
//
// Nothing is locked and nobody waits. Log and packs are only ever appended to, so a length makes a
// moment of each: for the log how far it was durable, and packs are looked at after that, for the
// log refers to nothing in them that was not synced before. A collection may replace packs
// meanwhile: files are held open, and one that came or went while they were being listed makes the
// listing begin anew.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "room/superblock.h"
#include "zn/engine/error.h"

namespace zn::backup {

struct SourceFile {
  enum Kind { kLog, kPack, kMoved };
  std::string name;  // "log/000001.log"
  Kind kind = kLog;
  File file;
  uint64_t size = 0;     // of what belongs to the moment
  bool growing = false;  // a pack that is not sealed: a record at its end may be just being written
};

struct StoreFiles {
  Superblock superblock;
  std::vector<std::byte> superblock_bytes;
  uint64_t sequence = 0;          // of the newest group
  std::vector<SourceFile> files;  // by name
};

/// kNotFound when there is no store, kCorrupt when its log is damaged.
Result<StoreFiles> OpenStoreFiles(const std::string& directory);

}  // namespace zn::backup
