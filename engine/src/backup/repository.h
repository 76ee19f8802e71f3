// A repository: a directory with objects in bundles, indexes of them, and snapshots.
// docs/backup.md, "The repository".
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "backup/object_index.h"
#include "backup/repository_config.h"
#include "backup/snapshot_document.h"
#include "base/file.h"
#include "zn/engine/error.h"

namespace zn::backup {

/// Members may be called from any thread once the index is loaded.
class Repository {
 public:
  /// kAlreadyExists when there is one, kInvalidArgument when something else is in the directory.
  static Result<std::unique_ptr<Repository>> Create(const std::string& directory,
                                                    const std::optional<std::string>& password,
                                                    const ScryptCost& cost);
  /// kNotFound when there is none; kPermission-like errors are kInvalidArgument: a password that is
  /// wrong, missing, or not needed.
  static Result<std::unique_ptr<Repository>> Open(const std::string& directory,
                                                  const std::optional<std::string>& password);

  const std::string& directory() const { return directory_; }
  const RepositoryConfig& config() const { return config_; }
  const std::optional<Key>& master() const { return master_; }
  bool encrypted() const { return master_.has_value(); }
  std::string PathOf(const RandomId& bundle) const { return directory_ + "/" + BundlePath(bundle); }

  /// The name of the object with this content.
  ObjectId NameOf(const Sha256& content) const {
    return names_ ? ObjectId{Hmac(*names_, content.bytes)} : ObjectId{content};
  }

  /// Reads the indexes, and the tables of bundles that no index has (of a create that was
  /// interrupted). `damaged` is told what could not be read. Again, it reads what has been added
  /// since; whoever reads objects meanwhile is not disturbed.
  Result<> LoadIndex(const std::function<void(const Error&)>& damaged = {});
  /// As it was loaded last.
  std::shared_ptr<const ObjectIndex> index() const {
    const std::lock_guard lock(index_mutex_);
    return index_;
  }
  /// Bundles that LoadIndex found in no index.
  const std::vector<BundleTable>& unindexed() const { return unindexed_; }
  /// Index files that are there.
  Result<std::vector<RandomId>> ListIndexes() const;
  Result<std::vector<RandomId>> ListBundles() const;
  /// Writes an index file with these bundles, durably.
  Result<RandomId> WriteIndex(std::span<const BundleTable> bundles);
  Result<> RemoveIndex(const RandomId& id);

  /// The content, its SHA-256 compared. kNotFound when there is no such object, kCorrupt naming the
  /// bundle when it is damaged. REQUIRES: LoadIndex.
  Result<std::vector<std::byte>> Read(const Sha256& content) const;
  /// The same straight into `out`; kCorrupt when it has another length. After an error `out` holds
  /// anything.
  Result<> ReadInto(const Sha256& content, std::span<std::byte> out) const;
  /// The object at a place of an index; compared with its name as far as that is a hash. For
  /// whoever does not know what it is.
  Result<std::vector<std::byte>> ReadPlace(const ObjectIndex& index,
                                           const ObjectIndex::Place& place) const;

  /// Sorted by time.
  Result<std::vector<SnapshotDocument>> Snapshots(
      const std::function<void(const RandomId&, const Error&)>& damaged = {}) const;
  Result<SnapshotDocument> ReadSnapshot(const RandomId& id) const;
  /// Durable when it returns.
  Result<> WriteSnapshot(const SnapshotDocument& snapshot);
  Result<> RemoveSnapshots(std::span<const RandomId> ids);

 private:
  Repository() = default;
  Result<std::vector<RandomId>> ListIds(const std::string& folder, std::string_view suffix) const;
  std::string IndexPath(const RandomId& id) const { return directory_ + "/index/" + id.Hex(); }
  std::string SnapshotPath(const RandomId& id) const {
    return directory_ + "/snapshots/" + id.Hex();
  }
  Result<std::shared_ptr<const File>> OpenBundle(const RandomId& id) const;
  Result<ObjectIndex::Place> PlaceOf(const ObjectIndex& index, const Sha256& content) const;
  Result<> ReadPlaceInto(const ObjectIndex& index, const ObjectIndex::Place& place,
                         std::span<std::byte> out) const;

  std::string directory_;
  RepositoryConfig config_;
  std::optional<Key> master_, names_;
  std::vector<BundleTable> unindexed_;
  mutable std::mutex index_mutex_;
  std::shared_ptr<const ObjectIndex> index_ =
      std::make_shared<const ObjectIndex>();  // guarded by index_mutex_

  // Bundles that were read last stay open.
  mutable std::mutex files_mutex_;
  mutable std::list<std::pair<RandomId, std::shared_ptr<const File>>>
      files_;  // guarded by files_mutex_; newest first
};

}  // namespace zn::backup
