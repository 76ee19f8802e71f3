#include "backup/repository.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "backup/envelope.h"
#include "base/hash.h"

namespace zn::backup {
namespace {

constexpr int64_t kMostDocument = int64_t{4} << 30;
constexpr size_t kMostOpenBundles = 64;
constexpr std::string_view kBundleSuffix = ".bundle";

}  // namespace

Result<std::unique_ptr<Repository>> Repository::Create(const std::string& directory,
                                                       const std::optional<std::string>& password,
                                                       const ScryptCost& cost) {
  const std::string path = directory + "/config";
  if (PathExists(path))
    return Error{ErrorCode::kAlreadyExists, directory + " is a repository already"};
  ZN_RETURN_IF_ERROR(MakeDirectoryDurably(directory));
  ZN_ASSIGN_OR_RETURN(const auto entries, ListDirectory(directory));
  for (const std::string& entry : entries)
    if (entry != "data" && entry != "index" && entry != "snapshots" && entry != "locks" &&
        entry != "tmp" && entry.rfind("config.tmp", 0) != 0)
      return Error{ErrorCode::kInvalidArgument,
                   directory + " is not empty and not a repository; name another directory"};
  for (const char* part : {"data", "index", "snapshots", "locks", "tmp"})
    ZN_RETURN_IF_ERROR(MakeDirectory(directory + "/" + part));
  ZN_RETURN_IF_ERROR(SyncDirectory(directory));
  std::unique_ptr<Repository> repository(new Repository());
  repository->directory_ = directory;
  RepositoryConfig& config = repository->config_;
  config.id = RandomId::New().bytes;
  config.created_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
  if (password) {
    ZN_ASSIGN_OR_RETURN(repository->master_, NewMasterKey(config, *password, cost));
    repository->names_ = DeriveKey(*repository->master_, "names");
  }
  ZN_RETURN_IF_ERROR(WriteFileAtomically(path, EncodeConfig(config)));
  return repository;
}

Result<std::unique_ptr<Repository>> Repository::Open(const std::string& directory,
                                                     const std::optional<std::string>& password) {
  const std::string path = directory + "/config";
  if (!PathExists(path))
    return Error{ErrorCode::kNotFound,
                 directory + " is not a zn-backup repository (it has no config)"};
  ZN_ASSIGN_OR_RETURN(const auto bytes, ReadWholeFile(path, 1 << 20));
  auto config = DecodeConfig(bytes);
  if (!config) return std::move(config).error().Context(path);
  std::unique_ptr<Repository> repository(new Repository());
  repository->directory_ = directory;
  repository->config_ = *config;
  if (config->key) {
    if (!password)
      return Error{ErrorCode::kInvalidArgument,
                   "the repository " + directory + " is encrypted: a password is needed"};
    auto master = UnwrapMasterKey(*config, *password);
    if (!master) return std::move(master).error().Context(directory);
    repository->master_ = *master;
    repository->names_ = DeriveKey(*master, "names");
  }
  return repository;
}

Result<std::vector<RandomId>> Repository::ListIds(const std::string& folder,
                                                  std::string_view suffix) const {
  std::vector<RandomId> ids;
  const std::string path = directory_ + "/" + folder;
  if (!PathExists(path)) return ids;
  ZN_ASSIGN_OR_RETURN(const auto names, ListDirectory(path));
  for (std::string_view name : names) {
    if (!name.ends_with(suffix)) continue;
    name.remove_suffix(suffix.size());
    if (const auto id = RandomId::Parse(name)) ids.push_back(*id);
  }
  return ids;
}

Result<std::vector<RandomId>> Repository::ListIndexes() const { return ListIds("index", ""); }

Result<std::vector<RandomId>> Repository::ListBundles() const {
  std::vector<RandomId> all;
  ZN_ASSIGN_OR_RETURN(const auto folders, ListDirectory(directory_ + "/data"));
  for (const std::string& folder : folders) {
    if (folder.size() != 2) continue;
    ZN_ASSIGN_OR_RETURN(const auto ids, ListIds("data/" + folder, kBundleSuffix));
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

Result<> Repository::LoadIndex(const std::function<void(const Error&)>& damaged) {
  auto index = std::make_shared<ObjectIndex>();
  unindexed_.clear();
  ZN_ASSIGN_OR_RETURN(const auto ids, ListIndexes());
  for (const RandomId& id : ids) {
    const auto load = [&]() -> Result<> {
      ZN_ASSIGN_OR_RETURN(const auto bytes, ReadWholeFile(IndexPath(id), kMostDocument));
      ZN_ASSIGN_OR_RETURN(const auto payload, TakeFromEnvelope(Document::kIndex, bytes, master_));
      ZN_ASSIGN_OR_RETURN(const auto bundles, DecodeIndex(payload, encrypted()));
      for (const BundleTable& bundle : bundles) index->Add(bundle);
      return {};
    };
    if (auto loaded = load(); !loaded) {
      Error error = std::move(loaded).error().Context("index/" + id.Hex());
      // The bundles' own tables say the same, so a lost index loses nothing.
      if (damaged) damaged(error);
    }
  }
  ZN_ASSIGN_OR_RETURN(const auto bundles, ListBundles());
  for (const RandomId& id : bundles) {
    if (index->Has(id)) continue;
    const auto read = [&]() -> Result<BundleTable> {
      ZN_ASSIGN_OR_RETURN(const File file, File::Open(PathOf(id), File::kRead));
      return ReadBundleTable(file, id, master_);
    };
    auto table = read();
    if (!table) {
      if (damaged) damaged(std::move(table).error().Context(BundlePath(id)));
      continue;
    }
    index->Add(*table);
    unindexed_.push_back(std::move(*table));
  }
  index->Sort();
  const std::lock_guard lock(index_mutex_);
  index_ = std::move(index);
  return {};
}

Result<RandomId> Repository::WriteIndex(std::span<const BundleTable> bundles) {
  const RandomId id = RandomId::New();
  const auto bytes = PutInEnvelope(Document::kIndex, EncodeIndex(bundles), master_);
  ZN_RETURN_IF_ERROR(WriteFileAtomically(IndexPath(id), bytes));
  return id;
}

Result<> Repository::RemoveIndex(const RandomId& id) { return RemoveFile(IndexPath(id)); }

Result<std::shared_ptr<const File>> Repository::OpenBundle(const RandomId& id) const {
  const std::lock_guard lock(files_mutex_);
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const auto& entry) { return entry.first == id; });
  if (found != files_.end()) {
    files_.splice(files_.begin(), files_, found);
    return found->second;
  }
  ZN_ASSIGN_OR_RETURN(File file, File::Open(PathOf(id), File::kRead));
  auto shared = std::make_shared<const File>(std::move(file));
  files_.emplace_front(id, shared);
  if (files_.size() > kMostOpenBundles) files_.pop_back();
  return std::shared_ptr<const File>(std::move(shared));
}

Result<> Repository::ReadPlaceInto(const ObjectIndex& index, const ObjectIndex::Place& place,
                                   std::span<std::byte> out) const {
  const ObjectIndex::Bundle& bundle = index.bundles()[place.bundle];
  const auto corrupt = [&](const std::string& what) {
    return Error{ErrorCode::kCorrupt, BundlePath(bundle.id) + " at offset " +
                                          std::to_string(place.offset) + ": " + what};
  };
  if (out.size() != place.length) return corrupt("an object has another length than its list says");
  ZN_ASSIGN_OR_RETURN(const auto file, OpenBundle(bundle.id));
  const BundleCipher cipher(master_, bundle.id);
  std::vector<std::byte> sealed(cipher.sealed() ? cipher.StoredSize(place.length) : 0);
  const std::span<std::byte> stored = cipher.sealed() ? std::span(sealed) : out;
  if (auto read = file->ReadAt(static_cast<int64_t>(place.offset), stored); !read) {
    if (read.error().code == ErrorCode::kCorrupt)
      return corrupt("the bundle ends before an object");
    return std::move(read).error();
  }
  if (!cipher.sealed()) {
    if (ObjectId{HashSha256(out)} != place.id)
      return corrupt("an object is not what its name stands for");
    return {};
  }
  if (!cipher.Unseal({place.id, place.offset, place.length}, stored, out.data()))
    return corrupt("an object is not authentic: it was changed");
  return {};
}

Result<std::vector<std::byte>> Repository::ReadPlace(const ObjectIndex& index,
                                                     const ObjectIndex::Place& place) const {
  std::vector<std::byte> content(place.length);
  ZN_RETURN_IF_ERROR(ReadPlaceInto(index, place, content));
  return content;
}

Result<ObjectIndex::Place> Repository::PlaceOf(const ObjectIndex& index,
                                               const Sha256& content) const {
  const ObjectIndex::Place* place = index.Find(NameOf(content));
  if (place == nullptr)
    return Error{ErrorCode::kNotFound,
                 "no object " + content.Hex().substr(0, 16) + " in the repository"};
  return *place;
}

Result<> Repository::ReadInto(const Sha256& content, std::span<std::byte> out) const {
  const auto held = index();
  ZN_ASSIGN_OR_RETURN(const ObjectIndex::Place place, PlaceOf(*held, content));
  ZN_RETURN_IF_ERROR(ReadPlaceInto(*held, place, out));
  // What is not sealed was compared with its name already.
  if (encrypted() && HashSha256(out) != content)
    return Error{ErrorCode::kCorrupt, BundlePath(held->bundles()[place.bundle].id) + " at offset " +
                                          std::to_string(place.offset) +
                                          ": an object is not what its name stands for"};
  return {};
}

Result<std::vector<std::byte>> Repository::Read(const Sha256& content) const {
  ZN_ASSIGN_OR_RETURN(const ObjectIndex::Place place, PlaceOf(*index(), content));
  std::vector<std::byte> bytes(place.length);
  ZN_RETURN_IF_ERROR(ReadInto(content, bytes));
  return bytes;
}

Result<SnapshotDocument> Repository::ReadSnapshot(const RandomId& id) const {
  const auto read = [&]() -> Result<SnapshotDocument> {
    ZN_ASSIGN_OR_RETURN(const auto bytes, ReadWholeFile(SnapshotPath(id), kMostDocument));
    ZN_ASSIGN_OR_RETURN(const auto payload, TakeFromEnvelope(Document::kSnapshot, bytes, master_));
    ZN_ASSIGN_OR_RETURN(SnapshotDocument snapshot, DecodeSnapshot(payload));
    if (snapshot.id != id)
      return Error{ErrorCode::kCorrupt, "is the snapshot " + snapshot.id.Hex()};
    return snapshot;
  };
  auto snapshot = read();
  if (!snapshot) return std::move(snapshot).error().Context("snapshots/" + id.Hex());
  return snapshot;
}

Result<std::vector<SnapshotDocument>> Repository::Snapshots(
    const std::function<void(const RandomId&, const Error&)>& damaged) const {
  ZN_ASSIGN_OR_RETURN(const auto ids, ListIds("snapshots", ""));
  std::vector<SnapshotDocument> snapshots;
  for (const RandomId& id : ids) {
    auto snapshot = ReadSnapshot(id);
    if (!snapshot) {
      if (!damaged) return std::move(snapshot).error();
      if (snapshot.error().code != ErrorCode::kNotFound)
        damaged(id, snapshot.error());  // else: forgotten just now
      continue;
    }
    snapshots.push_back(std::move(*snapshot));
  }
  std::sort(snapshots.begin(), snapshots.end(), [](const auto& a, const auto& b) {
    return std::tie(a.time_ns, a.id) < std::tie(b.time_ns, b.id);
  });
  return snapshots;
}

Result<> Repository::WriteSnapshot(const SnapshotDocument& snapshot) {
  return WriteFileAtomically(SnapshotPath(snapshot.id),
                             PutInEnvelope(Document::kSnapshot, EncodeSnapshot(snapshot), master_));
}

Result<> Repository::RemoveSnapshots(std::span<const RandomId> ids) {
  for (const RandomId& id : ids) ZN_RETURN_IF_ERROR(RemoveFile(SnapshotPath(id)));
  return SyncDirectory(directory_ + "/snapshots");
}

}  // namespace zn::backup
