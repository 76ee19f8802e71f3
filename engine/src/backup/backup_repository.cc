// The repository as the rest of the program sees it.
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "backup/directory_backup.h"
#include "backup/object_writer.h"
#include "backup/prune.h"
#include "backup/repository.h"
#include "backup/repository_lock.h"
#include "backup/snapshot_store.h"
#include "backup/store_backup.h"
#include "backup/store_restore.h"
#include "backup/verify.h"
#include "collect/leases.h"
#include "zn/engine/backup.h"

namespace zn {

using backup::Repository;
using backup::RepositoryLock;
using backup::SnapshotDocument;
using backup::SourceKind;

namespace {

int64_t SystemClock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string HostName() {
  char name[256] = "";
  (void)::gethostname(name, sizeof name - 1);
  return name;
}

std::string AbsolutePath(const std::string& path) {
  std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  return real ? real.get() : path;
}

BackupSnapshot Describe(const SnapshotDocument& document) {
  BackupSnapshot snapshot;
  snapshot.id = document.id.Hex();
  if (document.parent != backup::RandomId()) snapshot.parent = document.parent.Hex();
  snapshot.is_store = document.kind == SourceKind::kStore;
  snapshot.time_ns = document.time_ns;
  snapshot.host = document.host;
  snapshot.source = document.source;
  snapshot.description = document.description;
  snapshot.tags = document.tags;
  if (snapshot.is_store) snapshot.store = FormatUuid(document.store);
  snapshot.sequence = document.sequence;
  snapshot.files = document.files.size();
  snapshot.bytes = document.bytes;
  snapshot.new_bytes = document.new_bytes;
  snapshot.new_objects = document.new_objects;
  snapshot.damaged = document.damaged;
  return snapshot;
}

class BackupRepositoryImpl final : public BackupRepository {
 public:
  BackupRepositoryImpl(std::unique_ptr<Repository> repository, const Access& access)
      : repository_(std::move(repository)), wait_(access.wait), notice_(access.notice) {}

  bool encrypted() const override { return repository_->encrypted(); }
  Result<std::vector<BackupSnapshot>> List(
      const std::function<void(const std::string&)>& damaged) override;
  Result<BackupSnapshot> Find(std::string_view id) override;
  Result<BackupSnapshot> Backup(const std::string& source, const BackupOptions& options,
                                const BackupControl& control) override;
  Result<RestoreSummary> Restore(const std::string& id, const std::string& target,
                                 const RestoreOptions& options,
                                 const BackupControl& control) override;
  Result<std::unique_ptr<Store>> OpenSnapshot(const std::string& id,
                                              const std::string& scratch) override;
  Result<BackupVerifySummary> Verify(const BackupVerifyOptions& options,
                                     const BackupControl& control) override;
  Result<PruneSummary> Prune(const PruneOptions& options, const BackupControl& control) override;
  Result<std::optional<Buffer>> FindContent(const Sha256& content) override;
  Result<std::vector<std::byte>> SuperblockOf(const std::string& id) override;
  Result<> RestoreFile(const std::string& id, const std::string& file,
                       const std::string& path) override;

 private:
  Result<std::unique_ptr<RepositoryLock>> Lock(RepositoryLock::Kind kind,
                                               std::string_view command) const {
    return RepositoryLock::Take(repository_->directory(), kind, command, wait_, notice_);
  }
  Result<SnapshotDocument> Document(const std::string& id) const;
  Result<> BackUpStore(const std::string& source, const std::vector<SnapshotDocument>& earlier,
                       const BackupOptions& options, const BackupControl& control,
                       backup::ObjectWriter& writer, SnapshotDocument& snapshot) const;

