// Record headers and references from hostile bytes; whatever decodes, encodes to the same bytes.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "log/record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint32_t kSalt = 7;
  std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)zn::DecodeRecordHeader(bytes, kSalt);
  if (size < zn::kRecordHeaderSize) return 0;
  // Give the fuzzer the CRC, which it would not guess.
  std::byte header[zn::kRecordHeaderSize];
  std::memcpy(header, data, sizeof header);
  uint32_t crc = zn::Crc32c(std::span(header).first(52), kSalt);
  std::memcpy(header + 52, &crc, 4);
  auto decoded = zn::DecodeRecordHeader(header, kSalt);
  if (!decoded) return 0;
  std::byte again[zn::kRecordHeaderSize];
  zn::EncodeRecordHeader(*decoded, kSalt, again);
  if (std::memcmp(header, again, sizeof header) != 0) std::abort();
  return 0;
}
