#include "backup/snapshot_store.h"

#include <map>
#include <mutex>

#include "backup/store_restore.h"
#include "room/open_store.h"
#include "room/superblock.h"

namespace zn::backup {
namespace {

/// Makes a log file in the scratch directory the first time that it is opened.
class SnapshotFiles final : public FileSystem {
 public:
  SnapshotFiles(const Repository& repository, const SnapshotDocument& snapshot, uint32_t salt,
                std::string root)
      : repository_(repository), salt_(salt), root_(std::move(root)) {
    for (const FileRecord& file : snapshot.files)
      if (file.name.starts_with("log/")) logs_.emplace(file.name, file);
  }

  Result<File> OpenForReading(const std::string& path) const override {
    const auto log =
        path.starts_with(root_ + "/") ? logs_.find(path.substr(root_.size() + 1)) : logs_.end();
    if (log == logs_.end()) return Error{ErrorCode::kNotFound, path + " is not in the snapshot"};
    const std::lock_guard lock(mutex_);
    if (!PathExists(path)) {
      RestoreOptions options;
      BackupControl control;
      RestoreRun run(repository_, options, control, log->second.size);
      const std::string part = path + ".part";
      ZN_RETURN_IF_ERROR(RemoveFile(part));
      ZN_RETURN_IF_ERROR(RestoreFile(run, log->second, salt_, part, nullptr));
      ZN_RETURN_IF_ERROR(RenameFile(part, path));
    }
    return File::Open(path, File::kRead);
  }
  Result<std::vector<std::string>> List(const std::string& directory) const override {
    std::vector<std::string> names;
    if (directory == root_ + "/log")
      for (const auto& [name, file] : logs_) names.push_back(name.substr(4));
    return names;
  }

  Result<std::unique_ptr<WritableFile>> Create(const std::string&) override { return ReadOnly(); }
  Result<std::unique_ptr<WritableFile>> OpenForWriting(const std::string&) override {
    return ReadOnly();
  }
  Result<File> OpenUnsynced(const std::string&, int64_t) override { return ReadOnly(); }
  Result<> MakeDirectory(const std::string&) override { return ReadOnly(); }
  Result<> Rename(const std::string&, const std::string&) override { return ReadOnly(); }
  Result<> Remove(const std::string&) override { return ReadOnly(); }
  Result<> SyncDirectory(const std::string&) override { return ReadOnly(); }

 private:
  static Error ReadOnly() { return Error{ErrorCode::kReadOnly, "a snapshot is only read"}; }

  const Repository& repository_;
  const uint32_t salt_;
  const std::string root_;
  std::map<std::string, FileRecord> logs_;
  mutable std::mutex mutex_;
};

/// References hold the SHA-256 of what they point to, and that is all a repository asks for:
/// wherever a pack's record lay, or was moved to, is of no matter.
class SnapshotPacks final : public PackStore {
 public:
  explicit SnapshotPacks(const Repository& repository) : repository_(repository) {}

  Result<Buffer> Read(const RecordRef& ref) const override {
    ZN_ASSIGN_OR_RETURN(auto bytes, repository_.Read(ref.name));
    if (bytes.size() != ref.length)
      return Error{ErrorCode::kCorrupt, "an object has another length than the record that it was"};
    return Buffer::Own(std::move(bytes));
  }
  Result<std::unique_ptr<ByteSource>> Open(const RecordRef& ref) const override {
    ZN_ASSIGN_OR_RETURN(Buffer bytes, Read(ref));
    return std::unique_ptr<ByteSource>(std::make_unique<HeldSource>(std::move(bytes)));
  }
  Result<int> Descriptor(const RecordRef&) const override {
    return Error{ErrorCode::kNotFound, "a snapshot's records have no file; read them"};
  }
  std::optional<RecordRef> Find(const Sha256&) const override { return std::nullopt; }
  Result<RecordRef> Put(RecordType, const Sha256&, std::span<const std::byte>) override {
    return Error{ErrorCode::kReadOnly, "a snapshot is only read"};
  }
  Result<> Sync() override { return {}; }
  Stats stats() const override { return {}; }

 private:
  class HeldSource final : public ByteSource {
   public:
    explicit HeldSource(Buffer bytes) : bytes_(std::move(bytes)) {}
    size_t size() const override { return bytes_.size(); }
    Result<std::span<const std::byte>> Fetch(size_t offset, size_t count) override {
      return bytes_.bytes().subspan(offset, count);
    }

   private:
    const Buffer bytes_;
  };

  const Repository& repository_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenSnapshotStore(const Repository& repository,
                                                 const SnapshotDocument& snapshot,
                                                 const std::string& scratch) {
  if (snapshot.kind != SourceKind::kStore)
    return Error{ErrorCode::kInvalidArgument, "the snapshot is of a directory, and not of a store"};
  ZN_ASSIGN_OR_RETURN(const Superblock superblock, DecodeSuperblock(snapshot.superblock));
  for (const char* part : {"", "/log", "/cache"}) ZN_RETURN_IF_ERROR(MakeDirectory(scratch + part));
  ZN_RETURN_IF_ERROR(WriteFileAtomically(scratch + "/superblock", snapshot.superblock));
  internal::StoreSeams seams;
  seams.disk =
      std::make_shared<SnapshotFiles>(repository, snapshot, superblock.record_salt, scratch);
  seams.packs = std::make_unique<SnapshotPacks>(repository);
  StoreOptions options;
  options.read_only = true;
  return internal::OpenStoreWith(std::move(seams), scratch, options);
}

}  // namespace zn::backup
