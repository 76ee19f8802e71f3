#include "pack/pack_files.h"

#include <algorithm>

namespace zn {
namespace {

constexpr int kMostHops = 64;  // a record that was moved more often than that goes in a circle
constexpr int64_t kMostMovesBytes = int64_t{1} << 30;

std::string Place(uint32_t pack, uint64_t offset) {
  return "packs/" + PackFileName(pack, ".pack") + " at offset " + std::to_string(offset);
}

}  // namespace

uint64_t CheckedRecords::KeyOf(uint32_t file, uint64_t offset) {
  // Records start at multiples of 64 within 16 TiB, so different places in the first 2^26 packs
  // have different keys. Others are never remembered.
  if (file >= (uint32_t{1} << 26) || offset >> 44 != 0) return 0;
  return uint64_t{file} << 38 | offset / kRecordAlignment;
}

size_t CheckedRecords::SlotOf(uint64_t key) {
  return static_cast<size_t>(key * 0x9e3779b97f4a7c15u >> 46) & (kSlots - 1) & ~(kWays - 1);
}

bool CheckedRecords::Has(uint32_t file, uint64_t offset) const {
  const uint64_t key = KeyOf(file, offset);
  const size_t slot = SlotOf(key);
  for (size_t way = 0; way < kWays; ++way) {
    if (slots_[slot + way].load(std::memory_order_acquire) == key) return key != 0;
  }
  return false;
}

void CheckedRecords::Add(uint32_t file, uint64_t offset) {
  const uint64_t key = KeyOf(file, offset);
  if (key == 0) return;
  const size_t slot = SlotOf(key);
  for (size_t way = 0; way < kWays; ++way) {
    uint64_t empty = 0;
    if (slots_[slot + way].compare_exchange_strong(empty, key, std::memory_order_acq_rel) ||
        empty == key) {
      return;
    }
  }
  slots_[slot + key % kWays].store(key, std::memory_order_release);
}

PackFiles::PackFiles(std::shared_ptr<FileSystem> files, std::string directory, uint32_t salt,
                     int64_t reserve)
    : files_(std::move(files)),
      directory_(std::move(directory)),
      salt_(salt),
      reserve_(static_cast<uint64_t>(std::max<int64_t>(reserve, 1 << 20))) {}

Result<> PackFiles::AddOpenPack(uint32_t number, const File& file) {
  auto pack = std::make_shared<Pack>();
  ZN_ASSIGN_OR_RETURN(pack->map, Mapping::Map(file, static_cast<int64_t>(reserve_)));
  std::unique_lock lock(mutex_);
  packs_[number] = std::move(pack);
  return {};
}

void PackFiles::SetReadable(uint32_t number, uint64_t end) {
  std::shared_lock lock(mutex_);
  auto it = packs_.find(number);
  if (it == packs_.end()) return;
  std::atomic<uint64_t>& readable = it->second->readable;
  end = std::min<uint64_t>(end, it->second->map->size());
  uint64_t before = readable.load(std::memory_order_relaxed);
  while (before < end && !readable.compare_exchange_weak(before, end, std::memory_order_release)) {
  }
}

Result<std::shared_ptr<PackFiles::Pack>> PackFiles::Open(uint32_t number) const {
  auto pack = std::make_shared<Pack>();
  auto file = files_->OpenForReading(PathOf(number, ".pack"));
  if (file) {
    ZN_ASSIGN_OR_RETURN(int64_t size, file->Size());
    ZN_ASSIGN_OR_RETURN(pack->map, Mapping::Map(*file, size));
    auto header = CheckPackHeader({pack->map->data(), pack->map->size()}, salt_);
    if (!header) return std::move(header).error().Context("packs/" + PackFileName(number, ".pack"));
    pack->readable.store(pack->map->size(), std::memory_order_release);
    return pack;
  }
  if (file.error().code != ErrorCode::kNotFound) return std::move(file).error();
  auto table = files_->OpenForReading(PathOf(number, ".moved"));
  if (!table)
    return std::move(table).error().Context("packs/" + PackFileName(number, ".pack") + " is gone");
  ZN_ASSIGN_OR_RETURN(int64_t size, table->Size());
  if (size > kMostMovesBytes) {
    return Error{ErrorCode::kCorrupt, table->path() + ": " + std::to_string(size) + " bytes"};
  }
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  ZN_RETURN_IF_ERROR(table->ReadAt(0, bytes));
  auto moves = DecodeMoves(bytes, salt_);
  if (!moves) return std::move(moves).error().Context("packs/" + PackFileName(number, ".moved"));
  pack->moves = std::move(*moves);
  return pack;
}

Result<std::shared_ptr<PackFiles::Pack>> PackFiles::Find(uint32_t number, uint64_t need) const {
  {
    std::shared_lock lock(mutex_);
    auto it = packs_.find(number);
    if (it != packs_.end() && (it->second->map == nullptr ||
                               it->second->readable.load(std::memory_order_acquire) >= need)) {
      return it->second;
    }
  }
  // First use; or another process has made the pack longer since it was mapped; or a record that is
  // larger than what was reserved for the open pack.
  ZN_ASSIGN_OR_RETURN(auto opened, Open(number));
  std::unique_lock lock(mutex_);
  auto& pack = packs_[number];
  if (pack == nullptr || opened->map == nullptr ||
      pack->readable.load(std::memory_order_acquire) <
          opened->readable.load(std::memory_order_acquire)) {
    pack = opened;
  }
  return pack;
}

Result<> PackFiles::Check(const Pack& pack, const RecordRef& ref) const {
  const std::byte* data = pack.map->data() + ref.offset;
  auto corrupt = [&](const std::string& what) {
    return Error{ErrorCode::kCorrupt, Place(ref.file, ref.offset) + ": " + what};
  };
  auto header = DecodeRecordHeader({data - kRecordHeaderSize, kRecordHeaderSize}, salt_);
  if (!header) return corrupt(header.error().message);
  if (header->length != ref.length || header->name != ref.name) {
    return corrupt("another record than the one referred to");
  }
  if (Crc32c({data, ref.length}, salt_) != header->payload_crc) {
    return corrupt("wrong checksum of a record");
  }
  checked_.Add(ref.file, ref.offset);
  return {};
}

Result<Buffer> PackFiles::Read(const RecordRef& ref) const { return ReadMoved(ref, 0); }

Result<Buffer> PackFiles::ReadMoved(const RecordRef& ref, int hops) const {
  if (ref.in_log() || ref.file == 0 || ref.offset % kRecordAlignment != 0 ||
      ref.offset < kPackHeaderSize + kRecordHeaderSize || ref.offset > uint64_t{1} << 62) {
    return Error{ErrorCode::kCorrupt,
                 "a reference to " + Place(ref.file, ref.offset) + ", where no record can be"};
  }
  const uint64_t end = ref.offset + ref.length;
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Pack> pack, Find(ref.file, end));
  if (pack->map == nullptr) {
    auto it = std::lower_bound(
        pack->moves.begin(), pack->moves.end(), ref.offset,
        [](const Move& move, uint64_t offset) { return move.old_offset < offset; });
    if (it == pack->moves.end() || it->old_offset != ref.offset || it->length != ref.length) {
      return Error{ErrorCode::kNotFound, Place(ref.file, ref.offset) + ": was collected"};
    }
    if (hops == kMostHops) {
      return Error{ErrorCode::kCorrupt, Place(ref.file, ref.offset) + ": moved in a circle"};
    }
    return ReadMoved({ref.name, it->offset, it->file, it->length}, hops + 1);
  }
  if (pack->readable.load(std::memory_order_acquire) < end) {
    return Error{ErrorCode::kCorrupt,
                 Place(ref.file, ref.offset) + ": the pack ends before the record"};
  }
  if (!checked_.Has(ref.file, ref.offset)) ZN_RETURN_IF_ERROR(Check(*pack, ref));
  return Buffer(pack->map, {pack->map->data() + ref.offset, ref.length});
}

