// Rows of whole numbers of either sign in packed blocks (bit_packing.h): each as it is, or as its
// difference from another row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include "codec/bit_packing.h"

namespace zn {

/// Differences of either sign as small unsigned numbers, so that the high bits are zeros.
template <class Int>
auto ZigZag(Int value) {
  using U = std::make_unsigned_t<Int>;
  return static_cast<U>((static_cast<U>(value) << 1) ^
                        static_cast<U>(value >> (8 * sizeof(Int) - 1)));
}
template <class U>
U UnZigZag(U code) {
  return (code >> 1) ^ (U{0} - (code & 1));
}

/// Packs numbers one after the other.
template <class U>
class PackedWriter {
 public:
  /// REQUIRES: room for all blocks at `out`.
  explicit PackedWriter(std::byte* out) : begin_(out), at_(out) {}

  /// ZigZag(own - before) of a row; `before` may be nullptr for zeros.
  template <class Int>
  void PutRow(const Int* own, const Int* before, size_t row) {
    for (size_t i = 0; i < row;) {
      const size_t take = std::min(row - i, kPackedBlock - staged_);
      U* const to = stage_ + staged_;
      if (before == nullptr)
        for (size_t j = 0; j < take; ++j) to[j] = ZigZag(own[i + j]);
      else
        for (size_t j = 0; j < take; ++j)
          to[j] =
              ZigZag(static_cast<Int>(static_cast<U>(own[i + j]) - static_cast<U>(before[i + j])));
      i += take;
      staged_ += take;
      if (staged_ == kPackedBlock) Flush();
    }
  }
  /// The next number begins a block.
  void EndGroup() {
    if (staged_ == 0) return;
    std::fill(stage_ + staged_, stage_ + kPackedBlock, U{0});
    Flush();
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  void Flush() {
    at_ += PackBlock(stage_, at_);
    staged_ = 0;
  }

  std::byte* const begin_;
  std::byte* at_;
  U stage_[kPackedBlock];
  size_t staged_ = 0;
};

/// Gives back what PackedWriter was given, from the begin of a group on.
template <class U>
class PackedReader {
 public:
  explicit PackedReader(std::span<const std::byte> in) : in_(in) {}

  /// Adds a row of differences to `own`, or replaces it. False when the bytes end before.
  template <class Int>
  bool TakeRow(Int* own, size_t row, bool add) {
    for (size_t i = 0; i < row;) {
      if (used_ == kPackedBlock) {
        const size_t size = UnpackBlock(in_, stage_);
        if (size == 0) return false;
        in_ = in_.subspan(size);
        used_ = 0;
      }
      const size_t take = std::min(row - i, kPackedBlock - used_);
      const U* const from = stage_ + used_;
      if (add)
        for (size_t j = 0; j < take; ++j)
          own[i + j] = static_cast<Int>(static_cast<U>(own[i + j]) + UnZigZag(from[j]));
      else
        for (size_t j = 0; j < take; ++j) own[i + j] = static_cast<Int>(UnZigZag(from[j]));
      i += take;
      used_ += take;
    }
    return true;
  }

 private:
  std::span<const std::byte> in_;
  U stage_[kPackedBlock];
  size_t used_ = kPackedBlock;
};

}  // namespace zn
