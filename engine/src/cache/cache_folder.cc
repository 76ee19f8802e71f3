#include "cache/cache_folder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "cache/npy.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // Linux 5.14
#endif

namespace zn {
namespace {

constexpr std::string_view kSuffix = ".npy";
// More than a header of eight axes takes.
constexpr size_t kMaxHeader = 512;

// A descriptor that is closed.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  const int fd_;
};

// A mapping that is unmapped with the last Buffer of it.
struct Map {
  Map(void* start, size_t length) : address(start), size(length) {}
  ~Map() { ::munmap(address, size); }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  void* const address;
  const size_t size;
};

bool WriteAll(int fd, std::span<const std::byte> bytes, off_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = EIO;
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += written;
  }
  return true;
}

std::optional<Buffer> MapData(int fd, size_t size, size_t data_offset) {
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return std::nullopt;
  // All at once: a page fault for every 64 KiB costs more. Where the kernel does not know it,
  // faults do the work.
  ::madvise(address, size, MADV_POPULATE_READ);
  auto map = std::make_shared<const Map>(address, size);
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(address), size);
  return Buffer(std::move(map), bytes.subspan(data_offset));
}

int64_t DataBytes(DType dtype, const Shape& shape) {
  int64_t bytes = shape.Elements();
  if (bytes < 0 || __builtin_mul_overflow(bytes, static_cast<int64_t>(ItemSize(dtype)), &bytes))
    return -1;
  return bytes;
}

bool Fits(const Shape& least, const Shape& shape, const Shape& most) {
  if (shape.rank() != most.rank() || shape.rank() != least.rank()) return false;
  for (size_t i = 0; i < shape.rank(); ++i)
    if (shape[i] < least[i] || shape[i] > most[i]) return false;
  return true;
}

std::optional<Sha256> NameOf(std::string_view file) {
  Sha256 name;
  if (file.size() != 2 * name.bytes.size() + kSuffix.size() || !file.ends_with(kSuffix))
    return std::nullopt;
  for (size_t i = 0; i < 2 * name.bytes.size(); ++i) {
    const char c = file[i];
    int digit;
    if (c >= '0' && c <= '9')
      digit = c - '0';
    else if (c >= 'a' && c <= 'f')
      digit = c - 'a' + 10;
    else
      return std::nullopt;
    name.bytes[i / 2] = name.bytes[i / 2] << 4 | std::byte(digit);
  }
  return name;
}

std::string TemporaryPrefix() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return "tmp-" + std::to_string(::getpid()) + "-" + std::to_string(now.tv_sec) + "-" +
         std::to_string(now.tv_nsec) + "-";
}

}  // namespace

size_t CacheFolder::HashName::operator()(const Sha256& name) const {
  size_t hash;
  std::memcpy(&hash, name.bytes.data(), sizeof hash);
  return hash;
}

CacheFolder::CacheFolder(Options options)
    : options_(std::move(options)),
      folder_(options_.root + "/" + options_.boot_id),
      temporary_prefix_(TemporaryPrefix()) {
  if (options_.unnamed_files) {
    stock_taken_ = true;
  } else if (options_.background) {
    stock_taker_ = std::thread([this] { TakeStock(); });
  } else {
    TakeStock();
  }
}

CacheFolder::~CacheFolder() {
  stopping_ = true;
  if (stock_taker_.joinable()) stock_taker_.join();
}

std::string CacheFolder::PathOf(const Sha256& name) const {
  return folder_ + "/" + name.Hex() + std::string(kSuffix);
}

Result<CacheFolder::Made> CacheFolder::Make(const Sha256& name, DType dtype, const Shape& shape,
                                            std::span<const std::byte> data) {
  auto made = TryMake(name, dtype, shape, data);
  if (made || made.error().code != ErrorCode::kNotFound) return made;
  ZN_RETURN_IF_ERROR(MakeDirectory(options_.root));
  if (!options_.unnamed_files) ZN_RETURN_IF_ERROR(MakeDirectory(folder_));
  return TryMake(name, dtype, shape, data);
}

