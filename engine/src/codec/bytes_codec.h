// One bytes -> bytes step of a codec pipeline, and the scratch memory that steps share.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "zn/engine/byte_source.h"
#include "zn/engine/error.h"

namespace zn {

/// Memory that is neither cleared nor copied when it grows.
class Scratch {
 public:
  /// `size` bytes of whatever was there.
  std::span<std::byte> Resize(size_t size) {
    if (size > capacity_) {
      memory_ = std::make_unique_for_overwrite<std::byte[]>(size);
      capacity_ = size;
    }
    size_ = size;
    return {memory_.get(), size};
  }
  /// As Resize, but keeps what is there.
  std::span<std::byte> Grow(size_t size);
  /// Cuts to `size`. REQUIRES: size <= the size it has.
  std::span<const std::byte> Cut(size_t size) {
    size_ = size;
    return {memory_.get(), size};
  }
  std::span<const std::byte> bytes() const { return {memory_.get(), size_}; }
  /// Returns memory beyond `keep` bytes to the system: a thread that met one huge chunk does not
  /// hold on to it.
  void Trim(size_t keep) {
    if (capacity_ <= keep) return;
    memory_.reset();
    capacity_ = size_ = 0;
  }

 private:
  std::unique_ptr<std::byte[]> memory_;
  size_t size_ = 0, capacity_ = 0;
};

/// Immutable; all members may be called from any thread at once.
class BytesCodec {
 public:
  virtual ~BytesCodec() = default;

  /// The most that `size` bytes can become.
  virtual size_t MaxEncodedSize(size_t size) const = 0;

  /// False for what is read but never written: Encode is kUnsupported.
  virtual bool CanEncode() const { return true; }

  /// Fills `out`; deterministic. kTooLarge when the format cannot hold `in`.
  virtual Result<> Encode(std::span<const std::byte> in, Scratch& out) const = 0;

  /// Fills `out` exactly; kCorrupt when `in` does not decode to out.size() bytes.
  virtual Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const = 0;

  /// Where the size is not known beforehand: at most `limit` bytes, else kTooLarge. The result lies
  /// in `scratch` or is part of `in`. Memory is taken as the input earns it, not as it claims.
  virtual Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                                    Scratch& scratch) const = 0;

  /// True when Decode only checks `in` and returns a part of it.
  virtual bool IsCheck() const { return false; }
  /// True when DecodeRange costs less than decoding everything.
  virtual bool HasRanges() const { return false; }
  /// Bytes [offset, offset + out.size()) of what decodes to `size` bytes; fetches what holds them.
  virtual Result<> DecodeRange(ByteSource& in, size_t size, size_t offset,
                               std::span<std::byte> out) const;
};

}  // namespace zn
