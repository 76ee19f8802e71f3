#include "collect/leases.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <random>

namespace zn {
namespace {

constexpr char kMagic[] = "ZNL1";
constexpr uint32_t kVersion = 1;
constexpr size_t kSize = 64;
constexpr size_t kSequenceAt = 8;
constexpr std::string_view kExtension = ".lease";

std::string RandomName() {
  std::random_device random;
  const uint64_t number = uint64_t{random()} << 32 | random();
  char name[32];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(number));
  return name + std::string(kExtension);
}

/// Is the open file still the one of this name?
bool IsNamed(const File& file, const std::string& path) {
  struct stat opened, named;
  return ::fstat(file.fd(), &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

}  // namespace

Result<std::unique_ptr<Lease>> Lease::Take(const std::string& folder) {
  ZN_RETURN_IF_ERROR(MakeDirectory(folder));
  for (;;) {
    std::string path = folder + "/" + RandomName();
    ZN_ASSIGN_OR_RETURN(File file, File::Open(path, File::kCreateNew));
    std::byte page[kSize] = {};  // sequence 0: everything is needed
    std::memcpy(page, kMagic, 4);
    std::memcpy(page + 4, &kVersion, 4);
    auto ready = file.TryLock(true);
    if (ready) ready = file.WriteAt(0, std::span<const std::byte>(page));
    if (!ready) {
      (void)RemoveFile(path);
      // A writer may have met the file before it was locked.
      if (ready.error().code == ErrorCode::kBusy) continue;
      return std::move(ready).error();
    }
    if (!IsNamed(file, path)) continue;  // taken for that of a reader that is gone
    void* const map = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (map == MAP_FAILED) {
      (void)RemoveFile(path);
      return ErrnoError(errno, "map", path);
    }
    auto* const word = reinterpret_cast<uint64_t*>(static_cast<std::byte*>(map) + kSequenceAt);
    return std::unique_ptr<Lease>(new Lease(std::move(file), std::move(path), word));
  }
}

Lease::~Lease() {
  ::munmap(reinterpret_cast<std::byte*>(word_) - kSequenceAt, kSize);
  (void)RemoveFile(path_);
}

void Lease::Hold(uint64_t sequence) {
  std::atomic_ref(*word_).store(sequence, std::memory_order_release);
}

Result<Leases> LookAtLeases(const std::string& folder) {
  Leases leases;
  if (!PathExists(folder)) return leases;
  ZN_ASSIGN_OR_RETURN(const auto names, ListDirectory(folder));
  for (const std::string& name : names) {
    if (!name.ends_with(kExtension)) continue;
    const std::string path = folder + "/" + name;
    auto file = File::Open(path, File::kRead);
    if (!file && file.error().code == ErrorCode::kNotFound) continue;
    if (!file) return std::move(file).error();
    if (file->TryLock(true)) {
      ZN_RETURN_IF_ERROR(RemoveFile(path));
      continue;
    }
    ++leases.readers;
    std::byte page[kSize];
    uint64_t sequence =
        0;  // of one that is being made, or that makes no sense: everything is needed
    if (file->ReadAt(0, page) && std::memcmp(page, kMagic, 4) == 0) {
      std::memcpy(&sequence, page + kSequenceAt, sizeof sequence);
    }
    leases.oldest = std::min(leases.oldest, sequence);
  }
  return leases;
}

}  // namespace zn
