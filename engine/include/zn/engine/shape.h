// The extents of an array; at most kMaxRank axes, held in place.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>

namespace zn {

class Shape {
 public:
  static constexpr size_t kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) {
    for (int64_t extent : extents) Append(extent);
  }

  size_t rank() const { return rank_; }
  int64_t operator[](size_t axis) const { return extents_[axis]; }
  int64_t& operator[](size_t axis) { return extents_[axis]; }
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }

  /// Adds a last axis. REQUIRES: rank() < kMaxRank (further axes are dropped).
  void Append(int64_t extent) {
    if (rank_ < kMaxRank) extents_[rank_++] = extent;
  }
  /// This shape behind `extent`: Shape{3}.Behind(n) is (n, 3).
  Shape Behind(int64_t extent) const {
    Shape result{extent};
    for (int64_t e : *this) result.Append(e);
    return result;
  }

  /// Product of the extents, 1 for rank 0; -1 when it overflows int64 or an extent is negative.
  int64_t Elements() const {
    int64_t n = 1;
    for (int64_t e : *this) {
      if (e < 0 || __builtin_mul_overflow(n, e, &n)) return -1;
    }
    return n;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (size_t i = 0; i < a.rank_; ++i)
      if (a.extents_[i] != b.extents_[i]) return false;
    return true;
  }

  /// "(10, 3)", as NumPy prints it.
  std::string ToString() const {
    std::string text = "(";
    for (size_t i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(extents_[i]);
    return text + (rank_ == 1 ? ",)" : ")");
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  uint8_t rank_ = 0;
};

}  // namespace zn
