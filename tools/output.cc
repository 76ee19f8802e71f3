#include "output.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

namespace zn::tools {
namespace {

constexpr char kMarker[] = ".zn-export";
constexpr std::string_view kTemporary = ".zn-export-tmp-";
constexpr size_t kPendingFiles = 256;
constexpr int64_t kPendingBytes = 64 << 20;
constexpr size_t kCompareBlock = 1 << 20;
constexpr size_t kMaxIdentity = 1 << 20;
constexpr int kMaxDepth = 16;

Error Errno(const std::string& action, const std::string& path) {
  const int error = errno;
  // Never kNotFound: that is the store's to say.
  const ErrorCode code = error == ENOSPC || error == EDQUOT ? ErrorCode::kNoSpace : ErrorCode::kIo;
  // O_NOFOLLOW says so of a link, and openat of a directory of what is none.
  if (error == ELOOP || error == ENOTDIR) {
    return {ErrorCode::kInvalidArgument,
            path +
                ": a link or a file stands where a directory or a file of the export belongs; "
                "it is not followed: move it away"};
  }
  return {code, path + ": " + action + ": " + std::strerror(error)};
}

Error InTheWay(const std::string& path, const struct stat& status) {
  const char* what = S_ISLNK(status.st_mode)   ? "a symbolic link"
                     : S_ISDIR(status.st_mode) ? "a directory"
                                               : "no regular file";
  return {ErrorCode::kInvalidArgument,
          path + ": is " + what + ", which is never replaced: name another file, or move it away"};
}

// What `name` is, without following it; nullopt when there is nothing.
Result<std::optional<struct stat>> Look(int directory, const std::string& name,
                                        const std::string& path) {
  struct stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0)
    return std::optional(status);
  if (errno == ENOENT) return std::optional<struct stat>();
  return Errno("cannot be looked at", path);
}

Result<> WriteAll(int fd, int64_t offset, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Errno("cannot be written", path);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return {};
}

// False when the kernel does not copy all of it, for whatever reason: it is to be written then.
bool CopyRange(const FileRange& source, int64_t size, int to) {
  off_t from = source.offset, at = 0;
  while (at < size) {
    const ssize_t n =
        ::copy_file_range(source.file, &from, to, &at, static_cast<size_t>(size - at), 0);
    if (n <= 0 && !(n < 0 && errno == EINTR)) return false;
  }
  return true;
}

std::string_view View(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

std::pair<std::string, std::string> Split(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const size_t slash = trimmed.rfind('/');
  if (slash == std::string::npos) return {".", trimmed};
  return {slash == 0 ? "/" : trimmed.substr(0, slash), trimmed.substr(slash + 1)};
}

// The directory above `path` may be reached through links: they are the caller's.
Result<Descriptor> OpenParent(const std::string& path, std::string* name) {
  auto [parent, leaf] = Split(path);
  if (leaf.empty() || leaf == "." || leaf == "..")
    return Error{ErrorCode::kInvalidArgument, "'" + path + "' names no file to export to"};
  Descriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Errno("cannot be opened", parent);
  *name = leaf;
  return directory;
}

// Names of a directory, without . and .. .
Result<std::vector<std::string>> Names(int directory, const std::string& path) {
  Descriptor copy(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy) return Errno("cannot be listed", path);
  DIR* stream = ::fdopendir(::dup(copy.get()));
  if (stream == nullptr) return Errno("cannot be listed", path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(stream);
  return names;
}

// Removes what lies in a directory: files, links as links, directories with what is in them.
Result<> RemoveContent(int directory, const std::string& path, int depth) {
  if (depth > kMaxDepth)
    return Error{ErrorCode::kInvalidArgument,
                 path + ": is deeper than any export: remove it yourself"};
  ZN_ASSIGN_OR_RETURN(auto names, Names(directory, path));
  for (const std::string& name : names) {
    const std::string full = path + "/" + name;
    if (depth == 0 && name == kMarker) continue;
    ZN_ASSIGN_OR_RETURN(auto status, Look(directory, name, full));
    if (!status) continue;
    const bool is_directory = S_ISDIR(status->st_mode);
    if (is_directory) {
      Descriptor inner(
          ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!inner) return Errno("cannot be opened", full);
      ZN_RETURN_IF_ERROR(RemoveContent(inner.get(), full, depth + 1));
    }
    if (::unlinkat(directory, name.c_str(), is_directory ? AT_REMOVEDIR : 0) != 0)
      return Errno("cannot be removed", full);
  }
  return {};
}

bool SameContent(int fd, std::span<const Buffer> pieces) {
  std::vector<char> block(kCompareBlock);
  int64_t offset = 0;
  for (const Buffer& piece : pieces) {
    for (size_t at = 0; at < piece.size();) {
      const size_t want = std::min(block.size(), piece.size() - at);
      const ssize_t n = ::pread(fd, block.data(), want, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0 || std::memcmp(block.data(), piece.data() + at, static_cast<size_t>(n)) != 0)
        return false;
      at += static_cast<size_t>(n);
      offset += n;
    }
  }
  return true;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path, bool replace) {
  std::string name;
  ZN_ASSIGN_OR_RETURN(Descriptor directory, OpenParent(path, &name));
  return CreateIn(std::move(directory), path, std::move(name), replace);
}

Result<std::unique_ptr<OutputFile>> OutputFile::CreateIn(Descriptor directory, std::string path,
                                                         std::string name, bool replace) {
  ZN_ASSIGN_OR_RETURN(auto status, Look(directory.get(), name, path));
  if (status && !S_ISREG(status->st_mode)) return InTheWay(path, *status);
  if (status && !replace)
    return Error{ErrorCode::kAlreadyExists, path + ": exists already; --force replaces it"};
  std::unique_ptr<OutputFile> file(new OutputFile);
  file->directory_ = std::move(directory);
  file->path_ = std::move(path);
  file->name_ = std::move(name);
  file->replace_ = replace;
  // One name for all runs, so that what a killed one left is found and used again; the lock tells a
  // killed one from one that runs.
  file->temporary_ = std::string(kTemporary) + file->name_;
  Descriptor fd(::openat(file->directory_.get(), file->temporary_.c_str(),
                         O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!fd) return Errno("cannot be created", file->path_);
  struct stat made {};
  if (::fstat(fd.get(), &made) != 0) return Errno("cannot be looked at", file->path_);
  if (!S_ISREG(made.st_mode) || made.st_nlink != 1)
    return InTheWay(Split(file->path_).first + "/" + file->temporary_, made);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    return Error{ErrorCode::kBusy, file->path_ + ": another zn-export writes to it"};
  if (::ftruncate(fd.get(), 0) != 0) return Errno("cannot be cut", file->path_);
  file->file_ = std::move(fd);
  return file;
}

OutputFile::~OutputFile() {
  if (file_ && !finished_) ::unlinkat(directory_.get(), temporary_.c_str(), 0);
}

Result<> OutputFile::WriteAt(int64_t offset, std::string_view bytes) {
  ZN_RETURN_IF_ERROR(WriteAll(file_.get(), offset, bytes, path_));
  size_ = std::max(size_, offset + static_cast<int64_t>(bytes.size()));
  return {};
}

std::string OutputFile::library_path() const {
  return "/proc/self/fd/" + std::to_string(file_.get());
}

Result<int64_t> OutputFile::Measure() const {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) return Errno("cannot be looked at", path_);
  return static_cast<int64_t>(status.st_size);
}

Result<> OutputFile::Finish() {
  if (::fsync(file_.get()) != 0) return Errno("cannot be synced", path_);
  if (replace_) {
    ZN_ASSIGN_OR_RETURN(auto status, Look(directory_.get(), name_, path_));
    if (status && !S_ISREG(status->st_mode)) return InTheWay(path_, *status);
  }
  // Without RENAME_NOREPLACE a file that appeared meanwhile would be lost.
  const unsigned flags = replace_ ? 0 : RENAME_NOREPLACE;
  if (::renameat2(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str(), flags) !=
      0) {
    if (errno == EEXIST)
      return Error{ErrorCode::kAlreadyExists,
                   path_ + ": appeared while it was exported; --force replaces it"};
    if (errno != EINVAL ||
        ::linkat(directory_.get(), temporary_.c_str(), directory_.get(), name_.c_str(), 0) != 0)
      return Errno("cannot be given its name", path_);
    ::unlinkat(directory_.get(), temporary_.c_str(), 0);
  }
  finished_ = true;
  if (::fsync(directory_.get()) != 0) return Errno("its directory cannot be synced", path_);
  return {};
}

Result<std::unique_ptr<OutputDirectory>> OutputDirectory::Open(const std::string& path,
                                                               std::string_view identity,
                                                               bool replace) {
  std::string name;
  ZN_ASSIGN_OR_RETURN(Descriptor parent, OpenParent(path, &name));
  if (::mkdirat(parent.get(), name.c_str(), 0777) != 0 && errno != EEXIST)
    return Errno("cannot be made", path);
  std::unique_ptr<OutputDirectory> directory(new OutputDirectory);
  directory->path_ = path;
  directory->root_ = Descriptor(
      ::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory->root_) return Errno("cannot be opened", path);
  const int root = directory->root_.get();

  ZN_ASSIGN_OR_RETURN(auto names, Names(root, path));
  const bool marked = std::find(names.begin(), names.end(), kMarker) != names.end();
  if (!names.empty() && !marked) {
    return Error{ErrorCode::kAlreadyExists,
                 path +
                     ": has files in it that are no export's: name a new directory (--force does "
                     "not go into it either)"};
  }
  directory->marker_ = Descriptor(
      ::openat(root, kMarker, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!directory->marker_) return Errno("cannot be opened", path + "/" + kMarker);
  const int marker = directory->marker_.get();
  struct stat status {};
  if (::fstat(marker, &status) != 0) return Errno("cannot be looked at", path + "/" + kMarker);
  if (!S_ISREG(status.st_mode) || status.st_nlink != 1)
    return InTheWay(path + "/" + kMarker, status);
  if (::flock(marker, LOCK_EX | LOCK_NB) != 0)
    return Error{ErrorCode::kBusy, path + ": another zn-export writes to it"};
  std::string known(static_cast<size_t>(std::min<off_t>(status.st_size, kMaxIdentity)), '\0');
  if (::pread(marker, known.data(), known.size(), 0) != static_cast<ssize_t>(known.size()))
    return Errno("cannot be read", path + "/" + kMarker);
  if (known == identity) {
    directory->resumed_ = names.size() > 1;
    ZN_RETURN_IF_ERROR(directory->RemoveTemporaries(root, path, 0));
    return directory;
  }
  // An empty marker alone: killed before it was written.
  if (marked && !(known.empty() && names.size() == 1)) {
    if (!replace) {
      return Error{ErrorCode::kAlreadyExists,
                   path + ": holds an export of something else (" + path + "/" + kMarker +
                       " says of what); name another directory, or replace it with --force"};
    }
    ZN_RETURN_IF_ERROR(RemoveContent(root, path, 0));
  }
  if (::ftruncate(marker, 0) != 0) return Errno("cannot be cut", path + "/" + kMarker);
  ZN_RETURN_IF_ERROR(WriteAll(marker, 0, identity, path + "/" + kMarker));
  if (::fsync(marker) != 0 || ::fsync(root) != 0 || ::fsync(parent.get()) != 0)
    return Errno("cannot be synced", path);
  return directory;
}

OutputDirectory::~OutputDirectory() {
  for (const Pending& pending : pending_)
    ::unlinkat(pending.directory, pending.temporary.c_str(), 0);
}

Result<> OutputDirectory::RemoveTemporaries(int directory, const std::string& path, int depth) {
  if (depth > kMaxDepth) return {};
  ZN_ASSIGN_OR_RETURN(auto names, Names(directory, path));
  for (const std::string& name : names) {
    if (name.starts_with(kTemporary)) {
      if (::unlinkat(directory, name.c_str(), 0) != 0)
        return Errno("cannot be removed", path + "/" + name);
      continue;
    }
    // Chunks have no dot files and far outnumber directories: only what may be one is opened.
    ZN_ASSIGN_OR_RETURN(auto status, Look(directory, name, path + "/" + name));
    if (!status || !S_ISDIR(status->st_mode)) continue;
    Descriptor inner(
        ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!inner) return Errno("cannot be opened", path + "/" + name);
    ZN_RETURN_IF_ERROR(RemoveTemporaries(inner.get(), path + "/" + name, depth + 1));
  }
  return {};
}

Result<int> OutputDirectory::DirectoryOf(const std::string& name, std::string* leaf) {
  int at = root_.get();
  std::string walked;
  std::string_view rest = name;
  for (size_t slash; (slash = rest.find('/')) != std::string_view::npos;
       rest.remove_prefix(slash + 1)) {
    const std::string part(rest.substr(0, slash));
    if (part.empty() || part == "." || part == "..")
      return Error{ErrorCode::kInternal, "'" + name + "' is no path within an export"};
    walked += (walked.empty() ? "" : "/") + part;
    auto known = directories_.find(walked);
    if (known == directories_.end()) {
      if (::mkdirat(at, part.c_str(), 0777) != 0 && errno != EEXIST)
        return Errno("cannot be made", path_ + "/" + walked);
      Descriptor opened(
          ::openat(at, part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!opened) return Errno("cannot be opened", path_ + "/" + walked);
      known = directories_.emplace(walked, std::move(opened)).first;
    }
    at = known->second.get();
  }
  *leaf = std::string(rest);
  if (leaf->empty() || *leaf == "." || *leaf == ".." || leaf->size() > 255)
    return Error{ErrorCode::kInternal, "'" + name + "' is no path within an export"};
  return at;
}

Result<bool> OutputDirectory::Put(const std::string& name, std::string_view text) {
  const Buffer piece(nullptr, std::as_bytes(std::span(text.data(), text.size())));
  return Put(name, std::span(&piece, 1));
}

Result<bool> OutputDirectory::Put(const std::string& name, std::span<const Buffer> pieces,
                                  std::optional<FileRange> source) {
  const std::string path = path_ + "/" + name;
  int64_t size = 0;
  for (const Buffer& piece : pieces) size += static_cast<int64_t>(piece.size());
  std::string leaf;
  ZN_ASSIGN_OR_RETURN(const int directory, DirectoryOf(name, &leaf));
  ZN_ASSIGN_OR_RETURN(auto status, Look(directory, leaf, path));
  if (status) {
    if (!S_ISREG(status->st_mode)) return InTheWay(path, *status);
    if (status->st_size == size) {
      Descriptor existing(::openat(directory, leaf.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (!existing) return Errno("cannot be opened", path);
      if (SameContent(existing.get(), pieces)) return false;
    }
  }
  Pending pending;
  pending.directory = directory;
  pending.name = leaf;
  pending.path = path;
  pending.temporary = std::string(kTemporary) + std::to_string(counter_++);
  pending.file = Descriptor(::openat(directory, pending.temporary.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!pending.file) return Errno("cannot be created", path);
  const int fd = pending.file.get();
  pending_.push_back(std::move(pending));
  if (!source || !CopyRange(*source, size, fd)) {
    int64_t offset = 0;
    for (const Buffer& piece : pieces) {
      ZN_RETURN_IF_ERROR(WriteAll(fd, offset, View(piece), path));
      offset += static_cast<int64_t>(piece.size());
    }
  }
  // Under way to the disk while the next ones are made.
  ::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
  pending_bytes_ += size;
  if (pending_.size() >= kPendingFiles || pending_bytes_ >= kPendingBytes)
    ZN_RETURN_IF_ERROR(Flush());
  return true;
}

Result<> OutputDirectory::Flush() {
  std::vector<int> touched;
  for (Pending& pending : pending_) {
    if (::fdatasync(pending.file.get()) != 0) return Errno("cannot be synced", pending.path);
  }
  while (!pending_.empty()) {
    Pending& pending = pending_.back();
    ZN_ASSIGN_OR_RETURN(auto status, Look(pending.directory, pending.name, pending.path));
    if (status && !S_ISREG(status->st_mode)) return InTheWay(pending.path, *status);
    if (::renameat(pending.directory, pending.temporary.c_str(), pending.directory,
                   pending.name.c_str()) != 0)
      return Errno("cannot be given its name", pending.path);
    touched.push_back(pending.directory);
    pending_.pop_back();
  }
  pending_bytes_ = 0;
  std::sort(touched.begin(), touched.end());
  touched.erase(std::unique(touched.begin(), touched.end()), touched.end());
  for (const int directory : touched)
    if (::fsync(directory) != 0) return Errno("cannot be synced", path_);
  return {};
}

Result<std::unique_ptr<OutputFile>> OutputDirectory::Create(const std::string& name) {
  std::string leaf;
  ZN_ASSIGN_OR_RETURN(const int directory, DirectoryOf(name, &leaf));
  Descriptor own(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return Errno("cannot be opened", path_);
  return OutputFile::CreateIn(std::move(own), path_ + "/" + name, std::move(leaf), true);
}

Result<std::optional<OutputDirectory::Existing>> OutputDirectory::Find(const std::string& name,
                                                                       size_t limit) {
  const std::string path = path_ + "/" + name;
  std::string leaf;
  ZN_ASSIGN_OR_RETURN(const int directory, DirectoryOf(name, &leaf));
  ZN_ASSIGN_OR_RETURN(auto status, Look(directory, leaf, path));
  if (!status) return std::optional<Existing>();
  if (!S_ISREG(status->st_mode)) return InTheWay(path, *status);
  Descriptor file(::openat(directory, leaf.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return Errno("cannot be opened", path);
  Existing existing;
  existing.size = status->st_size;
  existing.head.resize(std::min(limit, static_cast<size_t>(status->st_size)));
  const ssize_t n = ::pread(file.get(), existing.head.data(), existing.head.size(), 0);
  if (n < 0) return Errno("cannot be read", path);
  existing.head.resize(static_cast<size_t>(n));
  return std::optional(std::move(existing));
}

}  // namespace zn::tools