Result<CacheFolder::Made> CacheFolder::TryMake(const Sha256& name, DType dtype, const Shape& shape,
                                               std::span<const std::byte> data) {
  const bool named = !options_.unnamed_files;
  const std::string temporary =
      named ? folder_ + "/" + temporary_prefix_ + std::to_string(next_temporary_.fetch_add(1))
            : options_.root;
  const Descriptor fd(
      ::open(temporary.c_str(), O_RDWR | O_CLOEXEC | (named ? O_CREAT | O_EXCL : O_TMPFILE), 0644));
  if (!fd) return ErrnoError(errno, "create", temporary);
  const auto fail = [&](const char* action) -> Error {
    const int error = errno;
    if (named) ::unlink(temporary.c_str());
    return ErrnoError(error, action, temporary);
  };

  // Written, not filled through a writable map: that costs a fault a page (a quarter of the time,
  // measured on ext4). Nor allocated first: a write reserves its space just as well, and unlinking
  // later is cheaper.
  const std::vector<std::byte> header = EncodeNpyHeader(dtype, shape);
  if (!WriteAll(fd.get(), header, 0) ||
      !WriteAll(fd.get(), data, static_cast<off_t>(header.size())))
    return fail("write");
  const size_t size = header.size() + data.size();
  std::optional<Buffer> mapped = MapData(fd.get(), size, header.size());
  if (!mapped) return fail("map");
  if (named) {
    // Named and listed in one step, so that neither taking stock nor Remove sees one without the
    // other.
    std::lock_guard lock(mutex_);
    if (::rename(temporary.c_str(), PathOf(name).c_str()) != 0) return fail("rename");
    ours_.insert(name);
    ForgetDormant(name);
  }
  return Made{*std::move(mapped), shape, static_cast<int64_t>(size)};
}

std::optional<CacheFolder::Made> CacheFolder::Adopt(const Sha256& name, DType dtype,
                                                    const Shape& least, const Shape& most) {
  if (options_.unnamed_files) return std::nullopt;
  {
    // Until stock is taken the file may be there unknown to us.
    std::lock_guard lock(mutex_);
    if (ours_.contains(name) || (stock_taken_ && !dormant_.contains(name))) return std::nullopt;
  }
  const std::string path = PathOf(name);
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  std::optional<Made> made;
  if (fd && ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    std::array<std::byte, kMaxHeader> start;
    const ssize_t got = ::pread(fd.get(), start.data(), start.size(), 0);
    if (got > 0) {
      const auto header = DecodeNpyHeader(std::span(start).first(static_cast<size_t>(got)));
      if (header && header->dtype == dtype && Fits(least, header->shape, most) &&
          header->data_offset % kNpyAlignment == 0) {
        const int64_t bytes = DataBytes(dtype, header->shape);
        if (bytes > 0 && status.st_size - static_cast<int64_t>(header->data_offset) == bytes) {
          if (auto data =
                  MapData(fd.get(), static_cast<size_t>(status.st_size), header->data_offset))
            made = Made{*std::move(data), header->shape, status.st_size};
        }
      }
    }
  }
  if (fd && !made) ::unlink(path.c_str());
  std::lock_guard lock(mutex_);
  ForgetDormant(name);
  if (made) ours_.insert(name);
  return made;
}

void CacheFolder::Remove(const Sha256& name) {
  if (options_.unnamed_files) return;
  // Under the lock, so that it cannot take away a file that is just being made again.
  std::lock_guard lock(mutex_);
  if (ours_.erase(name) > 0) ::unlink(PathOf(name).c_str());
}

bool CacheFolder::RemoveDormant() {
  std::lock_guard lock(mutex_);
  const auto first = dormant_.begin();
  if (first == dormant_.end()) return false;
  const Sha256 name = first->first;
  ::unlink(PathOf(name).c_str());
  ForgetDormant(name);
  return true;
}

void CacheFolder::ForgetDormant(const Sha256& name) {
  const auto dormant = dormant_.find(name);
  if (dormant == dormant_.end()) return;
  dormant_bytes_ -= dormant->second;
  --dormant_files_;
  dormant_.erase(dormant);
}

void CacheFolder::TakeStock() {
  if (auto files = ListDirectory(folder_)) {
    for (const std::string& file : *files) {
      if (stopping_) return;
      TakeStockOfFile(file);
    }
  }
  stock_taken_ = true;
  if (auto folders = ListDirectory(options_.root)) {
    for (const std::string& folder : *folders) {
      if (stopping_) return;
      if (folder != options_.boot_id) RemoveOtherFolder(options_.root + "/" + folder);
    }
  }
}

void CacheFolder::TakeStockOfFile(const std::string& file) {
  const std::string path = folder_ + "/" + file;
  const std::optional<Sha256> name = NameOf(file);
  if (!name) {
    // Unfinished files of a process that died; ours are on their way to their names.
    if (!file.starts_with(temporary_prefix_)) (void)RemoveTree(path);
    return;
  }
  struct stat status {};
  std::lock_guard lock(mutex_);
  if (ours_.contains(*name) || ::lstat(path.c_str(), &status) != 0) return;
  if (dormant_.emplace(*name, status.st_size).second) {
    dormant_bytes_ += status.st_size;
    ++dormant_files_;
  }
}

void CacheFolder::RemoveOtherFolder(const std::string& path) {
  // File by file, so that closing need not wait for gigabytes to be freed.
  if (auto files = ListDirectory(path)) {
    for (const std::string& file : *files) {
      if (stopping_) return;
      (void)RemoveTree(path + "/" + file);
    }
  }
  (void)RemoveTree(path);
}

}  // namespace zn
