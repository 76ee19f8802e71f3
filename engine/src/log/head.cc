#include "log/head.h"

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/bytes.h"

namespace zn {
namespace {

constexpr uint32_t kMagic = 0x31484e5a;  // "ZNH1"
constexpr uint32_t kVersion = 1;
constexpr size_t kCounterWord = 1;

uint32_t CrcOf(const HeadWords& words, uint32_t salt) {
  auto bytes = std::as_bytes(std::span(words));
  return Crc32c(bytes.subspan(16, 44), Crc32c(bytes.first(8), salt));
}

}  // namespace

HeadWords EncodeHead(const Head& head, uint32_t salt) {
  ByteWriter writer;
  writer.Put(kMagic);
  writer.Put(kVersion);
  writer.Put(uint64_t{0});
  writer.Put(head.durable.offset);
  writer.Put(head.durable.file);
  writer.Put(head.checkpoint.file);
  writer.Put(head.checkpoint.offset);
  writer.Put(head.sequence);
  writer.Put(head.boot);
  writer.PadTo(sizeof(HeadWords));
  HeadWords words;
  std::memcpy(words.data(), writer.bytes().data(), sizeof words);
  words[7] |= uint64_t{CrcOf(words, salt)} << 32;
  return words;
}

std::optional<Head> DecodeHead(const HeadWords& words, uint32_t salt) {
  ByteReader reader(std::as_bytes(std::span(words)));
  uint32_t magic = reader.Get<uint32_t>();
  uint32_t version = reader.Get<uint32_t>();
  reader.Get<uint64_t>();
  Head head;
  head.durable.offset = reader.Get<uint64_t>();
  head.durable.file = reader.Get<uint32_t>();
  head.checkpoint.file = reader.Get<uint32_t>();
  head.checkpoint.offset = reader.Get<uint64_t>();
  head.sequence = reader.Get<uint64_t>();
  head.boot = reader.Get<uint64_t>();
  if (magic != kMagic || version != kVersion || words[7] >> 32 != CrcOf(words, salt) ||
      head.checkpoint >= head.durable || head.checkpoint.offset % kGroupAlignment != 0 ||
      head.durable.offset % kGroupAlignment != 0) {
    return std::nullopt;
  }
  return head;
}

Result<std::unique_ptr<HeadPage>> HeadPage::Open(FileSystem& files, const std::string& path,
                                                 uint32_t salt, bool writable) {
  ZN_ASSIGN_OR_RETURN(File file,
                      writable ? files.OpenUnsynced(path, kHeadSize) : files.OpenForReading(path));
  ZN_ASSIGN_OR_RETURN(int64_t size, file.Size());
  if (size < static_cast<int64_t>(kHeadSize)) {
    return Error{ErrorCode::kCorrupt, path + ": shorter than a page"};
  }
  void* address = ::mmap(nullptr, kHeadSize, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                         MAP_SHARED, file.fd(), 0);
  if (address == MAP_FAILED) return ErrnoError(errno, "map", path);
  return std::unique_ptr<HeadPage>(new HeadPage(static_cast<uint64_t*>(address), salt));
}

HeadPage::~HeadPage() { ::munmap(words_, kHeadSize); }

std::optional<Head> HeadPage::Load() const {
  // A change takes nanoseconds; whoever sees an odd counter for longer sees a writer that died.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    uint64_t before = std::atomic_ref(words_[kCounterWord]).load(std::memory_order_acquire);
    HeadWords words{};
    for (size_t i = 0; i < words.size(); ++i) {
      if (i != kCounterWord) words[i] = std::atomic_ref(words_[i]).load(std::memory_order_acquire);
    }
    uint64_t after = std::atomic_ref(words_[kCounterWord]).load(std::memory_order_acquire);
    if (before == after && before % 2 == 0) return DecodeHead(words, salt_);
  }
  return std::nullopt;
}

void HeadPage::Store(const Head& head) {
  HeadWords words = EncodeHead(head, salt_);
  std::atomic_ref counter(words_[kCounterWord]);
  uint64_t odd = counter.load(std::memory_order_relaxed) | 1;
  counter.store(odd, std::memory_order_release);
  for (size_t i = 0; i < words.size(); ++i) {
    // release: none of these may be seen before the odd counter.
    if (i != kCounterWord) std::atomic_ref(words_[i]).store(words[i], std::memory_order_release);
  }
  counter.store(odd + 1, std::memory_order_release);
}

}  // namespace zn
