// Bytes that are read, and checked, as they are asked for: a row of a chunk without all of the
// chunk.
#pragma once

#include <cstddef>
#include <span>

#include "zn/engine/error.h"

namespace zn {

/// Used by one thread at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual size_t size() const = 0;
  /// The bytes [offset, offset + count), valid as long as the source. REQUIRES: they lie within.
  /// What two calls return need not lie beside each other in memory.
  virtual Result<std::span<const std::byte>> Fetch(size_t offset, size_t count) = 0;
};

/// Bytes that are there already.
class SpanSource final : public ByteSource {
 public:
  explicit SpanSource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  size_t size() const override { return bytes_.size(); }
  Result<std::span<const std::byte>> Fetch(size_t offset, size_t count) override {
    return bytes_.subspan(offset, count);
  }

 private:
  const std::span<const std::byte> bytes_;
};

/// What stands behind the first bytes of another source, which must outlive it.
class TailSource final : public ByteSource {
 public:
  /// REQUIRES: `begin` within `source`.
  TailSource(ByteSource& source, size_t begin) : source_(source), begin_(begin) {}
  size_t size() const override { return source_.size() - begin_; }
  Result<std::span<const std::byte>> Fetch(size_t offset, size_t count) override {
    return source_.Fetch(begin_ + offset, count);
  }

 private:
  ByteSource& source_;
  const size_t begin_;
};

}  // namespace zn
