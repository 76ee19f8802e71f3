#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "zarr/store.h"

namespace zn::formats::zarr {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int Release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// Opens `key` below `root` through no link, "..", or other file system trick; -1 and errno.
int OpenBelow(int root, const std::string& key, int flags) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NONBLOCK);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const long opened = ::syscall(SYS_openat2, root, key.c_str(), &how, sizeof how);
  if (opened >= 0 || errno != ENOSYS) return static_cast<int>(opened);
  // Older kernels: part by part.
  int folder = ::dup(root);
  for (size_t begin = 0; folder >= 0;) {
    const size_t slash = key.find('/', begin);
    const std::string part = key.substr(begin, slash - begin);
    const bool last = slash == std::string::npos;
    const int next =
        ::openat(folder, part.c_str(),
                 (last ? flags : O_RDONLY | O_DIRECTORY) | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    const int error = errno;
    ::close(folder);
    errno = error;
    if (last || next < 0) return next;
    folder = next;
    begin = slash + 1;
  }
  return -1;
}

class DirectoryStore final : public Store {
 public:
  DirectoryStore(std::string path, int root) : Store(std::move(path)), root_(root) {}

  Result<std::optional<Buffer>> Get(const std::string& key, size_t limit) const override {
    ZN_ASSIGN_OR_RETURN(auto file, Open(key));
    if (!file) return std::optional<Buffer>();
    if (file->size > limit)
      return Error{ErrorCode::kTooLarge, key + ": has " + std::to_string(file->size) +
                                             " bytes; at most " + std::to_string(limit) +
                                             " can be what it should hold"};
    ZN_ASSIGN_OR_RETURN(Buffer bytes, Read(file->descriptor.get(), key, 0, file->size));
    return std::optional<Buffer>(std::move(bytes));
  }

  Result<std::optional<uint64_t>> Size(const std::string& key) const override {
    ZN_ASSIGN_OR_RETURN(auto file, Open(key));
    if (!file) return std::optional<uint64_t>();
    return std::optional<uint64_t>(file->size);
  }

  Result<Buffer> GetRange(const std::string& key, uint64_t offset, size_t length) const override {
    ZN_ASSIGN_OR_RETURN(auto file, Open(key));
    if (!file || offset > file->size || length > file->size - offset)
      return Error{ErrorCode::kCorrupt, key + ": ends before byte " + std::to_string(offset) +
                                            " + " + std::to_string(length)};
    return Read(file->descriptor.get(), key, offset, length);
  }

  Result<std::vector<Child>> List(const std::string& folder) const override {
    std::vector<Child> children;
    if (!folder.empty() && !IsValidKey(folder)) return children;
    Descriptor descriptor(folder.empty()
                              ? ::openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                              : OpenBelow(root_.get(), folder, O_RDONLY | O_DIRECTORY));
    if (descriptor.get() < 0) {
      if (errno == ENOENT || errno == ENOTDIR) return children;
      return SystemError(folder);
    }
    const int number = descriptor.get();
    std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(number), ::closedir);
    if (!stream) return SystemError(folder);
    (void)descriptor.Release();
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      unsigned char type = entry->d_type;
      if (type == DT_UNKNOWN) {
        struct stat status {};
        if (::fstatat(number, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        type = S_ISDIR(status.st_mode) ? DT_DIR : S_ISREG(status.st_mode) ? DT_REG : DT_LNK;
      }
      // A link is listed as what it is not: opening it says why.
      children.push_back({std::string(name), type == DT_DIR});
    }
    std::sort(children.begin(), children.end(),
              [](const Child& a, const Child& b) { return a.name < b.name; });
    return children;
  }

 private:
  struct File {
    Descriptor descriptor;
    uint64_t size;
  };

  Error SystemError(const std::string& key) const {
    return {ErrorCode::kIo, key + ": " + std::strerror(errno)};
  }

  Result<std::optional<File>> Open(const std::string& key) const {
    if (!IsValidKey(key)) return std::optional<File>();
    Descriptor descriptor(OpenBelow(root_.get(), key, O_RDONLY));
    if (descriptor.get() < 0) {
      if (errno == ENOENT || errno == ENOTDIR) return std::optional<File>();
      if (errno == ELOOP || errno == EXDEV)
        return Error{
            ErrorCode::kUnsupported,
            key +
                ": is a link, or lies behind one; links are not followed, copy what they lead to"};
      return SystemError(key);
    }
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0) return SystemError(key);
    if (S_ISDIR(status.st_mode)) return std::optional<File>();
    if (!S_ISREG(status.st_mode))
      return Error{ErrorCode::kUnsupported, key + ": is no regular file"};
    return std::optional<File>(File{std::move(descriptor), static_cast<uint64_t>(status.st_size)});
  }

  Result<Buffer> Read(int descriptor, const std::string& key, uint64_t offset,
                      size_t length) const {
    std::shared_ptr<std::byte[]> bytes(new (std::nothrow) std::byte[length]);
    if (!bytes) return Error{ErrorCode::kTooLarge, key + ": is too large for the memory there is"};
    for (size_t done = 0; done < length;) {
      const ssize_t got =
          ::pread(descriptor, bytes.get() + done, length - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return SystemError(key);
      if (got == 0) return Error{ErrorCode::kCorrupt, key + ": became shorter while it was read"};
      done += static_cast<size_t>(got);
    }
    return Buffer(std::shared_ptr<const void>(bytes, bytes.get()), {bytes.get(), length});
  }

  const Descriptor root_;
};

}  // namespace

bool IsValidKey(std::string_view key) {
  if (key.empty() || key.size() > 4096 || key.find('\0') != key.npos) return false;
  for (size_t begin = 0; begin <= key.size();) {
    const size_t slash = std::min(key.find('/', begin), key.size());
    const std::string_view part = key.substr(begin, slash - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = slash + 1;
  }
  return true;
}

Result<std::shared_ptr<const Store>> OpenDirectory(const std::string& path) {
  const int root = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                 path + ": " + std::strerror(errno)};
  return std::shared_ptr<const Store>(std::make_shared<DirectoryStore>(path, root));
}

}  // namespace zn::formats::zarr