  const std::unique_ptr<Repository> repository_;
  const std::chrono::milliseconds wait_;
  const std::function<void(const std::string&)> notice_;
  std::unique_ptr<RepositoryLock> reading_;  // while snapshots are open
};

Result<std::vector<BackupSnapshot>> BackupRepositoryImpl::List(
    const std::function<void(const std::string&)>& damaged) {
  std::function<void(const backup::RandomId&, const Error&)> tell;
  if (damaged) tell = [&](const backup::RandomId&, const Error& error) { damaged(error.message); };
  ZN_ASSIGN_OR_RETURN(const auto documents, repository_->Snapshots(tell));
  std::vector<BackupSnapshot> snapshots;
  for (const SnapshotDocument& document : documents) snapshots.push_back(Describe(document));
  return snapshots;
}

Result<BackupSnapshot> BackupRepositoryImpl::Find(std::string_view id) {
  ZN_ASSIGN_OR_RETURN(const auto snapshots, List([](const std::string&) {}));
  if (id == "latest") {
    if (snapshots.empty()) return Error{ErrorCode::kNotFound, "there is no snapshot"};
    return snapshots.back();
  }
  if (id.size() < 4)
    return Error{ErrorCode::kInvalidArgument,
                 "at least 4 digits of a snapshot's id are needed, or 'latest'"};
  const BackupSnapshot* found = nullptr;
  for (const BackupSnapshot& snapshot : snapshots) {
    if (!snapshot.id.starts_with(id)) continue;
    if (found != nullptr)
      return Error{ErrorCode::kInvalidArgument,
                   "several snapshots begin with " + std::string(id) + "; write more digits"};
    found = &snapshot;
  }
  if (found == nullptr)
    return Error{ErrorCode::kNotFound, "there is no snapshot " + std::string(id)};
  return *found;
}

Result<SnapshotDocument> BackupRepositoryImpl::Document(const std::string& id) const {
  const auto parsed = backup::RandomId::Parse(id);
  if (!parsed) return Error{ErrorCode::kInvalidArgument, id + " is not a snapshot's id"};
  return repository_->ReadSnapshot(*parsed);
}

Result<> BackupRepositoryImpl::BackUpStore(const std::string& source,
                                           const std::vector<SnapshotDocument>& earlier,
                                           const BackupOptions& options,
                                           const BackupControl& control,
                                           backup::ObjectWriter& writer,
                                           SnapshotDocument& snapshot) const {
  snapshot.kind = SourceKind::kStore;
  // Before the files are listed, until the last of them is read: a collection gives nothing of them back meanwhile.
  const auto lease = Lease::Take(source + "/leases");
  if (!lease && control.warning)
    control.warning("a collection of the store will not wait for this backup: " + lease.error().message);
  ZN_ASSIGN_OR_RETURN(const auto files, backup::OpenStoreFiles(source));
  snapshot.store = files.superblock.uuid;
  snapshot.superblock = files.superblock_bytes;
  snapshot.sequence = files.sequence;
  const SnapshotDocument* parent = nullptr;
  for (auto at = earlier.rbegin(); at != earlier.rend() && parent == nullptr && !options.read_all;
       ++at) {
    ZN_ASSIGN_OR_RETURN(const bool continues, backup::Continues(files, *at));
    if (continues) parent = &*at;
  }
  if (parent != nullptr) snapshot.parent = parent->id;
  return backup::StoreBackup(*repository_, writer, control).Run(files, parent, snapshot);
}

Result<BackupSnapshot> BackupRepositoryImpl::Backup(const std::string& source,
                                                    const BackupOptions& options,
                                                    const BackupControl& control) {
  ZN_ASSIGN_OR_RETURN(const auto lock, Lock(RepositoryLock::Kind::kShared, "create"));
  SnapshotDocument snapshot;
  snapshot.id = backup::RandomId::New();
  snapshot.time_ns = options.clock ? options.clock() : SystemClock();
  snapshot.host = options.host.empty() ? HostName() : options.host;
  snapshot.source = AbsolutePath(source);
  snapshot.description = options.description;
  snapshot.tags = options.tags;
  ZN_RETURN_IF_ERROR(repository_->LoadIndex([&](const Error& error) {
    if (control.warning) control.warning(error.message);
  }));
  ZN_ASSIGN_OR_RETURN(const auto earlier,
                      repository_->Snapshots([](const backup::RandomId&, const Error&) {}));
  backup::ObjectWriter writer(*repository_);

  if (PathExists(source + "/superblock")) {
    ZN_RETURN_IF_ERROR(BackUpStore(source, earlier, options, control, writer, snapshot));
  } else if (backup::IsZarr(source)) {
    snapshot.kind = SourceKind::kDirectory;
    const SnapshotDocument* parent = nullptr;
    for (const SnapshotDocument& one : earlier)
      if (one.kind == snapshot.kind && one.host == snapshot.host && one.source == snapshot.source &&
          !options.read_all)
        parent = &one;
    if (parent != nullptr) snapshot.parent = parent->id;
    ZN_RETURN_IF_ERROR(
        backup::BackUpDirectory(*repository_, writer, source, parent, control, snapshot));
  } else {
    return Error{ErrorCode::kNotFound,
                 source +
                     " is neither a ZnStore (it has no superblock) nor a Zarr group or array (no "
                     "zarr.json, .zgroup or .zarray)"};
  }

  // Objects, then the index, then the snapshot: each is on the disk before anything refers to it.
  ZN_RETURN_IF_ERROR(writer.Finish());
  snapshot.new_bytes = writer.stats().bytes;
  snapshot.new_objects = writer.stats().objects;
  ZN_RETURN_IF_ERROR(repository_->WriteSnapshot(snapshot));
  return Describe(snapshot);
}

Result<RestoreSummary> BackupRepositoryImpl::Restore(const std::string& id,
                                                     const std::string& target,
                                                     const RestoreOptions& options,
                                                     const BackupControl& control) {
  ZN_ASSIGN_OR_RETURN(const auto lock, Lock(RepositoryLock::Kind::kShared, "restore"));
  ZN_ASSIGN_OR_RETURN(const SnapshotDocument snapshot, Document(id));
  if (PathExists(target)) {
    auto entries = ListDirectory(target);
    if (!entries || !entries->empty())
      return Error{ErrorCode::kAlreadyExists,
                   target + " is there already and not an empty directory; name another one"};
  }
  ZN_RETURN_IF_ERROR(repository_->LoadIndex([&](const Error& error) {
    if (control.warning) control.warning(error.message);
  }));
  // Beside its place, so that the name stands for all of it or nothing.
  std::string path = target;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string making = path + ".restoring-" + id.substr(0, 16);
  ZN_RETURN_IF_ERROR(MakeDirectory(making));
  ZN_ASSIGN_OR_RETURN(
      RestoreSummary summary,
      snapshot.kind == SourceKind::kStore
          ? backup::RestoreStore(*repository_, snapshot, making, options, control)
          : backup::RestoreDirectory(*repository_, snapshot, making, options, control));
  ZN_RETURN_IF_ERROR(RenameFile(making, path));
  const size_t slash = path.rfind('/');
  ZN_RETURN_IF_ERROR(SyncDirectory(slash == std::string::npos ? "."
                                   : slash == 0               ? "/"
                                                              : path.substr(0, slash)));
  return summary;
}

Result<std::unique_ptr<Store>> BackupRepositoryImpl::OpenSnapshot(const std::string& id,
                                                                  const std::string& scratch) {
  if (!reading_) {
    ZN_ASSIGN_OR_RETURN(reading_, Lock(RepositoryLock::Kind::kShared, "restore"));
  }
  ZN_ASSIGN_OR_RETURN(const SnapshotDocument snapshot, Document(id));
  ZN_RETURN_IF_ERROR(repository_->LoadIndex());
  return backup::OpenSnapshotStore(*repository_, snapshot, scratch);
}

Result<BackupVerifySummary> BackupRepositoryImpl::Verify(const BackupVerifyOptions& options,
                                                         const BackupControl& control) {
  ZN_ASSIGN_OR_RETURN(const auto lock, Lock(RepositoryLock::Kind::kShared, "verify"));
  return backup::VerifyRepository(*repository_, options, control);
}

Result<PruneSummary> BackupRepositoryImpl::Prune(const PruneOptions& options,
                                                 const BackupControl& control) {
  reading_.reset();  // of snapshots that were opened here
  ZN_ASSIGN_OR_RETURN(const auto lock, Lock(RepositoryLock::Kind::kExclusive, "prune"));
  ZN_ASSIGN_OR_RETURN(backup::Pruned pruned,
                      backup::PruneRepository(*repository_, options, control));
  for (const SnapshotDocument& snapshot : pruned.kept)
    pruned.summary.kept.push_back(Describe(snapshot));
  for (const SnapshotDocument& snapshot : pruned.removed)
    pruned.summary.removed.push_back(Describe(snapshot));
  return std::move(pruned.summary);
}

Result<std::optional<Buffer>> BackupRepositoryImpl::FindContent(const Sha256& content) {
  ZN_RETURN_IF_ERROR(repository_->LoadIndex());
  auto bytes = repository_->Read(content);
  if (bytes) return std::optional<Buffer>(Buffer::Own(std::move(*bytes)));
  if (bytes.error().code == ErrorCode::kNotFound) return std::optional<Buffer>();
  return std::move(bytes).error();
}

Result<std::vector<std::byte>> BackupRepositoryImpl::SuperblockOf(const std::string& id) {
  ZN_ASSIGN_OR_RETURN(SnapshotDocument snapshot, Document(id));
  return std::move(snapshot.superblock);
}

Result<> BackupRepositoryImpl::RestoreFile(const std::string& id, const std::string& file,
                                           const std::string& path) {
  ZN_ASSIGN_OR_RETURN(const SnapshotDocument snapshot, Document(id));
  for (const backup::FileRecord& record : snapshot.files) {
    if (record.name != file || snapshot.kind != SourceKind::kStore) continue;
    ZN_RETURN_IF_ERROR(repository_->LoadIndex());
    ZN_ASSIGN_OR_RETURN(const Superblock superblock, DecodeSuperblock(snapshot.superblock));
    RestoreOptions options;
    options.keep_going = true;
    const BackupControl control;
    backup::RestoreRun run(*repository_, options, control, record.size);
    return backup::RestoreFile(run, record, superblock.record_salt, path, nullptr);
  }
  return Error{ErrorCode::kNotFound, "the snapshot has no " + file};
}

}  // namespace

Result<std::unique_ptr<BackupRepository>> BackupRepository::Create(const std::string& directory,
                                                                   const Access& access) {
  backup::ScryptCost cost;
  cost.log_n = static_cast<uint32_t>(access.scrypt_log_n);
  ZN_ASSIGN_OR_RETURN(auto repository, Repository::Create(directory, access.password, cost));
  return std::unique_ptr<BackupRepository>(
      std::make_unique<BackupRepositoryImpl>(std::move(repository), access));
}

Result<std::unique_ptr<BackupRepository>> BackupRepository::Open(const std::string& directory,
                                                                 const Access& access) {
  ZN_ASSIGN_OR_RETURN(auto repository, Repository::Open(directory, access.password));
  return std::unique_ptr<BackupRepository>(
      std::make_unique<BackupRepositoryImpl>(std::move(repository), access));
}

}  // namespace zn
