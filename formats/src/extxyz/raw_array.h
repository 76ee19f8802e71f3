// A growing array of numbers that are written once: no zeroing, and growth that the kernel does by
// moving pages.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "zn/engine/buffer.h"

namespace zn::formats {

template <class T>
class RawArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  RawArray() = default;
  RawArray(RawArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  RawArray& operator=(RawArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~RawArray() { std::free(data_); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }

  /// Room for `count` more, to be written by the caller. Throws std::bad_alloc.
  T* Extend(size_t count) {
    size_t size = size_ + count;
    if (size > capacity_) {
      size_t capacity = std::max(size, capacity_ + capacity_ / 2 + 64);
      if (capacity > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
      void* moved = std::realloc(data_, capacity * sizeof(T));
      if (moved == nullptr) throw std::bad_alloc();
      data_ = static_cast<T*>(moved);
      capacity_ = capacity;
    }
    T* first = data_ + size_;
    size_ = size;
    return first;
  }
  void Push(T value) { *Extend(1) = value; }
  void Truncate(size_t size) { size_ = size; }

  /// The storage as a Buffer; the array is empty afterwards.
  Buffer Take() {
    // The room for growth goes back: whoever takes the buffer may keep it for long.
    if (size_ > 0 && size_ < capacity_) {
      if (void* moved = std::realloc(data_, size_ * sizeof(T)); moved != nullptr)
        data_ = static_cast<T*>(moved);
    }
    std::shared_ptr<const void> owner(data_,
                                      [](const void* p) { std::free(const_cast<void*>(p)); });
    Buffer buffer(owner, std::as_bytes(std::span(data_, size_)));
    data_ = nullptr;
    size_ = capacity_ = 0;
    return buffer;
  }

 private:
  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace zn::formats
