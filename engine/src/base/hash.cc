#include "base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <cstring>
#include <memory>

#include "base/check.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace zn {
namespace {

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// Fetched once: looking the algorithm up costs more than hashing a small chunk. Freed never, so
// that threads that outlive main may still hash.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ZN_CHECK(algorithm != nullptr);
  return algorithm;
}

// The polynomial, bits reversed.
constexpr uint32_t kPolynomial = 0x82f63b78;

using Table = std::array<std::array<uint32_t, 256>, 8>;

constexpr Table MakeSlicingTable() {
  Table table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[0][i] = crc;
  }
  for (size_t slice = 1; slice < 8; ++slice)
    for (size_t i = 0; i < 256; ++i)
      table[slice][i] = (table[slice - 1][i] >> 8) ^ table[0][table[slice - 1][i] & 0xff];
  return table;
}
constexpr Table kSlicing = MakeSlicingTable();

uint32_t ExtendByTable(uint32_t crc, const std::byte* p, size_t size) {
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    word ^= crc;
    crc = 0;
    for (int i = 0; i < 8; ++i) crc ^= kSlicing[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (; size > 0; ++p, --size)
    crc = (crc >> 8) ^ kSlicing[0][(crc ^ std::to_integer<uint32_t>(*p)) & 0xff];
  return crc;
}

#if defined(__x86_64__)

// The crc32 instruction has a latency of 3 and a throughput of 1, so three streams are needed to
// keep it busy. Their CRCs are joined by shifting the earlier ones over the length of the later
// ones, a linear map held as four tables.
using ShiftTable = std::array<std::array<uint32_t, 256>, 4>;

constexpr ShiftTable MakeShiftTable(size_t bytes) {
  // column[i]: what one bit i becomes after `bytes` zero bytes.
  std::array<uint32_t, 32> column{};
  column[0] = kPolynomial;  // one zero bit
  for (size_t i = 1; i < 32; ++i) column[i] = 1u << (i - 1);
  const auto apply = [](const std::array<uint32_t, 32>& matrix, uint32_t vector) {
    uint32_t sum = 0;
    for (size_t i = 0; vector != 0; ++i, vector >>= 1)
      if (vector & 1) sum ^= matrix[i];
    return sum;
  };
  for (size_t bits = 1; bits < 8 * bytes; bits *= 2) {  // `bytes` is a power of two
    std::array<uint32_t, 32> square{};
    for (size_t i = 0; i < 32; ++i) square[i] = apply(column, column[i]);
    column = square;
  }
  ShiftTable table{};
  for (uint32_t byte = 0; byte < 4; ++byte)
    for (uint32_t i = 0; i < 256; ++i) table[byte][i] = apply(column, i << (8 * byte));
  return table;
}

constexpr size_t kLongBlock = 4096, kShortBlock = 256;
constexpr ShiftTable kShiftLong = MakeShiftTable(kLongBlock);
constexpr ShiftTable kShiftShort = MakeShiftTable(kShortBlock);

uint32_t Shift(const ShiftTable& table, uint32_t crc) {
  return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^ table[2][(crc >> 16) & 0xff] ^
         table[3][crc >> 24];
}

inline uint64_t LoadWord(const std::byte* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

template <size_t kBlock>
__attribute__((target("sse4.2"))) inline void ExtendThreeWay(uint64_t& crc, const std::byte*& p,
                                                             size_t& size,
                                                             const ShiftTable& shift) {
  while (size >= 3 * kBlock) {
    uint64_t second = 0, third = 0;
    for (const std::byte* end = p + kBlock; p != end; p += 8) {
      crc = _mm_crc32_u64(crc, LoadWord(p));
      second = _mm_crc32_u64(second, LoadWord(p + kBlock));
      third = _mm_crc32_u64(third, LoadWord(p + 2 * kBlock));
    }
    crc = Shift(shift, static_cast<uint32_t>(crc)) ^ second;
    crc = Shift(shift, static_cast<uint32_t>(crc)) ^ third;
    p += 2 * kBlock;
    size -= 3 * kBlock;
  }
}

__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(uint32_t start, const std::byte* p,
                                                               size_t size) {
  uint64_t crc = start;
  ExtendThreeWay<kLongBlock>(crc, p, size, kShiftLong);
  ExtendThreeWay<kShortBlock>(crc, p, size, kShiftShort);
  for (; size >= 8; p += 8, size -= 8) crc = _mm_crc32_u64(crc, LoadWord(p));
  auto narrow = static_cast<uint32_t>(crc);
  for (; size > 0; ++p, --size) narrow = _mm_crc32_u8(narrow, std::to_integer<uint8_t>(*p));
  return narrow;
}

bool HasInstruction() {
  static const bool has = __builtin_cpu_supports("sse4.2");
  return has;
}

#endif

}  // namespace

Sha256Hasher::Sha256Hasher() {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ZN_CHECK(context != nullptr && EVP_DigestInit_ex(context, Algorithm(), nullptr) == 1);
  context_ = context;
}

Sha256Hasher::~Sha256Hasher() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Sha256Hasher::Update(std::span<const std::byte> bytes) {
  ZN_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size()) == 1);
}

Sha256 Sha256Hasher::Finish() {
  Sha256 result;
  unsigned size = 0;
  ZN_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_),
                              reinterpret_cast<unsigned char*>(result.bytes.data()), &size) == 1 &&
           size == result.bytes.size());
  return result;
}

Sha256 HashSha256(std::span<const std::byte> bytes) {
  thread_local const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  Sha256 result;
  unsigned size = 0;
  ZN_CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), Algorithm(), nullptr) == 1 &&
           EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
           EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(result.bytes.data()),
                              &size) == 1 &&
           size == result.bytes.size());
  return result;
}

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t crc) {
#if defined(__x86_64__)
  if (HasInstruction()) return ~ExtendByInstruction(~crc, bytes.data(), bytes.size());
#endif
  return ~ExtendByTable(~crc, bytes.data(), bytes.size());
}

namespace internal {
uint32_t Crc32cByTable(std::span<const std::byte> bytes, uint32_t crc) {
  return ~ExtendByTable(~crc, bytes.data(), bytes.size());
}
}  // namespace internal

Hash128 HashKeyed(std::span<const std::byte> bytes, uint64_t key) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), key);
  return {hash.low64, hash.high64};
}

}  // namespace zn
