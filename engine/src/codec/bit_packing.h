// Unsigned numbers in blocks of 32, each number of a block in as many bits as the largest needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace zn {

inline constexpr size_t kPackedBlock = 32;
/// Bytes behind the last block that unpacking may look at.
inline constexpr size_t kPackingSlack = 8;

/// The most that a block of 32-bit or 64-bit numbers takes: a byte with the width, then 4 bytes for
/// each bit of it.
template <class U>
inline constexpr size_t kMaxPackedSize = 1 + 4 * 8 * sizeof(U);

/// Writes kPackedBlock numbers and returns the bytes that took. Number i's bits are bits i * width
/// and on of the bytes behind the width, the low ones first; of widths beyond 32, 32 numbers of 32
/// bits come first, then the bits above. REQUIRES: kMaxPackedSize<U> bytes at `out`.
size_t PackBlock(const uint32_t* numbers, std::byte* out);
size_t PackBlock(const uint64_t* numbers, std::byte* out);

/// Fills kPackedBlock numbers and returns the bytes that the block takes; 0 when `in` is no block
/// with kPackingSlack bytes behind.
size_t UnpackBlock(std::span<const std::byte> in, uint32_t* numbers);
size_t UnpackBlock(std::span<const std::byte> in, uint64_t* numbers);

}  // namespace zn
