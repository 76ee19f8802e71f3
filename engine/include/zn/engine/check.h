// Checking a store that nobody has open: what zn-fsck does, as a library.
//
// Three levels, each with all of the one before:
//   quick  the log's chain, refs, commits, every tree node's hash and counts, and for every chunk
//   that anything refers
//          to that its record is there, named and sized as the reference says; indexes; what
//          nothing refers to
//   full   the SHA-256 of every record of packs and logs
//   deep   every chunk decoded to the shape and dtype its tree gives it, every frame's version
//   history, every kept
//          commit's trees put together and compared with the invariants
//
// Nothing is trusted: files are read with pread (a bad sector is a finding, not a signal), every
// length is checked against its file, and a damaged structure hides only what lies below it. Memory
// is 1 bit for each 64 bytes of the store's files, and what is damaged.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"
#include "zn/engine/field.h"

namespace zn {

enum class CheckLevel { kQuick, kFull, kDeep };

/// Names are stable: scripts read them.
enum class FindingClass {
  kObjectHash,       // OBJ_HASH      a record's bytes are not those its name stands for
  kObjectMissing,    // OBJ_MISSING   nothing where a reference points
  kObjectTruncated,  // OBJ_TRUNC     a record reaches beyond the end of its file, or has another
                     // length
  kObjectDecode,     // OBJ_DECODE    right bytes (or so their checksum says) that make no sense
  kLogTorn,          // LOG_TORN      an unfinished last write; nobody was told of it
  kLogGap,           // LOG_GAP       what was acknowledged is damaged or missing in the log
  kIndexMismatch,    // IDX_MISMATCH  an index does not agree with its pack
  kRefDangling,      // REF_DANGLING  a room's newest commit cannot be read
  kTreeCount,        // TREE_COUNT    a tree's nodes do not add up
  kVersionCycle,     // VER_CYCLE     a frame's versions do not count down to 1
  kZarrMeta,         // ZARR_META     a field's description makes no Zarr array
  kOrphan,           // ORPHAN        nothing refers to it: space for the collection
  kTmpStale,         // TMP_STALE     left by a process that was killed
  kDuplicate,        // DUP_MISMATCH  two records of one name differ
};
/// "OBJ_HASH", ...
std::string_view FindingName(FindingClass finding);

/// What reads of a room meet. `first` to `last` are frame ids; -1: all, or not known which.
struct Affected {
  std::string room, field;
  FrameId first = -1, last = -1;
};

struct Finding {
  FindingClass kind = FindingClass::kObjectHash;
  /// A note costs nothing but space and does not make a store unsound.
  bool note = false;
  std::string object;   // "chunk 3f9a... in packs/000001.pack at 4160"
  std::string message;  // what is wrong
  std::string remedy;   // what to do about it
  std::vector<Affected> affected;
};

struct CheckOptions {
  CheckLevel level = CheckLevel::kFull;
  int threads = 0;               // 0: one a core
  int64_t bytes_per_second = 0;  // 0: as fast as it goes
  uint32_t sample_part = 1,
           sample_of = 1;  // full and deep look at the records whose name falls into part 1..of
  /// A file that says which packs were found whole; those that have not changed since are not hashed again. "": none.
  std::string resume_file;
  const std::atomic<bool>* cancel = nullptr;
};

struct CheckProgress {
  std::string_view stage;       // "packs", "log", "trees", "chunks"
  int64_t done = 0, total = 0;  // bytes, or references in "trees" (total unknown: 0)
};

struct CheckSummary {
  int64_t findings = 0, notes = 0;
  int64_t packs = 0, log_files = 0, records = 0, bytes = 0;
  int64_t rooms = 0, commits = 0, nodes = 0, references = 0, chunks_decoded = 0;
  int64_t orphan_records = 0, orphan_bytes = 0;
  bool clean() const { return findings == 0; }
};

/// Checks the store in `directory`. Calls `report` for each finding and `progress` now and then,
/// both on the calling thread. kNotFound when there is no store, kBusy when a process has it open
/// for writing, kCorrupt when the superblock itself is damaged, kCancelled.
Result<CheckSummary> CheckStore(const std::string& directory, const CheckOptions& options,
                                const std::function<void(const Finding&)>& report,
                                const std::function<void(const CheckProgress&)>& progress = {});

}  // namespace zn
