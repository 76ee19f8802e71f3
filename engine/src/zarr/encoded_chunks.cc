#include "zarr/encoded_chunks.h"

namespace zn::internal {

std::optional<EncodedChunks::Entry> EncodedChunks::Find(const Sha256& name) {
  const std::lock_guard lock(mutex_);
  const auto found = slots_.find(name);
  if (found == slots_.end()) return std::nullopt;
  Slot& slot = found->second;
  used_.splice(used_.begin(), used_, slot.used);
  if (!slot.entry.bytes.empty())
    with_bytes_.splice(with_bytes_.begin(), with_bytes_, slot.with_bytes);
  return slot.entry;
}

void EncodedChunks::Put(const Sha256& name, Entry entry) {
  const std::lock_guard lock(mutex_);
  const auto drop_bytes = [&](Slot& slot) {
    if (slot.entry.bytes.empty()) return;
    bytes_ -= static_cast<int64_t>(slot.entry.bytes.size());
    with_bytes_.erase(slot.with_bytes);
    slot.entry.bytes = {};
  };
  auto [at, added] = slots_.try_emplace(name);
  Slot& slot = at->second;
  if (added) {
    used_.push_front(name);
    slot.used = used_.begin();
  } else {
    drop_bytes(slot);
    used_.splice(used_.begin(), used_, slot.used);
  }
  slot.entry = std::move(entry);
  if (!slot.entry.bytes.empty()) {
    with_bytes_.push_front(name);
    slot.with_bytes = with_bytes_.begin();
    bytes_ += static_cast<int64_t>(slot.entry.bytes.size());
  }
  while (bytes_ > max_bytes_ && !with_bytes_.empty()) drop_bytes(slots_.at(with_bytes_.back()));
  while (slots_.size() > max_entries_) {
    drop_bytes(slots_.at(used_.back()));
    slots_.erase(used_.back());
    used_.pop_back();
  }
}

}  // namespace zn::internal
