#include "base/memory_file_system.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

namespace zn {
namespace {

constexpr int64_t kSector = 512;

File NewMemory(const std::string& path) {
  return File::Adopt(::memfd_create("zn", MFD_CLOEXEC), path);
}

std::vector<std::byte> ContentsOf(const File& file) {
  std::vector<std::byte> bytes(static_cast<size_t>(file.Size().value_or(0)));
  (void)file.ReadAt(0, bytes);
  return bytes;
}

std::string FolderOf(const std::string& path) {
  size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

struct MemoryFileSystem::Node {
  struct Unsynced {
    int64_t offset;
    std::vector<std::byte> bytes;
  };

  explicit Node(const std::string& path) : cache(NewMemory(path)) {}
  /// Puts bytes on the disk, as far as there are zeros up to them.
  void Persist(int64_t offset, std::span<const std::byte> bytes) {
    size_t end = static_cast<size_t>(offset) + bytes.size();
    if (disk.size() < end) disk.resize(end);
    std::copy(bytes.begin(), bytes.end(), disk.begin() + offset);
  }

  File cache;
  std::vector<std::byte> disk;
  std::vector<Unsynced> unsynced;
  bool never_synced = false;                      // changes through a mapping
  std::vector<std::vector<std::byte>> snapshots;  // of a never synced file, one for each operation
};

class MemoryFileSystem::Handle : public WritableFile {
 public:
  Handle(MemoryFileSystem* disk, std::shared_ptr<Node> node)
      : disk_(disk), node_(std::move(node)) {}
  const File& file() const override { return node_->cache; }
  Result<> Write(int64_t offset, std::span<const std::span<const std::byte>> pieces) override {
    return disk_->Write(*node_, offset, pieces);
  }
  Result<> Sync() override { return disk_->Sync(*node_); }
  void StartWriteback(int64_t, int64_t) override {}
  void Reserve(int64_t, int64_t) override {}

 private:
  MemoryFileSystem* disk_;
  std::shared_ptr<Node> node_;
};

MemoryFileSystem::MemoryFileSystem() = default;
MemoryFileSystem::~MemoryFileSystem() = default;

void MemoryFileSystem::FailOnce(Operation operation, int64_t nth, ErrorCode code) {
  std::lock_guard lock(mutex_);
  fail_code_ = code;
  if (operation == Operation::kWrite) {
    fail_write_ = writes_ + nth;
  } else {
    fail_sync_ = syncs_ + nth;
  }
}

void MemoryFileSystem::FailFrom(int64_t nth) {
  std::lock_guard lock(mutex_);
  fail_from_ = operations_ + nth;
}

int64_t MemoryFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

int64_t MemoryFileSystem::syncs() const {
  std::lock_guard lock(mutex_);
  return syncs_;
}

Result<> MemoryFileSystem::CountOperation(const char* what, const std::string& path) {
  for (const auto& [name, node] : names_) {
    if (node->never_synced) node->snapshots.push_back(ContentsOf(node->cache));
  }
  if (operations_++ < fail_from_) return {};
  return Error{ErrorCode::kIo, std::string(what) + " " + path + ": injected fault"};
}

Result<std::shared_ptr<MemoryFileSystem::Node>> MemoryFileSystem::Find(
    const std::string& path) const {
  auto it = names_.find(path);
  if (it == names_.end()) return ErrnoError(ENOENT, "open", path);
  return it->second;
}

Result<> MemoryFileSystem::Write(Node& node, int64_t offset,
                                 std::span<const std::span<const std::byte>> pieces) {
  std::lock_guard lock(mutex_);
  Result<> allowed = CountOperation("write", node.cache.path());
  if (writes_++ == fail_write_) {
    allowed = Error{fail_code_, "write " + node.cache.path() + ": injected fault"};
  }
  std::vector<std::byte> bytes;
  for (auto piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  if (!allowed) bytes.resize(bytes.size() / 2);
  ZN_RETURN_IF_ERROR(node.cache.WriteAt(offset, bytes));
  node.unsynced.push_back({offset, std::move(bytes)});
  return allowed;
}

Result<> MemoryFileSystem::Sync(Node& node) {
  std::lock_guard lock(mutex_);
  ZN_RETURN_IF_ERROR(CountOperation("fdatasync", node.cache.path()));
  if (syncs_++ == fail_sync_) {
    // As Linux does it: the pages are marked clean, and the next fdatasync has nothing to write.
    node.unsynced.clear();
    return Error{fail_code_, "fdatasync " + node.cache.path() + ": injected fault"};
  }
  for (const auto& write : node.unsynced) node.Persist(write.offset, write.bytes);
  node.unsynced.clear();
  return {};
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::Create(const std::string& path) {
  std::lock_guard lock(mutex_);
  ZN_RETURN_IF_ERROR(CountOperation("create", path));
  if (!directories_.count(FolderOf(path))) return ErrnoError(ENOENT, "create", path);
  if (names_.count(path)) return ErrnoError(EEXIST, "create", path);
  auto node = std::make_shared<Node>(path);
  names_[path] = node;
  return std::unique_ptr<WritableFile>(std::make_unique<Handle>(this, node));
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::OpenForWriting(const std::string& path) {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(auto node, Find(path));
  return std::unique_ptr<WritableFile>(std::make_unique<Handle>(this, node));
}

Result<File> MemoryFileSystem::OpenForReading(const std::string& path) const {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(auto node, Find(path));
  int fd = ::fcntl(node->cache.fd(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "open", path);
  return File::Adopt(fd, path);
}

Result<File> MemoryFileSystem::OpenUnsynced(const std::string& path, int64_t size) {
  {
    std::lock_guard lock(mutex_);
    auto& node = names_[path];
    if (!node) node = std::make_shared<Node>(path);
    node->never_synced = true;
    durable_names_[path] = node;
    if (node->cache.Size().value_or(0) < size) ZN_RETURN_IF_ERROR(node->cache.Truncate(size));
  }
  return OpenForReading(path);
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& directory) const {
  std::lock_guard lock(mutex_);
  if (!directories_.count(directory)) return ErrnoError(ENOENT, "list", directory);
  std::vector<std::string> found;
  for (const auto& [path, node] : names_) {
    if (FolderOf(path) == directory) found.push_back(path.substr(directory.size() + 1));
  }
  return found;
}

Result<> MemoryFileSystem::MakeDirectory(const std::string& path) {
  std::lock_guard lock(mutex_);
  directories_.insert(path);
  return {};
}

Result<> MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  ZN_RETURN_IF_ERROR(CountOperation("rename", from));
  ZN_ASSIGN_OR_RETURN(auto node, Find(from));
  names_.erase(from);
  names_[to] = node;
  return {};
}

Result<> MemoryFileSystem::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  ZN_RETURN_IF_ERROR(CountOperation("remove", path));
  names_.erase(path);
  return {};
}

Result<> MemoryFileSystem::PunchHole(const std::string& path, int64_t offset, int64_t size) {
  std::lock_guard lock(mutex_);
  ZN_RETURN_IF_ERROR(CountOperation("give back space of", path));
  ZN_ASSIGN_OR_RETURN(auto node, Find(path));
  ZN_RETURN_IF_ERROR(node->cache.PunchHole(offset, size));
  // On the disk at once: whoever gives space back must not need what was there.
  node->Persist(offset, std::vector<std::byte>(static_cast<size_t>(size)));
  return {};
}

Result<> MemoryFileSystem::SyncDirectory(const std::string& path) {
  std::lock_guard lock(mutex_);
  ZN_RETURN_IF_ERROR(CountOperation("fsync", path));
  std::erase_if(durable_names_, [&](const auto& entry) { return FolderOf(entry.first) == path; });
  for (const auto& [name, node] : names_) {
    if (FolderOf(name) == path) durable_names_[name] = node;
  }
  return {};
}

std::shared_ptr<MemoryFileSystem> MemoryFileSystem::AfterCrash(Crash crash, uint64_t seed) const {
  std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  auto chance = [&] { return random() % 2 == 0; };
  auto result = std::make_shared<MemoryFileSystem>();
  result->directories_ = directories_;

  auto survivor = [&](const std::string& path, const Node& old) {
    auto node = std::make_shared<Node>(path);
    node->never_synced = old.never_synced;
    if (old.never_synced) {
      std::vector<std::byte> bytes = ContentsOf(old.cache);
      // The system writes such a page back whenever it likes.
      const bool any = crash == Crash::kTorn || crash == Crash::kReordered;
      if (any && !old.snapshots.empty() && chance()) {
        bytes = old.snapshots[random() % old.snapshots.size()];
      }
      (void)node->cache.WriteAt(0, bytes);
      return node;
    }
    node->disk = old.disk;
    if (crash == Crash::kRestart) {
      node->unsynced = old.unsynced;
      (void)node->cache.WriteAt(0, ContentsOf(old.cache));
      return node;
    }
    if (crash == Crash::kTorn) {
      size_t whole = old.unsynced.empty() ? 0 : random() % (old.unsynced.size() + 1);
      for (size_t i = 0; i < whole; ++i) {
        node->Persist(old.unsynced[i].offset, old.unsynced[i].bytes);
      }
      if (whole < old.unsynced.size()) {
        std::span<const std::byte> bytes(old.unsynced[whole].bytes);
        size_t sectors = bytes.size() / kSector;
        size_t kept = sectors == 0 ? 0 : random() % (sectors + 1) * kSector;
        node->Persist(old.unsynced[whole].offset, bytes.first(kept));
      }
    } else if (crash == Crash::kReordered) {
      for (const auto& write : old.unsynced) {
        std::span<const std::byte> bytes(write.bytes);
        for (size_t at = 0; at < bytes.size(); at += kSector) {
          if (!chance()) continue;
          node->Persist(write.offset + static_cast<int64_t>(at),
                        bytes.subspan(at, std::min<size_t>(kSector, bytes.size() - at)));
        }
        // The size may be on the disk before the bytes are.
        if (chance()) node->Persist(write.offset + static_cast<int64_t>(bytes.size()), {});
      }
    }
    (void)node->cache.WriteAt(0, node->disk);
    return node;
  };

  std::set<std::string> paths;
  for (const auto& [path, node] : names_) paths.insert(path);
  for (const auto& [path, node] : durable_names_) paths.insert(path);
  std::map<const Node*, std::shared_ptr<Node>> copies;
  for (const std::string& path : paths) {
    auto now = names_.find(path);
    auto durable = durable_names_.find(path);
    bool use_now = crash == Crash::kRestart || (crash != Crash::kLost && chance());
    const auto& from = use_now ? now : durable;
    if (from == (use_now ? names_.end() : durable_names_.end())) continue;
    auto& copy = copies[from->second.get()];
    if (!copy) copy = survivor(path, *from->second);
    result->names_[path] = copy;
    if (crash != Crash::kRestart) result->durable_names_[path] = copy;
  }
  if (crash == Crash::kRestart) {
    for (const auto& [path, node] : durable_names_) {
      auto& copy = copies[node.get()];
      if (!copy) copy = survivor(path, *node);
      result->durable_names_[path] = copy;
    }
  }
  return result;
}

Result<> MemoryFileSystem::Damage(const std::string& path, int64_t offset,
                                  std::span<const std::byte> bytes) {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(auto node, Find(path));
  node->Persist(offset, bytes);
  return node->cache.WriteAt(offset, bytes);
}

Result<> MemoryFileSystem::Cut(const std::string& path, int64_t size) {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(auto node, Find(path));
  node->disk.resize(static_cast<size_t>(size));
  return node->cache.Truncate(size);
}

Result<std::vector<std::byte>> MemoryFileSystem::Contents(const std::string& path) const {
  std::lock_guard lock(mutex_);
  ZN_ASSIGN_OR_RETURN(auto node, Find(path));
  return ContentsOf(node->cache);
}

}  // namespace zn