Result<int> PackFiles::Descriptor(const RecordRef& ref) const {
  ZN_ASSIGN_OR_RETURN(Buffer checked, Read(ref));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Pack> pack, Find(ref.file, ref.offset + ref.length));
  if (pack->map == nullptr) {
    return Error{ErrorCode::kNotFound, Place(ref.file, ref.offset) + ": was moved; read it"};
  }
  std::lock_guard lock(pack->mutex);
  if (!pack->descriptor) {
    ZN_ASSIGN_OR_RETURN(pack->descriptor, files_->OpenForReading(PathOf(ref.file, ".pack")));
  }
  return pack->descriptor.fd();
}

void PackFiles::AddSealed(uint32_t pack) {
  auto sealed = std::make_shared<Sealed>();
  sealed->pack = pack;
  std::unique_lock lock(mutex_);
  sealed_.push_back(std::move(sealed));
}

void PackFiles::OpenIndex(Sealed& sealed) const {
  auto file = files_->OpenForReading(PathOf(sealed.pack, ".idx"));
  if (!file) return;
  auto size = file->Size();
  if (!size) return;
  auto map = Mapping::Map(*file, *size);
  if (!map) return;
  auto index = PackIndex::Open({(*map)->data(), (*map)->size()}, salt_);
  if (!index) return;
  sealed.map = *map;
  sealed.index = *index;
}

std::optional<RecordRef> PackFiles::FindSealed(const Sha256& name) const {
  std::vector<std::shared_ptr<Sealed>> sealed;
  {
    std::shared_lock lock(mutex_);
    sealed = sealed_;
  }
  for (auto it = sealed.rbegin(); it != sealed.rend(); ++it) {
    std::call_once((*it)->opened, [&] { OpenIndex(**it); });
    if (!(*it)->index) continue;
    auto entry = (*it)->index->Find(name);
    if (!entry) continue;
    RecordRef ref{name, entry->offset, (*it)->pack, entry->length};
    // Whoever relies on the answer stores no second copy: so the record has to be there, and sound.
    if (Read(ref)) return ref;
  }
  return std::nullopt;
}

}  // namespace zn
