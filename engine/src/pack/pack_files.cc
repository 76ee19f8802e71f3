#include "pack/pack_files.h"

#include <algorithm>

#include "base/memory_limit.h"

namespace zn {
namespace {

constexpr int kMostHops = 64;  // a record that was moved more often than that goes in a circle
constexpr int64_t kMostMovesBytes = int64_t{1} << 30;

// Enough for the chunks of a store some ten times as large as the memory, and some 5 GiB of chunks.
int64_t FrontBytes() { return std::clamp<int64_t>(MemoryLimit() / 16, 1 << 20, 16 << 20); }

std::string Place(uint32_t pack, uint64_t offset) {
  return "packs/" + PackFileName(pack, ".pack") + " at offset " + std::to_string(offset);
}

}  // namespace

uint64_t CheckedRecords::KeyOf(What what, uint32_t file, uint64_t offset) {
  // Payloads and their blocks start at multiples of 64 within 16 TiB, so different places in the
  // first 2^24 packs have different keys. Others are never remembered. (File 0 is none.)
  if (file >= (uint32_t{1} << 24) || offset >> 44 != 0) return 0;
  return uint64_t{what} << 62 | uint64_t{file} << 38 | offset / kRecordAlignment;
}

size_t CheckedRecords::SlotOf(uint64_t key) {
  return static_cast<size_t>(key * 0x9e3779b97f4a7c15u >> 46) & (kSlots - 1) & ~(kWays - 1);
}

bool CheckedRecords::Has(What what, uint32_t file, uint64_t offset) const {
  const uint64_t key = KeyOf(what, file, offset);
  const size_t slot = SlotOf(key);
  for (size_t way = 0; way < kWays; ++way) {
    if (slots_[slot + way].load(std::memory_order_acquire) == key) return key != 0;
  }
  return false;
}

void CheckedRecords::Add(What what, uint32_t file, uint64_t offset) {
  const uint64_t key = KeyOf(what, file, offset);
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
      reserve_(static_cast<uint64_t>(std::max<int64_t>(reserve, 1 << 20))),
      fronts_(FrontBytes()) {}

Result<> PackFiles::AddOpenPack(uint32_t number, const File& file) {
  auto pack = std::make_shared<Pack>();
  ZN_ASSIGN_OR_RETURN(pack->map, Mapping::Map(file, static_cast<int64_t>(reserve_)));
  pack->map->ReadAtRandom();
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
    pack->map->ReadAtRandom();
    pack->readable.store(pack->map->size(), std::memory_order_release);
    return pack;
  }
  if (file.error().code != ErrorCode::kNotFound) return std::move(file).error();
  auto moves = Moves(number);
  if (!moves && moves.error().code == ErrorCode::kNotFound)
    return std::move(moves).error().Context("packs/" + PackFileName(number, ".pack") + " is gone");
  if (!moves) return std::move(moves).error();
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
  if (pack != nullptr && pack->map == nullptr) return pack;  // collected just now
  if (pack == nullptr || opened->map == nullptr ||
      pack->readable.load(std::memory_order_acquire) <
          opened->readable.load(std::memory_order_acquire)) {
    pack = opened;
  }
  return pack;
}

Result<PackFiles::Located> PackFiles::LocateOnce(
    const RecordRef& given, std::vector<std::pair<uint32_t, uint64_t>>* hops) const {
  RecordRef ref = given;
  for (int hop = 0; hop <= kMostHops; ++hop) {
    const size_t head = PackRecordHeadSize(ref.length);
    if (ref.in_log() || ref.file == 0 || ref.offset % kRecordAlignment != 0 ||
        ref.offset < kPackHeaderSize + head || ref.offset > uint64_t{1} << 62) {
      return Error{ErrorCode::kCorrupt,
                   "a reference to " + Place(ref.file, ref.offset) + ", where no record can be"};
    }
    const uint64_t end = ref.offset + ref.length;
    ZN_ASSIGN_OR_RETURN(std::shared_ptr<Pack> pack, Find(ref.file, end));
    if (pack->map != nullptr) {
      if (pack->readable.load(std::memory_order_acquire) < end) {
        return Error{ErrorCode::kCorrupt,
                     Place(ref.file, ref.offset) + ": the pack ends before the record"};
      }
      return Located{pack->map, ref};
    }
    auto it = std::lower_bound(
        pack->moves.begin(), pack->moves.end(), ref.offset,
        [](const Move& move, uint64_t offset) { return move.old_offset < offset; });
    if (it == pack->moves.end() || it->old_offset != ref.offset || it->length != ref.length) {
      return Error{ErrorCode::kNotFound, Place(ref.file, ref.offset) + ": was collected"};
    }
    if (hops != nullptr) hops->emplace_back(ref.file, ref.offset);
    ref.file = it->file;
    ref.offset = it->offset;
  }
  return Error{ErrorCode::kCorrupt, Place(given.file, given.offset) + ": moved in a circle"};
}

Result<PackFiles::Located> PackFiles::Locate(
    const RecordRef& ref, std::vector<std::pair<uint32_t, uint64_t>>* hops) const {
  std::vector<std::pair<uint32_t, uint64_t>> way;
  auto located = LocateOnce(ref, &way);
  if (!located && located.error().code == ErrorCode::kNotFound && !way.empty()) {
    // A table that was read a while ago may lead to one that is gone: then it says something else today.
    {
      std::unique_lock lock(mutex_);
      for (const auto& [file, offset] : way) packs_.erase(file);
    }
    way.clear();
    located = LocateOnce(ref, &way);
  }
  if (hops != nullptr) hops->insert(hops->end(), way.begin(), way.end());
  return located;
}

Result<RecordRef> PackFiles::Where(const RecordRef& ref,
                                   std::vector<std::pair<uint32_t, uint64_t>>* hops) const {
  ZN_ASSIGN_OR_RETURN(const Located record, Locate(ref, hops));
  return record.ref;
}

Result<PackScan> PackFiles::Scan(uint32_t number) const {
  // A map of its own: the scan goes through the whole file, which others read here and there.
  ZN_ASSIGN_OR_RETURN(const File file, files_->OpenForReading(PathOf(number, ".pack")));
  ZN_ASSIGN_OR_RETURN(const int64_t size, file.Size());
  ZN_ASSIGN_OR_RETURN(const auto map, Mapping::Map(file, size));
  return ScanPack({map->data(), map->size()}, salt_, /*check_payloads=*/false);
}

Result<std::vector<Move>> PackFiles::Moves(uint32_t number) const {
  ZN_ASSIGN_OR_RETURN(const File table, files_->OpenForReading(PathOf(number, ".moved")));
  ZN_ASSIGN_OR_RETURN(const int64_t size, table.Size());
  if (size > kMostMovesBytes) {
    return Error{ErrorCode::kCorrupt, table.path() + ": " + std::to_string(size) + " bytes"};
  }
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  ZN_RETURN_IF_ERROR(table.ReadAt(0, bytes));
  auto moves = DecodeMoves(bytes, salt_);
  if (!moves) return std::move(moves).error().Context("packs/" + PackFileName(number, ".moved"));
  return moves;
}

void PackFiles::SetMoved(uint32_t number, std::vector<Move> moves) {
  auto moved = std::make_shared<Pack>();
  moved->moves = std::move(moves);
  std::unique_lock lock(mutex_);
  std::erase_if(sealed_, [&](const auto& sealed) { return sealed->pack == number; });
  auto& pack = packs_[number];
  if (pack != nullptr) {
    std::lock_guard descriptor(pack->mutex);
    if (pack->descriptor) retired_.push_back(pack);
  }
  pack = std::move(moved);
}

void PackFiles::Forget(uint32_t number) {
  std::unique_lock lock(mutex_);
  packs_.erase(number);
}

Result<PackRecordHead> PackFiles::OpenHead(const Located& record, const RecordFront* front) const {
  const RecordRef& ref = record.ref;
  const size_t size = PackRecordHeadSize(ref.length);
  const std::span<const std::byte> bytes =
      front != nullptr ? std::span(front->head) : std::span(record.map->data() + ref.offset - size, size);
  auto head = PackRecordHead::Open(bytes, ref.length, salt_);
  if (head && head->header().name != ref.name)
    head = Error{ErrorCode::kCorrupt, "another record than the one referred to"};
  if (!head) return Error{ErrorCode::kCorrupt, Place(ref.file, ref.offset) + ": " + head.error().message};
  return head;
}

Result<> PackFiles::Check(const Located& record, uint64_t begin, uint64_t end, const RecordFront* front) const {
  const RecordRef& ref = record.ref;
  const bool whole = begin == 0 && end == ref.length;
  if (checked_.Has(CheckedRecords::kRecord, ref.file, ref.offset)) return {};
  std::optional<PackRecordHead> head;
  // Also when no block is to be checked: what is read has to be the record that was meant.
  if (!checked_.Has(CheckedRecords::kHead, ref.file, ref.offset)) {
    ZN_ASSIGN_OR_RETURN(head, OpenHead(record, front));
    checked_.Add(CheckedRecords::kHead, ref.file, ref.offset);
  }
  for (uint64_t at = begin / kCheckBlock * kCheckBlock; at < end; at += kCheckBlock) {
    const uint64_t place = ref.offset + at;
    if (checked_.Has(CheckedRecords::kBlock, ref.file, place)) continue;
    if (!head) {
      ZN_ASSIGN_OR_RETURN(head, OpenHead(record, front));
    }
    const size_t size = std::min<uint64_t>(kCheckBlock, ref.length - at);
    if (!head->IsSound(at / kCheckBlock, {record.map->data() + place, size})) {
      return Error{ErrorCode::kCorrupt, Place(ref.file, ref.offset) + ": wrong checksum of a record, in its bytes from " +
                                            std::to_string(at) + " on"};
    }
    // A record that is read as a whole takes one place in memory, not one for each block.
    if (!whole) checked_.Add(CheckedRecords::kBlock, ref.file, place);
  }
  if (whole) checked_.Add(CheckedRecords::kRecord, ref.file, ref.offset);
  return {};
}

Result<Buffer> PackFiles::Read(const RecordRef& ref) const {
  ZN_ASSIGN_OR_RETURN(const Located record, Locate(ref, nullptr));
  const size_t head = PackRecordHeadSize(ref.length);
  record.map->WillNeed(record.ref.offset - head, head + ref.length);
  ZN_RETURN_IF_ERROR(Check(record, 0, ref.length));
  return Buffer(record.map, {record.map->data() + record.ref.offset, ref.length});
}

/// Reads from the disk what is asked for and nothing around it, and the front of a record only when
/// it is not remembered.
class PackFiles::Source final : public ByteSource {
 public:
  Source(const PackFiles& packs, Located record)
      : packs_(packs), record_(std::move(record)), front_(packs.fronts_.Find(record_.ref.file, record_.ref.offset)) {
    // A damaged reference may name this place for another record.
    if (front_ != nullptr && (front_->name != record_.ref.name || front_->length != size())) front_ = nullptr;
  }

