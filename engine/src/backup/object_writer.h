// Adds objects to a repository: into bundles under temporary names, which get their names once they
// are synced.
//
// A process that is killed leaves whole bundles, which the next one finds and uses, and a part of
// one in REPO/tmp.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "backup/repository.h"

namespace zn::backup {

class ObjectWriter {
 public:
  static constexpr uint64_t kBundleBytes = 32 << 20;

  /// The repository's index must be loaded, and outlive this.
  explicit ObjectWriter(Repository& repository, uint64_t bundle_bytes = kBundleBytes)
      : repository_(repository), index_(repository.index()), bundle_bytes_(bundle_bytes) {}
  ~ObjectWriter();  // without Finish: what is not yet a bundle is dropped

  /// Is there an object with this content already, or is it being written?
  bool Has(const Sha256& content) const;
  /// From any thread; they encrypt and write in parallel. `content` is the SHA-256 of `bytes`, at
  /// most 4 GiB. Nothing happens when the object is there already. After a failure every further
  /// call fails.
  Result<> Put(const Sha256& content, std::span<const std::byte> bytes);
  /// For prune: also when the index has it.
  Result<> PutAgain(const ObjectId& id, std::span<const std::byte> bytes);

  /// Everything that was Put is durable, but in no index yet: the bundles that were made.
  Result<std::vector<BundleTable>> Seal();
  /// As Seal, and in an index.
  Result<> Finish();

  struct Stats {
    uint64_t objects = 0, bytes = 0;  // written; bytes as stored
  };
  Stats stats() const;

 private:
  struct Open {
    RandomId id;
    std::string temporary;
    File file;
    std::optional<BundleCipher> cipher;
    uint64_t end = kBundleHeaderSize;
    uint64_t written_back = 0;
    int writers = 0;
    bool full = false;
    std::vector<BundleEntry> entries;
  };
  Result<> Write(const ObjectId& id, std::span<const std::byte> bytes);
  Result<std::shared_ptr<Open>> Current();  // REQUIRES: mutex_ held
  Result<> Close(Open& bundle);             // by its last writer
  Result<> Fail(Result<> result);

  Repository& repository_;
  const std::shared_ptr<const ObjectIndex> index_;  // of what was there at the beginning
  const uint64_t bundle_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable closed_;
  std::shared_ptr<Open> current_;                       // guarded by mutex_, as all below
  int open_ = 0;                                        // bundles that are not closed
  std::unordered_set<ObjectId, HashObjectId> written_;  // by this
  std::vector<BundleTable> made_;
  std::set<std::string> folders_;  // whose names are to be synced
  std::optional<Error> failure_;
  Stats stats_;
};

}  // namespace zn::backup
