// A source that notes what is fetched. Nothing else may be looked at, so the rest is spoilt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "zn/engine/byte_source.h"

namespace zn {

class CountingSource final : public ByteSource {
 public:
  explicit CountingSource(std::span<const std::byte> bytes)
      : bytes_(bytes), shown_(bytes.size(), std::byte{0xA5}) {}
  size_t size() const override { return bytes_.size(); }
  Result<std::span<const std::byte>> Fetch(size_t offset, size_t count) override {
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), count,
                shown_.begin() + static_cast<ptrdiff_t>(offset));
    fetched_ += count;
    return std::span<const std::byte>(shown_).subspan(offset, count);
  }
  size_t fetched() const { return fetched_; }

 private:
  const std::span<const std::byte> bytes_;
  std::vector<std::byte> shown_;
  size_t fetched_ = 0;
};

}  // namespace zn
