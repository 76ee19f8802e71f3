#include "codec/bit_packing.h"

#include <array>
#include <bit>
#include <cstring>
#include <utility>

namespace zn {
namespace {

// With the width a constant, every shift is one too, and the loops unroll to a few instructions a
// number.
template <unsigned kWidth>
void Pack(const uint32_t* numbers, std::byte* out) {
  if constexpr (kWidth == 32) {
    std::memcpy(out, numbers, 4 * kPackedBlock);
  } else {
    uint64_t bits = 0;
    unsigned held = 0;
#pragma GCC unroll 32
    for (size_t i = 0; i < kPackedBlock; ++i) {
      bits |= uint64_t{numbers[i]} << held;
      held += kWidth;
      if (held >= 32) {
        const auto word = static_cast<uint32_t>(bits);
        std::memcpy(out, &word, sizeof word);
        out += sizeof word;
        bits >>= 32;
        held -= 32;
      }
    }
  }
}

template <unsigned kWidth>
void Unpack(const std::byte* in, uint32_t* numbers) {
  if constexpr (kWidth == 0) {
    std::memset(numbers, 0, 4 * kPackedBlock);
  } else if constexpr (kWidth == 32) {
    std::memcpy(numbers, in, 4 * kPackedBlock);
  } else {
#pragma GCC unroll 32
    for (size_t i = 0; i < kPackedBlock; ++i) {
      uint64_t bits;
      std::memcpy(&bits, in + i * kWidth / 8, sizeof bits);
      numbers[i] = static_cast<uint32_t>(bits >> (i * kWidth % 8)) & ((uint32_t{1} << kWidth) - 1);
    }
  }
}

template <size_t... kWidths>
constexpr auto PackTable(std::index_sequence<kWidths...>) {
  return std::array{&Pack<kWidths>...};
}
template <size_t... kWidths>
constexpr auto UnpackTable(std::index_sequence<kWidths...>) {
  return std::array{&Unpack<kWidths>...};
}
constexpr auto kPack = PackTable(std::make_index_sequence<33>());
constexpr auto kUnpack = UnpackTable(std::make_index_sequence<33>());

template <class U>
size_t WidthOf(const U* numbers) {
  U all = 0;
  for (size_t i = 0; i < kPackedBlock; ++i) all |= numbers[i];
  return static_cast<size_t>(std::bit_width(all));
}

/// 0 when there is no whole block.
template <class U>
size_t SizeOfBlock(std::span<const std::byte> in) {
  if (in.empty()) return 0;
  const auto width = std::to_integer<size_t>(in[0]);
  const size_t size = 1 + 4 * width;
  return width <= 8 * sizeof(U) && in.size() >= size + kPackingSlack ? size : 0;
}

}  // namespace

size_t PackBlock(const uint32_t* numbers, std::byte* out) {
  const size_t width = WidthOf(numbers);
  out[0] = static_cast<std::byte>(width);
  kPack[width](numbers, out + 1);
  return 1 + 4 * width;
}

size_t PackBlock(const uint64_t* numbers, std::byte* out) {
  const size_t width = WidthOf(numbers);
  out[0] = static_cast<std::byte>(width);
  uint32_t low[kPackedBlock], high[kPackedBlock];
  for (size_t i = 0; i < kPackedBlock; ++i) {
    low[i] = static_cast<uint32_t>(numbers[i]);
    high[i] = static_cast<uint32_t>(numbers[i] >> 32);
  }
  if (width <= 32) {
    kPack[width](low, out + 1);
  } else {
    kPack[32](low, out + 1);
    kPack[width - 32](high, out + 1 + sizeof low);
  }
  return 1 + 4 * width;
}

size_t UnpackBlock(std::span<const std::byte> in, uint32_t* numbers) {
  const size_t size = SizeOfBlock<uint32_t>(in);
  if (size > 0) kUnpack[(size - 1) / 4](in.data() + 1, numbers);
  return size;
}

size_t UnpackBlock(std::span<const std::byte> in, uint64_t* numbers) {
  const size_t size = SizeOfBlock<uint64_t>(in);
  if (size == 0) return 0;
  const size_t width = (size - 1) / 4;
  uint32_t low[kPackedBlock], high[kPackedBlock];
  if (width <= 32) {
    kUnpack[width](in.data() + 1, low);
    for (size_t i = 0; i < kPackedBlock; ++i) numbers[i] = low[i];
  } else {
    kUnpack[32](in.data() + 1, low);
    kUnpack[width - 32](in.data() + 1 + sizeof low, high);
    for (size_t i = 0; i < kPackedBlock; ++i) numbers[i] = uint64_t{high[i]} << 32 | low[i];
  }
  return size;
}

}  // namespace zn
