// The log's files as read-only maps, and which of their records were found sound in this process.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "log/group.h"
#include "log/record.h"

namespace zn {

/// Files are mapped at first use and stay mapped, so that spans stay valid. The map of the file
/// that is written is larger than the file; nothing beyond what Extend() was told is touched. All
/// members may be called from any thread.
class LogMaps {
 public:
  LogMaps(std::shared_ptr<FileSystem> files, std::string directory, uint32_t salt, int64_t reserve);
  ~LogMaps();

  /// Everything up to `end` may be read from now on: earlier files whole, this one up to the
  /// offset.
  Result<> Extend(LogPosition end);

  /// kNotFound beyond what Extend() was told; kCorrupt naming file and offset.
  Result<std::span<const std::byte>> Read(const RecordRef& ref) const;

  /// The file was moved away, and its number may come to name another one. What was read of it stays valid.
  void Forget(uint32_t file) const;

  /// Parts of the file were given back: its records are checked again on their next use.
  void Uncheck(uint32_t file) const;

  /// [0, size of the file now), whatever Extend() was told: for scanning.
  Result<std::span<const std::byte>> WholeFile(uint32_t file) const;

  std::string PathOf(uint32_t file) const { return directory_ + LogFileName(file).substr(3); }
  uint32_t salt() const { return salt_; }

 private:
  struct View;
  struct Entry {
    std::atomic<View*> view{nullptr};
    std::atomic<uint64_t> readable{0};  // bytes
  };
  static constexpr uint32_t kEntriesInBlock = 1024;
  static constexpr uint32_t kBlocks = 1024;
  using Block = std::array<Entry, kEntriesInBlock>;

  Entry* Find(uint32_t file) const {
    if (file / kEntriesInBlock >= kBlocks) return nullptr;
    Block* block = blocks_[file / kEntriesInBlock].load(std::memory_order_acquire);
    return block == nullptr ? nullptr : &(*block)[file % kEntriesInBlock];
  }
  Result<Entry*> FindOrAdd(uint32_t file) const;
  /// A view of at least `size` bytes; a larger one is made when there is none. REQUIRES: mutex_
  /// held.
  Result<View*> MapAtLeast(Entry& entry, uint32_t file, uint64_t size, uint64_t reserve) const;
  Result<> OpenSealed(uint32_t file) const;
  Result<> Check(const View& view, const RecordRef& ref) const;

  const std::shared_ptr<FileSystem> files_;
  const std::string directory_;
  const uint32_t salt_;
  const uint64_t reserve_;
  mutable std::array<std::atomic<Block*>, kBlocks> blocks_{};
  std::atomic<uint32_t> newest_{0};                   // the file that Extend() named last
  mutable std::mutex mutex_;                          // held while files are opened and mapped
  mutable std::vector<std::unique_ptr<View>> views_;  // all there ever were; guarded by mutex_
};

}  // namespace zn
