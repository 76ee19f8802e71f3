#include "cache/chunk_table.h"

#include <mutex>
#include <utility>

namespace zn {

CacheEntry* ChunkTable::Shard::Find(uint64_t hash, const ChunkKey& key) {
  if (slots.empty()) return nullptr;
  for (size_t i = Home(hash) & mask(); slots[i].entry; i = (i + 1) & mask())
    if (slots[i].hash == hash && slots[i].entry->Matches(key)) return slots[i].entry.get();
  return nullptr;
}

void ChunkTable::Shard::Place(uint64_t hash, std::unique_ptr<CacheEntry> entry) {
  size_t i = Home(hash) & mask();
  while (slots[i].entry) i = (i + 1) & mask();
  slots[i] = {hash, std::move(entry)};
}

std::unique_ptr<CacheEntry> ChunkTable::Shard::TakeOut(size_t index) {
  std::unique_ptr<CacheEntry> taken = std::move(slots[index].entry);
  --used;
  // Whatever the hole would cut off from its home moves up.
  size_t hole = index;
  for (size_t i = (hole + 1) & mask(); slots[i].entry; i = (i + 1) & mask()) {
    const size_t home = Home(slots[i].hash) & mask();
    if (((i - home) & mask()) < ((i - hole) & mask())) continue;
    slots[hole] = std::move(slots[i]);
    hole = i;
  }
  return taken;
}

std::optional<CachedChunk> ChunkTable::Find(const ChunkKey& key, bool count_miss) {
  const uint64_t hash = HashOf(key.chunk);
  Shard& shard = shards_[hash % kShards];
  std::lock_guard lock(shard.lock);
  CacheEntry* const entry = shard.Find(hash, key);
  if (entry == nullptr) {
    if (count_miss) ++shard.misses;
    return std::nullopt;
  }
  ++shard.hits;
  // Written only when it changes: the entry's cache lines are then shared by all cores that read
  // it.
  if (!entry->referenced) entry->referenced = true;
  return entry->value;
}

std::unique_ptr<CacheEntry> ChunkTable::Insert(std::unique_ptr<CacheEntry> entry) {
  const uint64_t hash = HashOf(entry->chunk);
  Shard& shard = shards_[hash % kShards];
  std::vector<Slot> old;  // freed outside the lock
  std::lock_guard lock(shard.lock);
  const ChunkKey key{entry->chunk, entry->dtype, entry->key_shape, entry->codecs.get()};
  if (!shard.slots.empty()) {
    for (size_t i = Home(hash) & shard.mask(); shard.slots[i].entry; i = (i + 1) & shard.mask())
      if (shard.slots[i].hash == hash && shard.slots[i].entry->Matches(key))
        return std::exchange(shard.slots[i].entry, std::move(entry));
  }
  if (2 * (shard.used + 1) > shard.slots.size()) {
    old = std::exchange(shard.slots,
                        std::vector<Slot>(shard.slots.empty() ? 16 : 2 * shard.slots.size()));
    for (Slot& slot : old)
      if (slot.entry) shard.Place(slot.hash, std::move(slot.entry));
  }
  shard.Place(hash, std::move(entry));
  ++shard.used;
  return nullptr;
}

std::unique_ptr<CacheEntry> ChunkTable::Evict(bool on_heap, const CacheEntry* spare) {
  // First round: clears marks. Second: takes what was not used meanwhile and is not pinned. Third:
  // takes anything.
  for (size_t visited = 0; visited < 3 * kShards; ++visited) {
    const bool anything = visited >= 2 * kShards;
    Shard& shard = shards_[next_shard_.load(std::memory_order_relaxed) % kShards];
    {
      std::lock_guard lock(shard.lock);
      for (; shard.hand < shard.slots.size(); ++shard.hand) {
        CacheEntry* const entry = shard.slots[shard.hand].entry.get();
        if (entry == nullptr || entry == spare || entry->on_heap != on_heap) continue;
        if (!anything) {
          // Copies are made under this lock only, so a count of one stays one.
          if (entry->value.bytes.owner().use_count() > 1) continue;
          if (std::exchange(entry->referenced, false)) continue;
        }
        return shard.TakeOut(shard.hand);
      }
      shard.hand = 0;
    }
    next_shard_.fetch_add(1, std::memory_order_relaxed);
  }
  return nullptr;
}

int64_t ChunkTable::hits() const {
  int64_t sum = 0;
  for (const Shard& shard : shards_) {
    std::lock_guard lock(shard.lock);
    sum += shard.hits;
  }
  return sum;
}

int64_t ChunkTable::misses() const {
  int64_t sum = 0;
  for (const Shard& shard : shards_) {
    std::lock_guard lock(shard.lock);
    sum += shard.misses;
  }
  return sum;
}

}  // namespace zn
