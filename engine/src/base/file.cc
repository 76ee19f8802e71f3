#include "base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace zn {
namespace {

std::string ParentOf(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

template <class Call>
auto RetryInterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace

Error ErrnoError(int error, std::string_view action, std::string_view path) {
  ErrorCode code = ErrorCode::kIo;
  if (error == ENOSPC || error == EDQUOT) code = ErrorCode::kNoSpace;
  if (error == ENOENT) code = ErrorCode::kNotFound;
  if (error == EROFS) code = ErrorCode::kReadOnly;
  std::string message(action);
  message.append(" ").append(path).append(": ").append(std::system_category().message(error));
  return Error{code, std::move(message)};
}

Result<File> File::Open(const std::string& path, Mode mode) {
  int flags = O_CLOEXEC;
  switch (mode) {
    case kRead:
      flags |= O_RDONLY;
      break;
    case kReadWrite:
      flags |= O_RDWR;
      break;
    case kCreateNew:
      flags |= O_RDWR | O_CREAT | O_EXCL;
      break;
  }
  int fd = RetryInterrupted([&] { return ::open(path.c_str(), flags, 0644); });
  if (fd < 0) return ErrnoError(errno, mode == kCreateNew ? "create" : "open", path);
  return Adopt(fd, path);
}

File File::Adopt(int fd, std::string path) {
  File file;
  file.fd_ = fd;
  file.path_ = std::move(path);
  return file;
}

File::File(File&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

File::~File() { Close(); }

void File::Close() {
  // Not retried: Linux has released the descriptor even when close() reports EINTR.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<int64_t> File::Size() const {
  struct stat status;
  if (::fstat(fd_, &status) != 0) return ErrnoError(errno, "stat", path_);
  return static_cast<int64_t>(status.st_size);
}

Result<> File::ReadAt(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    ssize_t n = RetryInterrupted([&] { return ::pread(fd_, out.data(), out.size(), offset); });
    if (n < 0) return ErrnoError(errno, "read", path_);
    if (n == 0) {
      return Error{ErrorCode::kCorrupt, path_ + ": ends at offset " + std::to_string(offset) +
                                            ", " + std::to_string(out.size()) +
                                            " bytes before what was to be read"};
    }
    offset += n;
    out = out.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<> File::WriteAt(int64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    ssize_t n = RetryInterrupted([&] { return ::pwrite(fd_, bytes.data(), bytes.size(), offset); });
    if (n < 0) return ErrnoError(errno, "write", path_);
    if (n == 0) return ErrnoError(EIO, "write", path_);
    offset += n;
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<> File::WriteAt(int64_t offset, std::span<const std::span<const std::byte>> pieces) const {
  constexpr size_t kMostPieces = IOV_MAX;
  size_t at = 0;    // the piece that is written next
  size_t done = 0;  // bytes of it that are written
  while (true) {
    iovec vector[kMostPieces];
    size_t count = 0;
    for (size_t i = at; i < pieces.size() && count < kMostPieces; ++i) {
      size_t skip = i == at ? done : 0;
      if (pieces[i].size() == skip) continue;
      vector[count].iov_base = const_cast<std::byte*>(pieces[i].data() + skip);
      vector[count].iov_len = pieces[i].size() - skip;
      ++count;
    }
    if (count == 0) {
      // All of the (at most kMostPieces non-empty) pieces looked at were empty, so nothing is left.
      return {};
    }
    ssize_t n =
        RetryInterrupted([&] { return ::pwritev(fd_, vector, static_cast<int>(count), offset); });
    if (n < 0) return ErrnoError(errno, "write", path_);
    if (n == 0) return ErrnoError(EIO, "write", path_);
    offset += n;
    size_t left = static_cast<size_t>(n);
    while (left > 0) {
      size_t step = std::min(left, pieces[at].size() - done);
      left -= step;
      done += step;
      if (done == pieces[at].size()) {
        ++at;
        done = 0;
      }
    }
  }
}

Result<> File::SyncData() const {
  // Not retried on failure: after EIO the kernel may have dropped the dirty pages, and a second
  // call would succeed without the data being anywhere.
  if (RetryInterrupted([&] { return ::fdatasync(fd_); }) != 0) {
    return ErrnoError(errno, "fdatasync", path_);
  }
  return {};
}

void File::StartWriteback(int64_t offset, int64_t size) const {
  (void)::sync_file_range(fd_, offset, size, SYNC_FILE_RANGE_WRITE);
}

Result<> File::Truncate(int64_t size) const {
  if (RetryInterrupted([&] { return ::ftruncate(fd_, size); }) != 0) {
    return ErrnoError(errno, "truncate", path_);
  }
  return {};
}

Result<> File::Allocate(int64_t offset, int64_t size) const {
  int error;
  do {
    error = ::posix_fallocate(fd_, offset, size);  // returns the error, leaves errno alone
  } while (error == EINTR);
  if (error != 0) return ErrnoError(error, "allocate", path_);
  return {};
}

int64_t FreeBytes(const std::string& path) {
  struct statvfs status;
  if (::statvfs(path.c_str(), &status) != 0) return INT64_MAX;
  return static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize);
}

Result<> File::PunchHole(int64_t offset, int64_t size) const {
  if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size) == 0) return {};
  if (errno == EOPNOTSUPP || errno == ENOSYS) {
    return Error{ErrorCode::kUnsupported, path_ + ": this disk gives no space back within a file"};
  }
  return ErrnoError(errno, "give back space of", path_);
}

Result<int64_t> File::AllocatedBytes() const {
  struct stat status;
  if (::fstat(fd_, &status) != 0) return ErrnoError(errno, "stat", path_);
  return int64_t{status.st_blocks} * 512;
}

Result<> File::TryLock(bool exclusive) const {
  int operation = (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (RetryInterrupted([&] { return ::flock(fd_, operation); }) == 0) return {};
  if (errno == EWOULDBLOCK) {
    return Error{ErrorCode::kBusy, path_ + ": another process holds the lock"};
  }
  return ErrnoError(errno, "lock", path_);
}

Result<std::shared_ptr<const Mapping>> Mapping::Map(const File& file, int64_t size) {
  if (size < 0) return Error{ErrorCode::kInvalidArgument, file.path() + ": negative map size"};
  const std::byte* data = nullptr;
  if (size > 0) {
    void* address = ::mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, file.fd(), 0);
    if (address == MAP_FAILED) return ErrnoError(errno, "map", file.path());
    data = static_cast<const std::byte*>(address);
  }
  return std::shared_ptr<const Mapping>(new Mapping(data, static_cast<size_t>(size)));
}

void Mapping::ReadAtRandom() const {
  // Advice: that a kernel does not take it changes nothing but the time.
  if (data_ != nullptr) (void)::madvise(const_cast<std::byte*>(data_), size_, MADV_RANDOM);
}

void Mapping::WillNeed(size_t offset, size_t size) const {
  constexpr size_t kPage = 4096;
  constexpr size_t kStep = 128 << 10;  // the kernel reads no more for one call than a usual read-ahead
  const size_t end = offset + size;
  for (size_t at = offset / kPage * kPage; at < end; at += kStep)
    (void)::madvise(const_cast<std::byte*>(data_) + at, std::min(kStep, end - at), MADV_WILLNEED);
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Result<> MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0) return {};
  int error = errno;
  struct stat status;
  if (error == EEXIST && ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  return ErrnoError(error, "make directory", path);
}

Result<> SyncDirectory(const std::string& path) {
  int fd =
      RetryInterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return ErrnoError(errno, "open directory", path);
  int failed = RetryInterrupted([&] { return ::fsync(fd); });
  int error = errno;
  ::close(fd);
  if (failed != 0) return ErrnoError(error, "fsync directory", path);
  return {};
}

Result<> MakeDirectoryDurably(const std::string& path) {
  ZN_RETURN_IF_ERROR(MakeDirectory(path));
  return SyncDirectory(ParentOf(path));
}

Result<> RenameFile(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(errno, "rename " + from + " to", to);
  }
  return {};
}

Result<> RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "remove", path);
  return {};
}

