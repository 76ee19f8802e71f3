// Finds a chunk by its raw rows before they are encoded: a bounded table of keyed hashes.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "log/record.h"

namespace zn {

/// Thread-safe. Holds at most `capacity` chunks; the oldest make room. What it finds is a candidate: the caller compares.
class DedupIndex {
 public:
  explicit DedupIndex(size_t capacity = 1 << 16) : capacity_(capacity) {}

  std::optional<RecordRef> Find(const Hash128& raw) const {
    const std::lock_guard lock(mutex_);
    const auto at = refs_.find(raw);
    if (at == refs_.end()) return std::nullopt;
    return at->second;
  }
  void Add(const Hash128& raw, const RecordRef& ref) {
    const std::lock_guard lock(mutex_);
    const auto [known, fresh] = refs_.emplace(raw, ref);
    if (!fresh) {
      known->second = ref;  // what was stored again was not to be found at the old place: it is being collected, or gone
      return;
    }
    if (ring_.size() < capacity_) {
      ring_.push_back(raw);
      return;
    }
    refs_.erase(ring_[next_]);
    ring_[next_] = raw;
    next_ = (next_ + 1) % capacity_;
  }

 private:
  struct Hasher {
    size_t operator()(const Hash128& hash) const { return hash.low; }
  };
  const size_t capacity_;
  mutable std::mutex mutex_;
  std::unordered_map<Hash128, RecordRef, Hasher> refs_;  // guarded by mutex_
  std::vector<Hash128> ring_;                            // guarded by mutex_: in the order of Add
  size_t next_ = 0;                                      // guarded by mutex_
};

}  // namespace zn
