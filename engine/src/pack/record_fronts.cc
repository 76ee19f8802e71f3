#include "pack/record_fronts.h"

#include <algorithm>

#include "log/record.h"

namespace zn {

RecordFronts::RecordFronts(int64_t bytes) {
  constexpr int64_t kMostOfOne = kPayloadBytes + kMostHeadBytes + 128;  // with what allocation adds
  sets_ = static_cast<size_t>(std::max<int64_t>(bytes / kMostOfOne / int64_t{kWays}, 1));
  table_ = std::make_unique<Set[]>(sets_);
}

uint64_t RecordFronts::KeyOf(uint32_t file, uint64_t offset) {
  // Different places within 2^24 packs of 64 TiB have different keys; others are not kept. No file
  // is 0, so no key is.
  if (file >= (uint32_t{1} << 24) || offset >> 46 != 0) return 0;
  return uint64_t{file} << 40 | offset / kRecordAlignment;
}

RecordFronts::Set& RecordFronts::SetOf(uint64_t key) const {
  return table_[(key * 0x9e3779b97f4a7c15u >> 32) % sets_];
}

std::shared_ptr<const RecordFront> RecordFronts::Find(uint32_t file, uint64_t offset) const {
  const uint64_t key = KeyOf(file, offset);
  if (key == 0) return nullptr;
  Set& set = SetOf(key);
  std::lock_guard lock(set.mutex);
  for (const Slot& slot : set.slots)
    if (slot.key == key) return slot.front;
  return nullptr;
}

void RecordFronts::Add(uint32_t file, uint64_t offset, std::shared_ptr<const RecordFront> front) {
  const uint64_t key = KeyOf(file, offset);
  if (key == 0 || front->head.size() > kMostHeadBytes) return;
  Set& set = SetOf(key);
  std::lock_guard lock(set.mutex);
  Slot* slot = &set.slots[set.next % kWays];
  for (Slot& other : set.slots)
    if (other.key == key) slot = &other;
  if (slot->key != key) ++set.next;
  *slot = {key, std::move(front)};
}

}  // namespace zn