Result<> RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return ErrnoError(error.value(), "remove tree", path);
  return {};
}

bool PathExists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator entries(path, error);
  if (error) return ErrnoError(error.value(), "list", path);
  std::vector<std::string> names;
  while (entries != std::filesystem::directory_iterator()) {
    names.push_back(entries->path().filename().string());
    entries.increment(error);
    if (error) return ErrnoError(error.value(), "list", path);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<> WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes) {
  static std::atomic<uint64_t> counter{0};
  std::string temporary = path + ".tmp" + std::to_string(::getpid()) + "-" +
                          std::to_string(counter.fetch_add(1, std::memory_order_relaxed));
  // A leftover of a process that had the same id and crashed.
  ZN_RETURN_IF_ERROR(RemoveFile(temporary));
  ZN_ASSIGN_OR_RETURN(File file, File::Open(temporary, File::kCreateNew));
  auto write = [&]() -> Result<> {
    ZN_RETURN_IF_ERROR(file.WriteAt(0, bytes));
    ZN_RETURN_IF_ERROR(file.SyncData());
    return RenameFile(temporary, path);
  };
  if (auto written = write(); !written) {
    (void)RemoveFile(temporary);
    return written;
  }
  return SyncDirectory(ParentOf(path));
}

Result<std::vector<std::byte>> ReadWholeFile(const std::string& path, int64_t limit) {
  ZN_ASSIGN_OR_RETURN(File file, File::Open(path, File::kRead));
  ZN_ASSIGN_OR_RETURN(int64_t size, file.Size());
  if (size > limit) {
    return Error{ErrorCode::kTooLarge,
                 path + ": " + std::to_string(size) + " bytes, more than " + std::to_string(limit)};
  }
  std::vector<std::byte> bytes(static_cast<size_t>(size));
  ZN_RETURN_IF_ERROR(file.ReadAt(0, bytes));
  return bytes;
}

}  // namespace zn
