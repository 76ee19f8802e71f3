// The PackStore over a FileSystem. See pack_store.h.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file_system.h"
#include "pack/pack_files.h"
#include "pack/pack_store.h"

namespace zn {

class PackStoreImpl : public PackStore {
 public:
  static Result<std::unique_ptr<PackStore>> Open(std::shared_ptr<FileSystem> files,
                                                 const PackStoreOptions& options);
  /// Syncs and seals what this process wrote.
  ~PackStoreImpl() override;

  Result<RecordRef> Put(RecordType type, const Sha256& name,
                        std::span<const std::byte> payload) override;
  Result<> Sync() override;
  std::optional<RecordRef> Find(const Sha256& name) const override;
  Result<Buffer> Read(const RecordRef& ref) const override { return packs_.Read(ref); }
  Result<std::unique_ptr<ByteSource>> Open(const RecordRef& ref) const override {
    return packs_.OpenRecord(ref);
  }
  Result<int> Descriptor(const RecordRef& ref) const override { return packs_.Descriptor(ref); }
  Result<std::vector<Pack>> ListClosed() const override;
  Result<> Close(uint64_t least) override;
  uint32_t FirstWritable() const override;
  Result<RecordRef> Locate(const RecordRef& ref, std::vector<Hop>* hops) const override {
    return packs_.Where(ref, hops);
  }
  Result<PackScan> Scan(uint32_t pack) const override { return packs_.Scan(pack); }
  Result<> Replace(uint32_t pack, std::vector<Move> moves) override;
  Result<> Remove(uint32_t pack) override;
  Result<std::vector<uint32_t>> ListMoved() const override;
  Result<std::vector<Move>> Moves(uint32_t pack) const override { return packs_.Moves(pack); }
  Result<> RemoveMoves(uint32_t pack) override;
  Stats stats() const override;

 private:
  /// A pack that this process writes and has not sealed.
  struct OpenPack {
    uint32_t number = 0;
    std::unique_ptr<WritableFile> file;
    uint64_t end = kPackHeaderSize;  // of what is reserved
    uint64_t written_back = 0;       // up to here the system was asked to write
    int writers = 0;                 // Puts that are writing into it
    bool dirty = true;               // has writes that no Sync covers
    bool full = false;               // takes no more
  };
  struct NameHash {
    size_t operator()(const Sha256& name) const {
      size_t hash;
      std::memcpy(&hash, name.bytes.data(), sizeof hash);
      return hash;
    }
  };

  PackStoreImpl(std::shared_ptr<FileSystem> files, const PackStoreOptions& options);
  Result<> List();
  Error Failure() const;                                     // REQUIRES: mutex_ held
  Error Fail(Error error);                                   // takes mutex_
  Result<std::shared_ptr<OpenPack>> PackFor(uint64_t size);  // REQUIRES: mutex_ held
  Result<> SyncNow(bool seal_all);
  Result<> WriteWhole(const std::string& path, std::span<const std::byte> bytes);
  Result<> Seal(const OpenPack& pack);

  const std::shared_ptr<FileSystem> files_;
  const PackStoreOptions options_;
  PackFiles packs_;

  std::mutex sync_mutex_;  // one Sync at a time; before mutex_
  mutable std::mutex mutex_;
  std::condition_variable written_;
  // All guarded by mutex_.
  std::vector<std::shared_ptr<OpenPack>> open_;  // the last one takes records, unless it is full
  std::unordered_map<Sha256, RecordRef, NameHash> recent_;
  std::set<uint32_t> collected_;  // packs with a table of moves
  std::set<uint64_t> writing_;  // numbers of the Puts that are writing
  uint64_t puts_ = 0;
  uint32_t next_pack_ = 1;
  bool names_dirty_ = false;  // a new pack's name is not synced
  std::optional<Error> failure_;
  Stats stats_;
};

}  // namespace zn
