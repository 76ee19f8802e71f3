#include "codec/array_codec.h"

#include <array>
#include <cstdint>
#include <cstring>

namespace zn {
namespace {

template <class T>
T Reverse(T value) {
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

template <class T>
void SwapAll(std::span<std::byte> elements) {
  for (size_t i = 0; i + sizeof(T) <= elements.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, elements.data() + i, sizeof value);
    value = Reverse(value);
    std::memcpy(elements.data() + i, &value, sizeof value);
  }
}

template <size_t kItem>
void TransposeItems(const std::byte* in, const std::array<size_t, Shape::kMaxRank>& extents,
                    const std::array<size_t, Shape::kMaxRank>& strides, size_t rank,
                    std::byte* out) {
  // `extents` are out's, `strides` those of the same axes in `in`; the last axis of out is the
  // inner loop.
  std::array<size_t, Shape::kMaxRank> index{};
  const size_t inner = extents[rank - 1], inner_stride = strides[rank - 1];
  const std::byte* row = in;
  while (true) {
    for (size_t i = 0; i < inner; ++i, out += kItem)
      std::memcpy(out, row + i * inner_stride, kItem);
    size_t axis = rank - 1;
    while (true) {
      if (axis == 0) return;
      --axis;
      row += strides[axis];
      if (++index[axis] < extents[axis]) break;
      row -= strides[axis] * extents[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

void SwapByteOrder(DType dtype, std::span<std::byte> elements) {
  const bool complex = dtype == DType::kComplex64 || dtype == DType::kComplex128;
  switch (ItemSize(dtype) / (complex ? 2 : 1)) {
    case 2:
      return SwapAll<uint16_t>(elements);
    case 4:
      return SwapAll<uint32_t>(elements);
    case 8:
      return SwapAll<uint64_t>(elements);
    default:
      return;
  }
}

void TransposeArray(std::span<const std::byte> in, const Shape& shape,
                    std::span<const int64_t> order, size_t item_size, std::span<std::byte> out) {
  if (in.empty()) return;
  const size_t rank = shape.rank();
  if (rank == 0) {
    std::memcpy(out.data(), in.data(), in.size());
    return;
  }
  std::array<size_t, Shape::kMaxRank> in_strides{}, extents{}, strides{};
  size_t stride = item_size;
  for (size_t axis = rank; axis-- > 0;) {
    in_strides[axis] = stride;
    stride *= static_cast<size_t>(shape[axis]);
  }
  for (size_t axis = 0; axis < rank; ++axis) {
    const auto from = static_cast<size_t>(order[axis]);
    extents[axis] = static_cast<size_t>(shape[from]);
    strides[axis] = in_strides[from];
  }
  switch (item_size) {
    case 1:
      return TransposeItems<1>(in.data(), extents, strides, rank, out.data());
    case 2:
      return TransposeItems<2>(in.data(), extents, strides, rank, out.data());
    case 4:
      return TransposeItems<4>(in.data(), extents, strides, rank, out.data());
    case 8:
      return TransposeItems<8>(in.data(), extents, strides, rank, out.data());
    default:
      return TransposeItems<16>(in.data(), extents, strides, rank, out.data());
  }
}

}  // namespace zn
