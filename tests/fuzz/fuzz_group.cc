// A log file of hostile bytes: walking it, searching it for later groups, and the head page. The
// CRCs of the first group's header and of its first record are made right, so that the fuzzer
// reaches what they guard.
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "log/group.h"
#include "log/head.h"
#include "log/recovery.h"

namespace {

constexpr uint32_t kSalt = 7;

void SetCrc(std::span<std::byte> bytes, size_t at) {
  uint32_t crc = zn::Crc32c(bytes.first(at), kSalt);
  std::memcpy(bytes.data() + at, &crc, 4);
}

void Use(std::span<const std::byte> bytes) {
  zn::FileWalk walk = zn::WalkLogFile(bytes, {1, 0}, kSalt);
  if (walk.end > bytes.size()) __builtin_trap();
  (void)zn::FindLaterGroup(bytes, {1, 0}, {1, walk.end}, kSalt);
  size_t visited = 0;
  if (auto header = zn::DecodeGroupHeader(bytes, {1, 0}, kSalt)) {
    (void)zn::VisitGroup(*header, bytes, kSalt, false,
                         [&](const zn::RecordHeader& record, uint64_t,
                             std::span<const std::byte> payload) -> zn::Result<> {
                           if (payload.size() != record.length) __builtin_trap();
                           for (std::byte b : payload) visited += static_cast<size_t>(b);
                           return {};
                         });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), data, size);
  Use(bytes);
  if (size >= zn::kGroupHeaderSize) SetCrc(bytes, 60);
  if (size >= zn::kGroupHeaderSize + zn::kRecordHeaderSize) {
    SetCrc(std::span(bytes).subspan(zn::kGroupHeaderSize), 52);
  }
  Use(bytes);
  bytes.resize((size + zn::kGroupAlignment - 1) / zn::kGroupAlignment * zn::kGroupAlignment);
  Use(bytes);
  zn::HeadWords words{};
  std::memcpy(words.data(), data, size < sizeof words ? size : sizeof words);
  if (auto head = zn::DecodeHead(words, kSalt)) {
    if (head->checkpoint >= head->durable) __builtin_trap();
  }
  return 0;
}