  size_t size() const override { return record_.ref.length; }

  Result<std::span<const std::byte>> Fetch(size_t offset, size_t count) override {
    if (count == 0) return std::span<const std::byte>();
    if (front_ != nullptr && offset + count <= front_->payload.size())
      return std::span(front_->payload).subspan(offset, count);
    // Whole blocks are checked; the first fetch needs the head, too, which stands before the
    // payload.
    const uint64_t payload = record_.ref.offset;
    const uint64_t begin = offset / kCheckBlock * kCheckBlock;
    const uint64_t end =
        std::min<uint64_t>((offset + count + kCheckBlock - 1) / kCheckBlock * kCheckBlock, size());
    const size_t head = fetched_ || front_ != nullptr ? 0 : PackRecordHeadSize(size());
    fetched_ = true;
    if (head > 0 && begin > 0) record_.map->WillNeed(payload - head, head);
    const uint64_t from = begin > 0 ? payload + begin : payload - head;
    record_.map->WillNeed(from, payload + end - from);
    ZN_RETURN_IF_ERROR(packs_.Check(record_, offset, offset + count, front_.get()));
    if (head > 0 && offset + count <= RecordFronts::kPayloadBytes) Remember();
    return std::span(record_.map->data() + payload + offset, count);
  }

 private:
  // Its first block has been checked.
  void Remember() {
    const size_t head = PackRecordHeadSize(size());
    if (head > RecordFronts::kMostHeadBytes || size() <= 2 * kCheckBlock) return;
    const std::byte* const payload = record_.map->data() + record_.ref.offset;
    auto front = std::make_shared<RecordFront>();
    front->name = record_.ref.name;
    front->length = size();
    front->head.assign(payload - head, payload);
    front->payload.assign(payload, payload + RecordFronts::kPayloadBytes);
    front_ = front;
    packs_.fronts_.Add(record_.ref.file, record_.ref.offset, std::move(front));
  }

  const PackFiles& packs_;
  const Located record_;
  std::shared_ptr<const RecordFront> front_;
  bool fetched_ = false;
};

Result<std::unique_ptr<ByteSource>> PackFiles::OpenRecord(const RecordRef& ref) const {
  ZN_ASSIGN_OR_RETURN(Located record, Locate(ref, nullptr));
  return std::unique_ptr<ByteSource>(std::make_unique<Source>(*this, std::move(record)));
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
