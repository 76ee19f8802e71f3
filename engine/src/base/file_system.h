// What the log and the packs need of a disk. The seam for tests: MemoryFileSystem is a disk that
// forgets, tears and reorders what was not synced, so that the code which runs on real disks is the
// code that is tested under faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "zn/engine/error.h"

namespace zn {

/// A file open for writing. Writes of several threads to different places may run at the same time.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  /// The same file, for reading and mapping; sees what was written, synced or not.
  virtual const File& file() const = 0;
  virtual Result<> Write(int64_t offset, std::span<const std::span<const std::byte>> pieces) = 0;
  /// Returns when every earlier Write is on the disk, and the size with it. After a failure the
  /// file's content is unknown: it must not be tried again.
  virtual Result<> Sync() = 0;
  /// Asks the system to begin writing [offset, offset + size) back, without waiting.
  virtual void StartWriteback(int64_t offset, int64_t size) = 0;
  /// Asks for blocks for [offset, offset + size) without changing the size; may do nothing.
  virtual void Reserve(int64_t offset, int64_t size) = 0;
};

/// Names are paths. A created, renamed or removed name is durable after SyncDirectory of its
/// folder.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<WritableFile>> Create(
      const std::string& path) = 0;  // must not exist
  virtual Result<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path) = 0;
  virtual Result<File> OpenForReading(const std::string& path) const = 0;
  /// A file of at least `size` bytes, made when missing, whose bytes change through a shared
  /// writable mapping and are never synced.
  virtual Result<File> OpenUnsynced(const std::string& path, int64_t size) = 0;
  virtual Result<std::vector<std::string>> List(const std::string& directory) const = 0;
  virtual Result<> MakeDirectory(const std::string& path) = 0;
  virtual Result<> Rename(const std::string& from, const std::string& to) = 0;
  virtual Result<> Remove(const std::string& path) = 0;
  virtual Result<> SyncDirectory(const std::string& path) = 0;
  /// Gives back the space of [offset, offset + size), which reads as zeros then; the file keeps its size. May be undone,
  /// wholly or in part, by a crash. kUnsupported where the disk cannot.
  virtual Result<> PunchHole(const std::string& path, int64_t /*offset*/, int64_t /*size*/) {
    return Error{ErrorCode::kUnsupported, path + ": this disk gives no space back within a file"};
  }
  /// Bytes of the disk that a file takes.
  virtual Result<int64_t> AllocatedBytes(const std::string& path) const {
    ZN_ASSIGN_OR_RETURN(const File file, OpenForReading(path));
    return file.AllocatedBytes();
  }
};

/// The local disk; base/file.h behind the interface.
std::shared_ptr<FileSystem> LocalFileSystem();

}  // namespace zn
