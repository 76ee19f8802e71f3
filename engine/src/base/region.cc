#include "zn/engine/region.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace zn {

void CopyRegion(const std::byte* from, const Shape& from_shape, const Shape& from_origin, std::byte* to,
                const Shape& to_shape, const Shape& to_origin, const Shape& extent, size_t item_size) {
  const size_t rank = extent.rank();
  if (extent.Elements() == 0) return;
  // Axes that are whole in both arrays are copied in one piece with the axis before them.
  size_t inner = rank;
  size_t run = item_size;
  std::array<size_t, Shape::kMaxRank> from_strides{}, to_strides{};
  size_t from_stride = item_size, to_stride = item_size;
  bool whole = true;
  for (size_t axis = rank; axis-- > 0;) {
    from_strides[axis] = from_stride;
    to_strides[axis] = to_stride;
    from_stride *= static_cast<size_t>(from_shape[axis]);
    to_stride *= static_cast<size_t>(to_shape[axis]);
    if (whole) {
      run *= static_cast<size_t>(extent[axis]);
      inner = axis;
      whole = extent[axis] == from_shape[axis] && extent[axis] == to_shape[axis];
    }
  }
  for (size_t axis = 0; axis < rank; ++axis) {
    from += from_strides[axis] * static_cast<size_t>(from_origin[axis]);
    to += to_strides[axis] * static_cast<size_t>(to_origin[axis]);
  }
  std::array<int64_t, Shape::kMaxRank> index{};
  while (true) {
    std::memcpy(to, from, run);
    size_t axis = inner;
    while (true) {
      if (axis == 0) return;
      --axis;
      from += from_strides[axis];
      to += to_strides[axis];
      if (++index[axis] < extent[axis]) break;
      from -= from_strides[axis] * static_cast<size_t>(extent[axis]);
      to -= to_strides[axis] * static_cast<size_t>(extent[axis]);
      index[axis] = 0;
    }
  }
}

void RepeatElement(std::span<const std::byte> element, std::span<std::byte> out) {
  if (out.empty()) return;
  std::memcpy(out.data(), element.data(), element.size());
  for (size_t done = element.size(); done < out.size();) {
    const size_t more = std::min(done, out.size() - done);
    std::memcpy(out.data() + done, out.data(), more);
    done += more;
  }
}

}  // namespace zn
