// The three hashes of the engine: SHA-256 names objects, CRC-32C guards records, a keyed 128-bit
// hash finds equal raw rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "zn/engine/version.h"

namespace zn {

// SHA-256 is OpenSSL's, which uses the SHA instructions where there are any; HashSha256 of a whole buffer is in
// zn/engine/version.h.

/// Incremental SHA-256.
class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(const Sha256Hasher&) = delete;
  Sha256Hasher& operator=(const Sha256Hasher&) = delete;
  void Update(std::span<const std::byte> bytes);
  Sha256 Finish();

 private:
  void* context_;
};

/// CRC-32C (Castagnoli, RFC 3720), continuing from `crc` (0 at the start). Hardware where there is
/// SSE4.2.
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);
namespace internal {
/// The portable way to the same result, for machines without SSE4.2 and for tests.
uint32_t Crc32cByTable(std::span<const std::byte> bytes, uint32_t crc = 0);
}  // namespace internal

struct Hash128 {
  uint64_t low = 0, high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};
/// XXH3-128 with a seed. Not cryptographic: whoever finds a match compares the bytes.
Hash128 HashKeyed(std::span<const std::byte> bytes, uint64_t key);

}  // namespace zn
