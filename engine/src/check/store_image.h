// The files of a store as they lie there, for whoever trusts none of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "log/record.h"
#include "pack/pack_format.h"
#include "room/superblock.h"
#include "tree/node.h"

namespace zn::check {

/// One bit for each place where a payload may begin.
class Marks {
 public:
  explicit Marks(uint64_t file_size) : bits_(file_size / kRecordAlignment / 64 + 1) {}
  /// Was it new? Not thread-safe.
  bool Mark(uint64_t offset) {
    const uint64_t place = offset / kRecordAlignment;
    if (place / 64 >= bits_.size()) return false;
    const uint64_t bit = uint64_t{1} << (place % 64);
    const bool fresh = (bits_[place / 64] & bit) == 0;
    bits_[place / 64] |= bit;
    return fresh;
  }
  bool Has(uint64_t offset) const {
    const uint64_t place = offset / kRecordAlignment;
    return place / 64 < bits_.size() && (bits_[place / 64] >> (place % 64) & 1) != 0;
  }

 private:
  std::vector<uint64_t> bits_;
};

/// A pack or a log file. `number` is as in references: with RecordRef::kLogBit for the log's.
struct FileImage {
  uint32_t number = 0;
  std::string name;  // "packs/000001.pack", "log/000001.log"
  File file;
  uint64_t size = 0;
  Marks reached;  // payloads that something refers to
};

/// Where a record was found wanting.
struct RecordFault {
  enum Kind { kMissing, kTruncated, kHash, kUnreadable, kLost } kind;
  std::string what;
};

class StoreImage final : public NodeSource {
 public:
  /// Takes the store's lock for as long as it lives, unless the caller has it; see CheckStore for the errors.
  static Result<std::unique_ptr<StoreImage>> Open(const std::string& directory, bool lock = true);

  const std::string& directory() const { return directory_; }
  const Superblock& superblock() const { return superblock_; }
  uint32_t salt() const { return superblock_.record_salt; }
  std::map<uint32_t, FileImage>& files() { return files_; }
  FileImage* Find(uint32_t number) {
    const auto at = files_.find(number);
    return at == files_.end() ? nullptr : &at->second;
  }

  /// Bytes between a record's beginning and its payload.
  static uint64_t HeadSize(const FileImage& file, uint64_t length);
  /// The header of the record that begins at `begin`, its table of checksums (in packs) checked, or why there is none.
  Result<RecordHeader> HeaderAt(const FileImage& file, uint64_t begin) const;

  /// The size of the record at `begin` of a pack, padding included, if it is marked as lost; else 0.
  uint64_t LostAt(const FileImage& file, uint64_t begin) const;

  /// What a reference means today: moved tables followed. nullopt when its file is gone without a
  /// trace.
  std::optional<RecordRef> Resolve(RecordRef ref) const;

  /// The same, or `ref` itself: how findings name a record.
  RecordRef Now(const RecordRef& ref) const { return Resolve(ref).value_or(ref); }

  /// Is the record there, named and sized as the reference says? The payload is not read.
  std::optional<RecordFault> CheckPlace(const RecordRef& ref) const;

  /// The payload, its hash compared with its name.
  Result<Buffer> ReadNode(const RecordRef& ref) const override;
  std::optional<RecordFault> ReadChecked(const RecordRef& ref,
                                         std::vector<std::byte>* payload) const;

  /// Tables of moves that make no sense, and why.
  const std::vector<std::pair<std::string, std::string>>& damaged_tables() const { return damaged_tables_; }

  /// Marks the record; was it new? False too when its file is gone.
  bool Reach(const RecordRef& ref);

 private:
  /// Is the record marked as lost?
  bool IsLost(const FileImage& file, uint64_t begin, const RecordRef& ref) const;

  std::string directory_;
  File lock_;
  Superblock superblock_;
  std::map<uint32_t, FileImage> files_;
  std::map<uint32_t, std::vector<Move>> moved_;
  std::vector<std::pair<std::string, std::string>> damaged_tables_;
};

/// "chunk", "tree node", ...
std::string_view KindOf(RecordType type);
/// "chunk 3f9a... in packs/000001.pack at 4160".
std::string DescribeRecord(RecordType type, const RecordRef& ref);
/// The file a reference names, relative to the store.
std::string FileNameOf(uint32_t number);

}  // namespace zn::check
