#include "codec/bytes_codec.h"

#include <cstring>

namespace zn {

std::span<std::byte> Scratch::Grow(size_t size) {
  if (size > capacity_) {
    auto larger = std::make_unique_for_overwrite<std::byte[]>(size);
    if (size_ > 0) std::memcpy(larger.get(), memory_.get(), size_);
    memory_ = std::move(larger);
    capacity_ = size;
  }
  size_ = size;
  return {memory_.get(), size};
}

Result<> BytesCodec::DecodeRange(ByteSource&, size_t, size_t, std::span<std::byte>) const {
  return {ErrorCode::kInternal, "this codec has no ranges"};
}

}  // namespace zn
