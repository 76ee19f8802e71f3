// What is resident: a hash table in shards, each behind a spinlock that is held for some tens of
// nanoseconds.
#pragma once

#include <sched.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/chunk_cache.h"

namespace zn {

/// One resident chunk. Constant but for `referenced`.
struct CacheEntry {
  Sha256 chunk;
  DType dtype = DType::kFloat64;
  Shape key_shape;
  std::shared_ptr<const std::string> codecs;

  CachedChunk value;
  int64_t bytes = 0;  // of its file or its heap block
  bool on_heap = false;
  Sha256 file_name;        // when it is not on the heap
  bool referenced = true;  // CLOCK; guarded by the shard's lock

  bool Matches(const ChunkKey& key) const {
    return chunk == key.chunk && dtype == key.dtype && key_shape == key.shape &&
           *codecs == *key.codecs;
  }
};

class SpinLock {
 public:
  void lock() {
    for (int spins = 0; locked_.exchange(true, std::memory_order_acquire);) {
      while (locked_.load(std::memory_order_relaxed)) {
        // Whoever holds it may have lost its core.
        if (++spins % 64 == 0) sched_yield();
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
    }
  }
  void unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_ = false;
};

/// Thread-safe. Entries are handed out as copies of their value; removing one leaves those valid.
class ChunkTable {
 public:
  std::optional<CachedChunk> Find(const ChunkKey& key, bool count_miss);
  /// Adds an entry and returns the one of the same key that it replaces, if any.
  std::unique_ptr<CacheEntry> Insert(std::unique_ptr<CacheEntry> entry);
  /// Takes out the next entry (on the heap, or in files) that has not been used since the hand last
  /// passed. Pinned ones are spared while others are left, `spare` always. Null when there is none.
  std::unique_ptr<CacheEntry> Evict(bool on_heap, const CacheEntry* spare);

  int64_t hits() const;
  int64_t misses() const;

 private:
  static constexpr size_t kShards = 64;  // a power of two

  struct Slot {
    uint64_t hash = 0;
    std::unique_ptr<CacheEntry> entry;
  };
  // Open addressing, linear probing, at most half full; a power of two slots.
  struct alignas(64) Shard {
    mutable SpinLock lock;
    // All below is guarded by lock.
    std::vector<Slot> slots;
    size_t used = 0;
    size_t hand = 0;
    int64_t hits = 0, misses = 0;

    size_t mask() const { return slots.size() - 1; }
    CacheEntry* Find(uint64_t hash, const ChunkKey& key);
    void Place(uint64_t hash, std::unique_ptr<CacheEntry> entry);
    std::unique_ptr<CacheEntry> TakeOut(size_t index);
  };

  static uint64_t HashOf(const Sha256& chunk) {
    uint64_t hash;  // a SHA-256 needs no mixing
    std::memcpy(&hash, chunk.bytes.data(), sizeof hash);
    return hash;
  }
  static size_t Home(uint64_t hash) { return hash / kShards; }

  std::array<Shard, kShards> shards_;
  std::atomic<size_t> next_shard_ = 0;  // where the hand is
};

}  // namespace zn
