// POSIX files with errors as values. Every call retries EINTR and finishes short writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"

namespace zn {

/// An Error of errno `error`: kNoSpace for ENOSPC and EDQUOT, kNotFound for ENOENT, kReadOnly for
/// EROFS, kIo otherwise.
Error ErrnoError(int error, std::string_view action, std::string_view path);

/// An open file descriptor, closed at destruction. Movable. Offsets are absolute; safe to use from
/// several threads.
class File {
 public:
  enum Mode { kRead, kReadWrite, kCreateNew };  // kCreateNew fails when the file exists
  static Result<File> Open(const std::string& path, Mode mode);
  /// Takes over a descriptor; `path` is for messages.
  static File Adopt(int fd, std::string path);
  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  const std::string& path() const { return path_; }
  Result<int64_t> Size() const;
  Result<> ReadAt(int64_t offset,
                  std::span<std::byte> out) const;  // kCorrupt when the file ends before
  Result<> WriteAt(int64_t offset, std::span<const std::byte> bytes) const;
  Result<> WriteAt(int64_t offset, std::span<const std::span<const std::byte>> pieces) const;
  Result<> SyncData() const;  // fdatasync
  /// Asks the kernel to begin writing that range; an error of it shows at the next SyncData.
  void StartWriteback(int64_t offset, int64_t size) const;
  Result<> Truncate(int64_t size) const;
  Result<> Allocate(int64_t offset,
                    int64_t size) const;  // posix_fallocate; kNoSpace when the disk is full
  /// Gives back the space of [offset, offset + size); it reads as zeros then. kUnsupported where the disk cannot.
  Result<> PunchHole(int64_t offset, int64_t size) const;
  Result<int64_t> AllocatedBytes() const;
  /// flock, exclusive or shared, without waiting; kBusy when another holds it.
  Result<> TryLock(bool exclusive) const;
  void Close();

 private:
  int fd_ = -1;
  std::string path_;
};

/// A read-only shared mapping of [0, size) of a file; pages beyond its end must not be touched.
class Mapping {
 public:
  static Result<std::shared_ptr<const Mapping>> Map(const File& file, int64_t size);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  /// From now on a page that is not in memory is read without its neighbours: whoever wants more
  /// says so by WillNeed. For files of which small parts are read here and there.
  void ReadAtRandom() const;
  /// Starts reading [offset, offset + size) from the disk, in few large reads; costs about a
  /// microsecond where it is in memory. REQUIRES: it lies within.
  void WillNeed(size_t offset, size_t size) const;

 private:
  Mapping(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_;
  size_t size_;
};

/// Of the disk that holds `path`, for those who are not root; INT64_MAX when that is not known.
int64_t FreeBytes(const std::string& path);
Result<> MakeDirectory(const std::string& path);  // no error when it exists
Result<> SyncDirectory(const std::string& path);
/// As MakeDirectory, and the name is on the disk when it returns.
Result<> MakeDirectoryDurably(const std::string& path);
Result<> RenameFile(const std::string& from, const std::string& to);
Result<> RemoveFile(const std::string& path);  // no error when it does not exist
Result<> RemoveTree(const std::string& path);
bool PathExists(const std::string& path);
Result<std::vector<std::string>> ListDirectory(
    const std::string& path);  // names, sorted, without . and ..
/// Writes a temporary sibling, syncs it, renames it over `path`, syncs the directory.
Result<> WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes);
Result<std::vector<std::byte>> ReadWholeFile(const std::string& path, int64_t limit);

}  // namespace zn
