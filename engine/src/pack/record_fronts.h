// What the first read of a record's bytes needs beside them: its head and the front of its payload,
// where codecs say what stands where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "zn/engine/version.h"

namespace zn {

/// A copy of bytes that were found sound.
struct RecordFront {
  Sha256 name;
  uint64_t length = 0;             // of the record's payload
  std::vector<std::byte> head;     // header and table of checksums, as they lie in the pack
  std::vector<std::byte> payload;  // its first bytes
};

/// Keeps the fronts of records used last, so that a row of a chunk costs one read from the disk
/// when memory is short, and not another one for a page that was dropped meanwhile. Bounded: a
/// front may be forgotten at any time. All members may be called from any thread.
class RecordFronts {
 public:
  static constexpr size_t kPayloadBytes = 320;   // blosc's header and the places of 76 blocks
  static constexpr size_t kMostHeadBytes = 1152;  // of records up to 1 MiB; larger ones are not kept

  /// At most about `bytes` are held.
  explicit RecordFronts(int64_t bytes);

  /// Null when there is none.
  std::shared_ptr<const RecordFront> Find(uint32_t file, uint64_t offset) const;
  void Add(uint32_t file, uint64_t offset, std::shared_ptr<const RecordFront> front);

 private:
  static constexpr size_t kWays = 4;
  struct Slot {
    uint64_t key = 0;  // 0: empty
    std::shared_ptr<const RecordFront> front;
  };
  struct Set {
    std::mutex mutex;
    uint32_t next = 0;  // the slot to be given up next
    Slot slots[kWays];  // guarded by mutex, as `next`
  };
  static uint64_t KeyOf(uint32_t file, uint64_t offset);
  Set& SetOf(uint64_t key) const;

  size_t sets_;
  std::unique_ptr<Set[]> table_;
};

}  // namespace zn
