// Bytes with whoever keeps them alive: a heap block, a mapped file, a cached chunk.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace zn {

/// A read-only view of bytes and a share in their owner. Copying is cheap; safe to hold on any thread.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  /// Takes a vector's storage (of any trivially copyable element).
  template <class T>
  static Buffer Own(std::vector<T> values) {
    auto owner = std::make_shared<const std::vector<T>>(std::move(values));
    return Buffer(owner, std::as_bytes(std::span(owner->data(), owner->size())));
  }
  static Buffer Copy(std::span<const std::byte> bytes) {
    return Own(std::vector<std::byte>(bytes.begin(), bytes.end()));
  }

  const std::byte* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  std::span<const std::byte> bytes() const { return bytes_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }

  /// `count` bytes from `offset`, sharing the owner. REQUIRES: they lie within.
  Buffer Slice(size_t offset, size_t count) const {
    return Buffer(owner_, bytes_.subspan(offset, count));
  }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

}  // namespace zn
