// Where an export goes: one file, or a directory of many, so that nothing half-written ever stands
// under its final name and no link is followed.
//
// A file is written under a temporary name beside its final one, synced, then renamed. Everything
// is looked up relative to directories that are held open, with O_NOFOLLOW, and only ever created
// (O_EXCL) or renamed over a regular file that may be replaced.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/error.h"

namespace zn::tools {

/// A file descriptor, closed at destruction.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// One file in the making. Destroyed without Finish, it leaves nothing behind.
class OutputFile {
 public:
  /// kAlreadyExists when there is a file at `path` and not `replace`; kInvalidArgument when a link,
  /// a directory or anything else that is no regular file stands there, whatever `replace` says;
  /// kBusy while another process makes the same file.
  static Result<std::unique_ptr<OutputFile>> Create(const std::string& path, bool replace);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Behind what was appended so far.
  Result<> Append(std::string_view bytes) { return WriteAt(size_, bytes); }
  Result<> WriteAt(int64_t offset, std::string_view bytes);
  int64_t size() const { return size_; }
  /// The temporary file, for libraries that open by name: "/proc/self/fd/N".
  std::string library_path() const;
  /// The file's size after someone else wrote to it.
  Result<int64_t> Measure() const;
  /// Syncs, renames, syncs the directory.
  Result<> Finish();

 private:
  friend class OutputDirectory;
  OutputFile() = default;
  static Result<std::unique_ptr<OutputFile>> CreateIn(Descriptor directory, std::string path,
                                                      std::string name, bool replace);

  Descriptor directory_, file_;
  std::string path_, name_, temporary_;
  bool replace_ = false, finished_ = false;
  int64_t size_ = 0;
};

/// Where bytes that are at hand lie in a file as well, so that the kernel can copy them.
struct FileRange {
  int file = -1;
  int64_t offset = 0;
};

/// A directory tree in the making, that a second run with the same identity completes. Its marker,
/// the file `.zn-export`, holds the identity.
class OutputDirectory {
 public:
  /// Makes `path`, or opens it where it is empty or its marker says `identity`. Else
  /// kAlreadyExists; with `replace`, what another export left there (told by its marker) is removed
  /// first. Never goes into a directory with files and no marker, nor through a link. kBusy while
  /// another process writes to it.
  static Result<std::unique_ptr<OutputDirectory>> Open(const std::string& path,
                                                       std::string_view identity, bool replace);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  /// True when files of an earlier run were there.
  bool resumed() const { return resumed_; }

  /// A file of this content at `name` (a relative path, "arrays.positions/0.0.0"). Kept when it is
  /// there already, byte for byte; replaced when it differs. It stands under its name from the next
  /// Flush on, which Put calls itself once much is waiting. Returns false when it was kept.
  /// `source` has the same bytes, which were checked already; what cannot be copied from there is
  /// written.
  Result<bool> Put(const std::string& name, std::span<const Buffer> pieces,
                   std::optional<FileRange> source = std::nullopt);
  Result<bool> Put(const std::string& name, std::string_view text);
  /// Syncs what was put and gives it its names.
  Result<> Flush();

  /// A file to be written piece by piece. It replaces what stands there under its name.
  Result<std::unique_ptr<OutputFile>> Create(const std::string& name);
  /// The first bytes of a regular file that is there, at most `limit`, and its size.
  struct Existing {
    int64_t size = 0;
    std::string head;
  };
  Result<std::optional<Existing>> Find(const std::string& name, size_t limit);

 private:
  struct Pending {
    Descriptor file;
    int directory = -1;  // owned by directories_
    std::string temporary, name, path;
  };
  OutputDirectory() = default;
  Result<> RemoveTemporaries(int directory, const std::string& path, int depth);
  /// The directory that `name` lies in, made where there is none; its last component in `leaf`.
  Result<int> DirectoryOf(const std::string& name, std::string* leaf);

  std::string path_;
  Descriptor root_, marker_;
  std::map<std::string, Descriptor> directories_;
  std::vector<Pending> pending_;
  int64_t pending_bytes_ = 0;
  uint64_t counter_ = 0;
  bool resumed_ = false;
};

}  // namespace zn::tools
