// Encoded chunks that views made, kept within bounds.
#pragma once

#include <cstdint>
#include <cstring>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "zn/engine/buffer.h"
#include "zn/engine/version.h"

namespace zn::internal {

/// Thread-safe. Least recently used first: bytes go when they are too many, and what remains of an
/// entry (its size and digest, which shard indexes need) goes when there are too many of those.
class EncodedChunks {
 public:
  struct Entry {
    bool missing = false;  // all fill: there is no such key
    Sha256 digest;
    uint64_t size = 0;
    Buffer bytes;  // empty once they made room, and for stored chunks
  };

  explicit EncodedChunks(int64_t max_bytes, size_t max_entries = 1 << 16)
      : max_bytes_(max_bytes), max_entries_(max_entries) {}

  std::optional<Entry> Find(const Sha256& name);
  void Put(const Sha256& name, Entry entry);

 private:
  struct Hash {
    size_t operator()(const Sha256& name) const {
      size_t hash;
      std::memcpy(&hash, name.bytes.data(), sizeof hash);
      return hash;
    }
  };
  struct Slot {
    Entry entry;
    std::list<Sha256>::iterator used;        // in used_
    std::list<Sha256>::iterator with_bytes;  // in with_bytes_, where it has bytes
  };

  const int64_t max_bytes_;
  const size_t max_entries_;
  std::mutex mutex_;
  // All guarded by mutex_; newest at the front.
  std::unordered_map<Sha256, Slot, Hash> slots_;
  std::list<Sha256> used_, with_bytes_;
  int64_t bytes_ = 0;
};

}  // namespace zn::internal
