// Where a damaged record's bytes may still be.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "check/findings.h"
#include "check/store_image.h"
#include "codec/pipeline_cache.h"
#include "zn/engine/backup.h"

namespace zn::check {

class HealingSources {
 public:
  /// `scratch` is a folder for files of the backup; the destructor removes it. `backup` may be
  /// null.
  HealingSources(const std::string& store, BackupRepository* backup, std::string scratch);
  ~HealingSources();
  HealingSources(const HealingSources&) = delete;

  struct Copy {
    std::vector<std::byte> payload;
    std::string from;  // "packs/000002.pack at 4160", "the cache", "the backup"
  };
  /// Looks through all files of `image` for other records of these names. Once before a round of
  /// Find.
  void LookForDuplicates(StoreImage& image, std::span<const DamagedRecord> damaged);
  /// A payload whose SHA-256 is the record's name.
  std::optional<Copy> Find(const StoreImage& image, const DamagedRecord& record);

  /// A file of this store ("log/000001.log") as the newest snapshot that has it knows it, if there
  /// is one. A file that is appended to was shorter then.
  std::optional<File> BackedUp(const StoreImage& image, const std::string& file);
  /// The superblock of the snapshot that fits the store's files.
  std::optional<std::vector<std::byte>> BackedUpSuperblock();

  /// What went wrong with the backup, once.
  const std::string& backup_error() const { return backup_error_; }

 private:
  std::optional<Copy> FromItself(const StoreImage& image, const DamagedRecord& record) const;
  std::optional<Copy> FromDuplicate(const StoreImage& image, const DamagedRecord& record) const;
  std::optional<Copy> FromCache(const DamagedRecord& record);
  std::optional<Copy> FromBackup(const DamagedRecord& record);
  const std::vector<BackupSnapshot>& Snapshots();

  const std::string store_;
  BackupRepository* const backup_;
  const std::string scratch_;
  PipelineCache pipelines_;
  std::map<Sha256, std::vector<RecordRef>> duplicates_;
  std::optional<std::vector<BackupSnapshot>> snapshots_;  // newest first
  std::map<std::string, std::string> restored_;           // file -> its path in scratch_, or ""
  std::string backup_error_;
};

}  // namespace zn::check
