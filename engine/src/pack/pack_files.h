// Reading packs: maps, checks on first use, sealed indexes, moved tables.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file_system.h"
#include "pack/pack_format.h"
#include "pack/record_fronts.h"
#include "zn/engine/buffer.h"
#include "zn/engine/byte_source.h"

namespace zn {

/// Remembers what was found sound in this process, in bounded memory: it may be forgotten, and is
/// then checked once more. Lock-free.
class CheckedRecords {
 public:
  enum What : uint8_t { kRecord, kHead, kBlock };  // at the offset of its payload, or of the block
  CheckedRecords() : slots_(new std::atomic<uint64_t>[kSlots]()) {}
  bool Has(What what, uint32_t file, uint64_t offset) const;
  void Add(What what, uint32_t file, uint64_t offset);

 private:
  static constexpr size_t kSlots = size_t{1} << 18;  // 2 MiB, of which only what is used is touched
  static constexpr size_t kWays = 4;
  static uint64_t KeyOf(What what, uint32_t file, uint64_t offset);  // 0: not to be remembered
  static size_t SlotOf(uint64_t key);

  std::unique_ptr<std::atomic<uint64_t>[]> slots_;
};

/// The packs of a folder. Files are opened and mapped when first used. All members may be called
/// from any thread.
class PackFiles {
 public:
  PackFiles(std::shared_ptr<FileSystem> files, std::string directory, uint32_t salt,
            int64_t reserve);

  /// A pack that this process writes: mapped for more than it has, and readable up to what
  /// SetReadable says.
  Result<> AddOpenPack(uint32_t pack, const File& file);
  void SetReadable(uint32_t pack, uint64_t end);  // only ever more

  Result<Buffer> Read(const RecordRef& ref) const;
  Result<std::unique_ptr<ByteSource>> OpenRecord(const RecordRef& ref) const;
  Result<int> Descriptor(const RecordRef& ref) const;

  // For the collection.
  /// Where the record is now; appends the packs that are gone on its way there.
  Result<RecordRef> Where(const RecordRef& ref, std::vector<std::pair<uint32_t, uint64_t>>* hops) const;
  Result<PackScan> Scan(uint32_t pack) const;
  /// The table of a collected pack, as its file has it.
  Result<std::vector<Move>> Moves(uint32_t pack) const;
  /// The pack's records are read where they went from now on, and not found by name. Whoever has one mapped keeps it.
  void SetMoved(uint32_t pack, std::vector<Move> moves);
  /// What is known of the pack is looked up again.
  void Forget(uint32_t pack);

  /// Names an index that FindSealed looks into from now on, before those named earlier.
  void AddSealed(uint32_t pack);
  /// Checked: the record is there and sound.
  std::optional<RecordRef> FindSealed(const Sha256& name) const;

  std::string PathOf(uint32_t pack, std::string_view extension) const {
    return directory_ + "/" + PackFileName(pack, extension);
  }

 private:
  struct Pack {
    std::shared_ptr<const Mapping> map;  // null when the pack is gone
    std::atomic<uint64_t> readable{0};   // bytes; at most what is mapped and what the file has
    std::vector<Move> moves;             // when it is gone
    mutable std::mutex mutex;
    mutable File descriptor;  // opened on demand; guarded by mutex
  };
  struct Sealed {
    uint32_t pack;
    std::once_flag opened;
    std::shared_ptr<const Mapping> map;
    std::optional<PackIndex> index;  // nullopt when it is damaged: then nothing is found
  };

  /// kNotFound when the pack is gone and no table says where to.
  Result<std::shared_ptr<Pack>> Find(uint32_t pack, uint64_t need) const;
  Result<std::shared_ptr<Pack>> Open(uint32_t pack) const;
  /// A record as it lies in a pack that is there; not checked.
  struct Located {
    std::shared_ptr<const Mapping> map;
    RecordRef ref;  // after all moves
  };
  class Source;
  Result<Located> Locate(const RecordRef& ref, std::vector<std::pair<uint32_t, uint64_t>>* hops) const;
  Result<Located> LocateOnce(const RecordRef& ref, std::vector<std::pair<uint32_t, uint64_t>>* hops) const;
  /// The record's head where it lies, or as `front` has it.
  Result<PackRecordHead> OpenHead(const Located& record, const RecordFront* front) const;
  /// Checks the blocks of the record that hold [begin, end) of its payload, if that was not done.
  Result<> Check(const Located& record, uint64_t begin, uint64_t end, const RecordFront* front = nullptr) const;
  void OpenIndex(Sealed& sealed) const;

  const std::shared_ptr<FileSystem> files_;
  const std::string directory_;
  const uint32_t salt_;
  const uint64_t reserve_;
  mutable CheckedRecords checked_;
  mutable RecordFronts fronts_;
  mutable std::shared_mutex mutex_;
  mutable std::unordered_map<uint32_t, std::shared_ptr<Pack>> packs_;  // guarded by mutex_
  std::vector<std::shared_ptr<Pack>> retired_;  // guarded by mutex_: gone, but with a descriptor that was given out
  std::vector<std::shared_ptr<Sealed>> sealed_;                        // guarded by mutex_
};

}  // namespace zn
