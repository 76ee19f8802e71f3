#include "backup/directory_backup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <filesystem>

#include "backup/file_list.h"
#include "base/hash.h"

namespace zn::backup {
namespace {

constexpr uint32_t kPartBytes = 8 << 20;
constexpr size_t kLeastList = 64, kMostList = 8192;  // entries
constexpr int64_t kRecent = 1'000'000'000;  // ns: a file that changed so shortly before may change
                                            // again with the same times

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// All entries below `directory`, by path.
Result<std::vector<TreeEntry>> Walk(const std::string& directory,
                                    const std::function<void(const std::string&)>& warn) {
  std::vector<TreeEntry> entries;
  std::vector<std::string> folders = {""};
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    ZN_ASSIGN_OR_RETURN(const auto names, ListDirectory(directory + "/" + folder));
    for (const std::string& name : names) {
      TreeEntry entry;
      entry.path = folder.empty() ? name : folder + "/" + name;
      struct stat status;
      if (::lstat((directory + "/" + entry.path).c_str(), &status) != 0) {
        if (errno == ENOENT) continue;
        return ErrnoError(errno, "look at", directory + "/" + entry.path);
      }
      entry.mode = status.st_mode & 07777;
      entry.time_ns = Nanoseconds(status.st_mtim);
      entry.changed_ns = Nanoseconds(status.st_ctim);
      if (S_ISDIR(status.st_mode)) {
        entry.kind = TreeEntry::kFolder;
        folders.push_back(entry.path);
      } else if (S_ISREG(status.st_mode)) {
        entry.size = static_cast<uint64_t>(status.st_size);
      } else {
        warn(entry.path + " is neither a file nor a directory, and is left out");
        continue;
      }
      entries.push_back(std::move(entry));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return entries;
}

/// The entries of an earlier snapshot, in order, a list at a time.
class EarlierEntries {
 public:
  EarlierEntries(const Repository& repository, const SnapshotDocument* snapshot)
      : repository_(repository), snapshot_(snapshot) {}

  /// The one with this path; null when there is none. Paths ascend from call to call.
  Result<const TreeEntry*> Find(const std::string& path) {
    while (snapshot_ != nullptr) {
      while (at_ < entries_.size() && entries_[at_].path < path) ++at_;
      if (at_ < entries_.size()) return entries_[at_].path == path ? &entries_[at_] : nullptr;
      const auto& lists = snapshot_->files[0].lists;
      if (next_ == lists.size()) break;
      ZN_ASSIGN_OR_RETURN(const auto bytes, repository_.Read(lists[next_++].content));
      ZN_ASSIGN_OR_RETURN(entries_, DecodeTree(bytes));
      at_ = 0;
    }
    return nullptr;
  }

 private:
  const Repository& repository_;
  const SnapshotDocument* const snapshot_;
  size_t next_ = 0;  // of its lists
  std::vector<TreeEntry> entries_;
  size_t at_ = 0;
};

/// Ends of lists depend on the entries only, so that a new one changes one list and not all behind
/// it.
bool EndsList(const TreeEntry& entry, size_t entries) {
  if (entries < kLeastList) return false;
  const auto path = std::as_bytes(std::span(entry.path.data(), entry.path.size()));
  return entries >= kMostList || Crc32c(path) % 1024 == 0;
}

class DirectoryBackup {
 public:
  DirectoryBackup(const Repository& repository, ObjectWriter& writer, const std::string& directory,
                  const BackupControl& control, SnapshotDocument& snapshot)
      : repository_(repository),
        writer_(writer),
        directory_(directory),
        control_(control),
        snapshot_(snapshot),
        rate_(control.bytes_per_second),
        pipeline_(control.threads) {}

  Result<> Run(const SnapshotDocument* parent) {
    const auto warn = [&](const std::string& text) {
      if (control_.warning) control_.warning(text);
    };
    ZN_ASSIGN_OR_RETURN(auto entries, Walk(directory_, warn));
    for (const TreeEntry& entry : entries) total_ += entry.size;
    snapshot_.files.emplace_back();
    EarlierEntries earlier(repository_, parent);
    const Result<> taken = TakeAll(entries, earlier);
    const Result<> drained = pipeline_.Drain();  // also after an error: tasks use what is here
    ZN_RETURN_IF_ERROR(taken);
    ZN_RETURN_IF_ERROR(drained);
    snapshot_.bytes = done_;
    return Flush();
  }

 private:
  Result<> TakeAll(std::vector<TreeEntry>& entries, EarlierEntries& earlier) {
    for (TreeEntry& entry : entries) {
      if (control_.cancel != nullptr && *control_.cancel)
        return Error{ErrorCode::kCancelled,
                     "stopped; what is stored already is used by the next run"};
      if (entry.kind == TreeEntry::kFile) {
        ZN_ASSIGN_OR_RETURN(const TreeEntry* same, earlier.Find(entry.path));
        if (same != nullptr && same->kind == entry.kind && same->size == entry.size &&
            same->time_ns == entry.time_ns && same->changed_ns == entry.changed_ns) {
          entry.parts = same->parts;
        } else if (!Take(entry)) {
          ++snapshot_.damaged;
          continue;
        }
        if (failure_) return *failure_;
      }
      done_ += entry.size;
      if (control_.progress) control_.progress({"backing up", done_, total_});
      if (lists_.empty() || EndsList(lists_.back().back(), lists_.back().size())) {
        if (lists_.size() > 16) ZN_RETURN_IF_ERROR(Flush());
        lists_.emplace_back();
      }
      // Tasks of Take point into the parts, which stay where they are.
      lists_.back().push_back(std::move(entry));
    }
    return {};
  }

  /// Reads a file. False, and told, when it cannot be read.
  bool Take(TreeEntry& entry) {
    const auto tell = [&](const std::string& what) {
      if (control_.warning) control_.warning(entry.path + ": " + what);
      return false;
    };
    const int fd =
        ::open((directory_ + "/" + entry.path).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return tell(ErrnoError(errno, "open", entry.path).message + "; it is left out");
    const File file = File::Adopt(fd, directory_ + "/" + entry.path);
    struct stat status;
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
      return tell("is no file any more; it is left out");
    entry.size = static_cast<uint64_t>(status.st_size);
    entry.time_ns = Nanoseconds(status.st_mtim);
    // 0 is like no other time: the next backup reads it again.
    entry.changed_ns = Nanoseconds(status.st_ctim);
    if (entry.changed_ns > snapshot_.time_ns - kRecent) entry.changed_ns = 0;
    entry.parts.resize((entry.size + kPartBytes - 1) / kPartBytes);
    for (size_t i = 0; i < entry.parts.size(); ++i) {
      const uint64_t at = uint64_t{kPartBytes} * i;
      auto bytes =
          std::make_shared<std::vector<std::byte>>(std::min<uint64_t>(kPartBytes, entry.size - at));
      rate_.Take(static_cast<int64_t>(bytes->size()));
      if (auto read = file.ReadAt(static_cast<int64_t>(at), *bytes); !read) {
        // Tasks point into the parts.
        if (auto drained = pipeline_.Drain(); !drained) failure_ = drained.error();
        return tell(read.error().message + "; it is left out");
      }
      TreeEntry::Part& part = entry.parts[i];
      part.length = static_cast<uint32_t>(bytes->size());
      auto submitted = pipeline_.Submit(part.length, [this, bytes, &part]() -> Result<> {
        part.content = HashSha256(*bytes);
        return writer_.Put(part.content, *bytes);
      });
      if (!submitted) {
        failure_ = submitted.error();
        return true;
      }
    }
    struct stat after;
    if (::fstat(fd, &after) != 0 || after.st_size != status.st_size ||
        Nanoseconds(after.st_mtim) != Nanoseconds(status.st_mtim)) {
      entry.changed_ns = 0;
      ++snapshot_.damaged;
      if (control_.warning) control_.warning(entry.path + " changed while it was read");
    }
    return true;
  }

  Result<> Flush() {
    ZN_RETURN_IF_ERROR(pipeline_.Drain());
    FileRecord& record = snapshot_.files[0];
    for (const auto& list : lists_) {
      const auto bytes = EncodeTree(list);
      const Sha256 content = HashSha256(bytes);
      ZN_RETURN_IF_ERROR(writer_.Put(content, bytes));
      record.lists.push_back({content, record.size, list.size()});
      record.size += list.size();
    }
    lists_.clear();
    return {};
  }

  const Repository& repository_;
  ObjectWriter& writer_;
  const std::string& directory_;
  const BackupControl& control_;
  SnapshotDocument& snapshot_;
  RateLimit rate_;
  std::deque<std::vector<TreeEntry>> lists_;  // not yet written
  std::optional<Error> failure_;
  uint64_t done_ = 0, total_ = 0;
  Pipeline pipeline_;
};

/// Does the file have what the entry says?
bool IsRestored(const std::string& path, const TreeEntry& entry) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  const File file = File::Adopt(fd, path);
  const auto size = file.Size();
  if (!size || static_cast<uint64_t>(*size) != entry.size) return false;
  int64_t at = 0;
  for (const TreeEntry::Part& part : entry.parts) {
    std::vector<std::byte> bytes(part.length);
    if (!file.ReadAt(at, bytes) || HashSha256(bytes) != part.content) return false;
    at += part.length;
  }
  return true;
}

timespec Time(int64_t ns) {
  timespec time;
  time.tv_sec = ns / 1'000'000'000 - (ns % 1'000'000'000 < 0 ? 1 : 0);
  time.tv_nsec = ns - int64_t{time.tv_sec} * 1'000'000'000;
  return time;
}

Result<> RestoreEntry(RestoreRun& run, const TreeEntry& entry, const std::string& path) {
  ZN_RETURN_IF_ERROR(RemoveFile(path));
  ZN_ASSIGN_OR_RETURN(const File file, File::Open(path, File::kCreateNew));
  int64_t at = 0;
  for (const TreeEntry::Part& part : entry.parts) {
    std::vector<std::byte> bytes(part.length);
    ZN_RETURN_IF_ERROR(run.Object(part.content, bytes, entry.path));
    ZN_RETURN_IF_ERROR(file.WriteAt(at, bytes));
    at += part.length;
  }
  const timespec times[2] = {Time(entry.time_ns), Time(entry.time_ns)};
  if (::fchmod(file.fd(), entry.mode & 0777) != 0 || ::futimens(file.fd(), times) != 0)
    return ErrnoError(errno, "set mode and time of", path);
  return {};
}

Result<> RestoreLists(RestoreRun& run, const SnapshotDocument& snapshot, const std::string& target,
                      RestoreSummary& summary, std::atomic<uint64_t>& resumed) {
  for (const ListRef& list : snapshot.files[0].lists) {
    ZN_ASSIGN_OR_RETURN(const auto bytes, run.repository().Read(list.content));
    ZN_ASSIGN_OR_RETURN(auto entries, DecodeTree(bytes));
    for (TreeEntry& entry : entries) {
      const std::string path = target + "/" + entry.path;
      if (entry.kind == TreeEntry::kFolder) {
        ZN_RETURN_IF_ERROR(MakeDirectory(path));
        continue;
      }
      ++summary.files;
      summary.bytes += entry.size;
      const uint64_t size = entry.size;
      auto restore = [&run, &resumed, entry = std::move(entry), path]() -> Result<> {
        if (PathExists(path) && IsRestored(path, entry)) {
          resumed += entry.size;
          return {};
        }
        return RestoreEntry(run, entry, path);
      };
      ZN_RETURN_IF_ERROR(run.pipeline().Submit(
          static_cast<int64_t>(std::min<uint64_t>(size, kPartBytes)), std::move(restore)));
      ZN_RETURN_IF_ERROR(run.Step(size));
    }
  }
  return {};
}

}  // namespace

bool IsZarr(const std::string& directory) {
  for (const char* name : {"zarr.json", ".zgroup", ".zarray", ".zmetadata"})
    if (PathExists(directory + "/" + name)) return true;
  return false;
}

Result<> BackUpDirectory(const Repository& repository, ObjectWriter& writer,
                         const std::string& directory, const SnapshotDocument* parent,
                         const BackupControl& control, SnapshotDocument& snapshot) {
  return DirectoryBackup(repository, writer, directory, control, snapshot).Run(parent);
}

Result<RestoreSummary> RestoreDirectory(const Repository& repository,
                                        const SnapshotDocument& snapshot, const std::string& target,
                                        const RestoreOptions& options,
                                        const BackupControl& control) {
  RestoreSummary summary;
  std::atomic<uint64_t> resumed{0};
  RestoreRun run(repository, options, control, snapshot.bytes);
  const Result<> restored = RestoreLists(run, snapshot, target, summary, resumed);
  const Result<> drained = run.pipeline().Drain();
  ZN_RETURN_IF_ERROR(restored);
  ZN_RETURN_IF_ERROR(drained);
  summary.resumed_bytes = resumed;
  summary.damaged = run.damaged();
  // One call for all: a sync of each of a million small files would take hours.
  ZN_ASSIGN_OR_RETURN(const File folder, File::Open(target, File::kRead));
  if (::syncfs(folder.fd()) != 0) return ErrnoError(errno, "sync", target);
  return summary;
}

}  // namespace zn::backup
