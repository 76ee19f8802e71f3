// Preloaded by the crash tests into the programs they test: it records what these do to files below ZN_CRASH_ROOT, so that
// a disk can be made as a power cut may have left it, lets writes come short, and plants the bugs that the harness has to find.
//
//   ZN_CRASH_ROOT   folder; everything else is passed through
//   ZN_CRASH_RECORD file that gets the record; see recording.py, which reads it
//   ZN_CRASH_ACKS   file whose writes are recorded as acknowledgements
//   ZN_CRASH_SYNC   microseconds that a sync takes, so that groups of commits form as on a disk
//   ZN_CRASH_SHORT  N: the Nth write transfers half of its bytes; N+: also all after it; N:ENOSPC: the next one fails
//   ZN_CRASH_BOOT   file that stands in for the kernel's boot_id, as if the machine had been started again
//   ZN_CRASH_PLANT  no-file-sync, no-dir-sync: these syncs do nothing;
//                   index-before-data: packs are synced only after the log that refers to them
//
// Calls that change something are recorded in the order in which they happened: they hold one lock. A sync is recorded
// when it begins and when it ends: what was written before it began is what it makes durable.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace {

/// The real function behind `name`.
template <class Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) (*[] { static auto* const found = Real<decltype(::name)>(#name); return found; }())

enum Event : uint32_t {
  kWrite = 1, kTruncate = 2, kExtend = 3, kSyncBegin = 4, kSyncEnd = 5, kCreate = 6, kRename = 7, kLink = 8, kUnlink = 9,
  kMakeDirectory = 10, kMapped = 11, kAcknowledge = 12,
};

/// One event: this, two strings (names), and data.
struct EventHead {
  uint32_t event;
  uint32_t lengths[2];  // of the names
  uint32_t data;        // bytes
  uint64_t file;        // inode: of the file, or of the directory of the first name
  uint64_t other;       // inode: of the directory of the second name; of a file or directory that is made
  uint64_t offset;      // of a write; size of a file; number of a sync
};

struct MappedFile {
  const std::byte* data;
  size_t size;
  std::vector<std::byte> seen;
};

constexpr int kMostFiles = 4096;
constexpr size_t kMostMapped = 64 << 10;

struct Shim {
  std::string root, acks, plant;
  int record = -1;
  int sync_microseconds = 0;
  std::recursive_mutex mutex;
  std::atomic<uint64_t> inode[kMostFiles] = {};  // of descriptors below the root; 0: not ours
  std::atomic<bool> is_pack[kMostFiles] = {}, is_acks[kMostFiles] = {};
  std::map<uint64_t, MappedFile> mapped;
  std::set<int> late;       // descriptors of packs whose sync is put off
  uint64_t syncs = 0;
  int64_t writes = 0, short_at = 0;
  bool short_on = false, short_then_full = false;

  Shim() {
    const auto get = [](const char* name) { const char* value = getenv(name); return std::string(value ? value : ""); };
    char real[PATH_MAX];
    if (const char* given = getenv("ZN_CRASH_ROOT"); given && realpath(given, real)) root = std::string(real) + "/";
    acks = get("ZN_CRASH_ACKS");
    plant = get("ZN_CRASH_PLANT");
    sync_microseconds = atoi(get("ZN_CRASH_SYNC").c_str());
    if (const std::string path = get("ZN_CRASH_RECORD"); !path.empty())
      record = REAL(open)(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (const std::string when = get("ZN_CRASH_SHORT"); !when.empty()) {
      short_at = atoll(when.c_str());
      short_on = when.find('+') != std::string::npos;
      short_then_full = when.find("ENOSPC") != std::string::npos;
    }
  }

  void Note(Event event, uint64_t file, uint64_t other = 0, uint64_t offset = 0, const std::string& name = {},
            const std::string& second = {}, const void* data = nullptr, size_t size = 0) {
    if (record < 0) return;
    const EventHead head{event, {static_cast<uint32_t>(name.size()), static_cast<uint32_t>(second.size())},
                         static_cast<uint32_t>(size), file, other, offset};
    std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
    bytes.append(name).append(second).append(static_cast<const char*>(data), data ? size : 0);
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = REAL(write)(record, bytes.data() + at, bytes.size() - at);
      if (n <= 0) abort();
      at += static_cast<size_t>(n);
    }
  }

  /// Pages that changed through shared maps since the last look: nobody says when, so this asks often.
  void LookAtMaps() {
    for (auto& [file, map] : mapped) {
      if (memcmp(map.data, map.seen.data(), map.size) == 0) continue;
      map.seen.assign(map.data, map.data + map.size);
      Note(kMapped, file, 0, 0, {}, {}, map.seen.data(), map.size);
    }
  }

  uint64_t Inode(int fd) const { return fd >= 0 && fd < kMostFiles ? inode[fd].load(std::memory_order_acquire) : 0; }

  void Adopt(int fd) {
    if (fd < 0 || fd >= kMostFiles) return;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    struct stat status;
    const std::string name(path, n > 0 ? static_cast<size_t>(n) : 0);
    const bool ours = !root.empty() && (name + "/").rfind(root, 0) == 0 && fstat(fd, &status) == 0;
    is_acks[fd] = !acks.empty() && name == acks;
    is_pack[fd] = ours && name.size() > 5 && name.compare(name.size() - 5, 5, ".pack") == 0;
    inode[fd].store(ours && !is_acks[fd] ? status.st_ino : 0, std::memory_order_release);
  }
};

Shim& It() {
  static Shim* const shim = new Shim;  // used until the very end of the process
  return *shim;
}

/// A path's directory, as an inode below the root, and its last part.
struct Place {
  uint64_t directory = 0;
  std::string name;
};
Place PlaceOf(int at, const char* path) {
  std::string text = path;
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  const size_t slash = text.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : text.substr(0, slash);
  const int directory = REAL(openat)(at, parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return {};
  char link[64], real[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  const ssize_t n = readlink(link, real, sizeof real - 1);
  struct stat status;
  const bool ours = n > 0 && !It().root.empty() && (std::string(real, static_cast<size_t>(n)) + "/").rfind(It().root, 0) == 0 &&
                    fstat(directory, &status) == 0;
  REAL(close)(directory);
  return ours ? Place{status.st_ino, text.substr(slash == std::string::npos ? 0 : slash + 1)} : Place{};
}

bool Exists(int at, const char* path) {
  struct stat status;
  return fstatat(at, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

int Opened(int at, const char* path, int flags, mode_t mode) {
  Shim& shim = It();
  const std::lock_guard lock(shim.mutex);
  const bool making = (flags & O_CREAT) != 0;
  const bool was_there = making && Exists(at, path);
  const int fd = REAL(openat)(at, path, flags, mode);
  if (fd < 0) return fd;
  const int error = errno;
  shim.Adopt(fd);
  if (const uint64_t file = shim.Inode(fd)) {
    if (making && !was_there) {
      const Place place = PlaceOf(at, path);
      shim.Note(kCreate, place.directory, file, 0, place.name);
    } else if (flags & O_TRUNC) {
      shim.Note(kTruncate, file);
    }
  }
  errno = error;
  return fd;
}

/// How many bytes of a write are to be written; -1: it fails.
int64_t Allowed(size_t size) {
  Shim& shim = It();
  if (shim.short_at == 0) return static_cast<int64_t>(size);
  ++shim.writes;
  if (shim.short_then_full && shim.writes == shim.short_at + 1) return -1;
  const bool now = shim.writes == shim.short_at || (shim.short_on && shim.writes > shim.short_at);
  return static_cast<int64_t>(now && size > 1 ? size / 2 : size);
}

ssize_t Written(int fd, const iovec* pieces, int count, off64_t offset, bool positioned) {
  Shim& shim = It();
  if (fd >= 0 && fd < kMostFiles && shim.is_acks[fd]) {
    const std::lock_guard lock(shim.mutex);
    shim.LookAtMaps();
    const ssize_t n = REAL(writev)(fd, pieces, count);
    if (n > 0) shim.Note(kAcknowledge, 0, 0, 0, std::string(static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len));
    return n;
  }
  const uint64_t file = shim.Inode(fd);
  if (file == 0) return positioned ? REAL(pwritev64)(fd, pieces, count, offset) : REAL(writev)(fd, pieces, count);
  const std::lock_guard lock(shim.mutex);
  std::vector<std::byte> bytes;
  for (int i = 0; i < count; ++i) {
    const auto* data = static_cast<const std::byte*>(pieces[i].iov_base);
    bytes.insert(bytes.end(), data, data + pieces[i].iov_len);
  }
  const int64_t allowed = Allowed(bytes.size());
  if (allowed < 0) {
    errno = ENOSPC;
    return -1;
  }
  if (!positioned) {
    offset = lseek64(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
  }
  const ssize_t n = positioned ? REAL(pwrite64)(fd, bytes.data(), static_cast<size_t>(allowed), offset)
                               : REAL(write)(fd, bytes.data(), static_cast<size_t>(allowed));
  const int error = errno;
  if (n > 0) shim.Note(kWrite, file, 0, static_cast<uint64_t>(offset), {}, {}, bytes.data(), static_cast<size_t>(n));
  errno = error;
  return n;
}

int Synced(int fd, int (*real)(int)) {
  Shim& shim = It();
  const uint64_t file = shim.Inode(fd);
  if (file == 0) return real(fd);
  struct stat status;
  const bool directory = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  if (shim.plant == (directory ? "no-dir-sync" : "no-file-sync")) return 0;
  if (shim.plant == "index-before-data" && shim.is_pack[fd] && !directory) {
    const std::lock_guard lock(shim.mutex);
    shim.late.insert(fd);
    return 0;
  }
  uint64_t number;
  {
    const std::lock_guard lock(shim.mutex);
    shim.LookAtMaps();
    number = ++shim.syncs;
    shim.Note(kSyncBegin, file, 0, number);
  }
  if (shim.sync_microseconds > 0) usleep(static_cast<useconds_t>(shim.sync_microseconds));
  const int result = real(fd);
  const int error = errno;
  std::set<int> late;
  {
    const std::lock_guard lock(shim.mutex);
    if (result == 0) shim.Note(kSyncEnd, file, 0, number);
    if (!directory) late.swap(shim.late);
  }
  for (const int other : late) {
    const std::lock_guard lock(shim.mutex);
    number = ++shim.syncs;
    shim.Note(kSyncBegin, shim.Inode(other), 0, number);
    if (real(other) == 0) shim.Note(kSyncEnd, shim.Inode(other), 0, number);
  }
  errno = error;
  return result;
}

int Renamed(int from_at, const char* from, int to_at, const char* to, unsigned flags) {
  Shim& shim = It();
  const std::lock_guard lock(shim.mutex);
  const Place before = PlaceOf(from_at, from), after = PlaceOf(to_at, to);
  const int result = REAL(renameat2)(from_at, from, to_at, to, flags);
  const int error = errno;
  if (result == 0 && before.directory != 0) shim.Note(kRename, before.directory, after.directory, flags, before.name, after.name);
  errno = error;
  return result;
}

int Resized(int fd, off64_t size) {
  Shim& shim = It();
  const uint64_t file = shim.Inode(fd);
  if (file == 0) return REAL(ftruncate64)(fd, size);
  const std::lock_guard lock(shim.mutex);
  const int result = REAL(ftruncate64)(fd, size);
  if (result == 0) shim.Note(kTruncate, file, 0, static_cast<uint64_t>(size));
  return result;
}

/// Blocks were allocated, and with them perhaps the size.
void Extended(int fd) {
  struct stat status;
  if (const uint64_t file = It().Inode(fd); file != 0 && fstat(fd, &status) == 0)
    It().Note(kExtend, file, 0, static_cast<uint64_t>(status.st_size));
}

}  // namespace

extern "C" {

int openat(int at, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return Opened(at, path, flags, mode);
}
int openat64(int at, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return Opened(at, path, flags, mode);
}
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return Opened(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return Opened(AT_FDCWD, path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) {
  const char* const boot = strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? getenv("ZN_CRASH_BOOT") : nullptr;
  FILE* const file = REAL(fopen)(boot ? boot : path, mode);
  if (file) It().Adopt(fileno(file));
  return file;
}
FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }
int creat(const char* path, mode_t mode) { return Opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
  Shim& shim = It();
  if (fd >= 0 && fd < kMostFiles) {
    shim.inode[fd].store(0, std::memory_order_release);
    shim.is_acks[fd] = false;
    const std::lock_guard lock(shim.mutex);
    shim.late.erase(fd);
  }
  return REAL(close)(fd);
}

ssize_t write(int fd, const void* data, size_t size) {
  const iovec piece{const_cast<void*>(data), size};
  return Written(fd, &piece, 1, 0, false);
}
ssize_t writev(int fd, const iovec* pieces, int count) { return Written(fd, pieces, count, 0, false); }
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const iovec piece{const_cast<void*>(data), size};
  return Written(fd, &piece, 1, offset, true);
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  const iovec piece{const_cast<void*>(data), size};
  return Written(fd, &piece, 1, offset, true);
}
ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) { return Written(fd, pieces, count, offset, true); }
ssize_t pwritev64(int fd, const iovec* pieces, int count, off64_t offset) { return Written(fd, pieces, count, offset, true); }

ssize_t copy_file_range(int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags) {
  const uint64_t file = It().Inode(to);
  if (file == 0) return REAL(copy_file_range)(from, from_at, to, to_at, size, flags);
  const std::lock_guard lock(It().mutex);
  const off64_t begin = to_at ? *to_at : lseek64(to, 0, SEEK_CUR);
  const ssize_t n = REAL(copy_file_range)(from, from_at, to, to_at, size, flags);
  if (n > 0) {
    std::vector<std::byte> bytes(static_cast<size_t>(n));
    if (pread(to, bytes.data(), bytes.size(), begin) == n)
      It().Note(kWrite, file, 0, static_cast<uint64_t>(begin), {}, {}, bytes.data(), bytes.size());
  }
  return n;
}

int ftruncate(int fd, off_t size) { return Resized(fd, size); }
int ftruncate64(int fd, off64_t size) { return Resized(fd, size); }
int fallocate(int fd, int mode, off_t offset, off_t size) {
  const std::lock_guard lock(It().mutex);
  const int result = REAL(fallocate)(fd, mode, offset, size);
  if (result == 0) Extended(fd);
  return result;
}
int posix_fallocate(int fd, off_t offset, off_t size) {
  const std::lock_guard lock(It().mutex);
  const int result = REAL(posix_fallocate)(fd, offset, size);
  if (result == 0) Extended(fd);
  return result;
}

int fdatasync(int fd) { return Synced(fd, &REAL(fdatasync)); }
int fsync(int fd) { return Synced(fd, &REAL(fsync)); }

int rename(const char* from, const char* to) { return Renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_at, const char* from, int to_at, const char* to) { return Renamed(from_at, from, to_at, to, 0); }
int renameat2(int from_at, const char* from, int to_at, const char* to, unsigned flags) {
  return Renamed(from_at, from, to_at, to, flags);
}

int linkat(int from_at, const char* from, int to_at, const char* to, int flags) {
  Shim& shim = It();
  const std::lock_guard lock(shim.mutex);
  const int result = REAL(linkat)(from_at, from, to_at, to, flags);
  const int error = errno;
  struct stat status;
  if (result == 0 && fstatat(to_at, to, &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (const Place place = PlaceOf(to_at, to); place.directory != 0)
      shim.Note(kLink, place.directory, status.st_ino, 0, place.name);
  }
  errno = error;
  return result;
}
int link(const char* from, const char* to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char* path, int flags) {
  Shim& shim = It();
  const std::lock_guard lock(shim.mutex);
  const Place place = PlaceOf(at, path);
  const int result = REAL(unlinkat)(at, path, flags);
  const int error = errno;
  if (result == 0 && place.directory != 0) shim.Note(kUnlink, place.directory, 0, 0, place.name);
  errno = error;
  return result;
}
int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) {
  struct stat status;
  if (lstat(path, &status) != 0) return -1;
  return unlinkat(AT_FDCWD, path, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
}

int mkdirat(int at, const char* path, mode_t mode) {
  Shim& shim = It();
  const std::lock_guard lock(shim.mutex);
  const int result = REAL(mkdirat)(at, path, mode);
  const int error = errno;
  struct stat status;
  if (result == 0 && fstatat(at, path, &status, 0) == 0) {
    if (const Place place = PlaceOf(at, path); place.directory != 0)
      shim.Note(kMakeDirectory, place.directory, status.st_ino, 0, place.name);
  }
  errno = error;
  return result;
}
int mkdir(const char* path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) {
  void* const mapped = REAL(mmap)(address, size, protection, flags, fd, offset);
  if (mapped == MAP_FAILED || !(protection & PROT_WRITE) || !(flags & MAP_SHARED)) return mapped;
  Shim& shim = It();
  if (const uint64_t file = shim.Inode(fd); file != 0 && offset == 0 && size <= kMostMapped) {
    const std::lock_guard lock(shim.mutex);
    const auto* data = static_cast<const std::byte*>(mapped);
    shim.mapped[file] = {data, size, {data, data + size}};
  }
  return mapped;
}
int munmap(void* address, size_t size) {
  Shim& shim = It();
  {
    const std::lock_guard lock(shim.mutex);
    for (auto at = shim.mapped.begin(); at != shim.mapped.end(); ++at) {
      if (at->second.data != address) continue;
      shim.LookAtMaps();
      shim.mapped.erase(at);
      break;
    }
  }
  return REAL(munmap)(address, size);
}

}  // extern "C"
