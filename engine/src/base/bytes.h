// Little-endian reading and writing of on-disk structures, bounds-checked.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace zn {

static_assert(std::endian::native == std::endian::little, "ZnStore's formats are little-endian, and so must the machine be");

inline bool IsZero(std::span<const std::byte> bytes) {
  // Each byte equals the one before it, and the first is zero.
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

/// Appends values to a growing buffer.
class ByteWriter {
 public:
  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void Put(T value) {
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), p, p + sizeof value);
  }
  void PutBytes(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  /// u32 length, then the bytes.
  void PutString(std::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    PutBytes(std::as_bytes(std::span(text.data(), text.size())));
  }
  void PadTo(size_t alignment) { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }
  size_t size() const { return bytes_.size(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  std::vector<std::byte> Take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Takes values from the front. After any read past the end `ok()` is false and every further read gives zeros, so a
/// decoder may check once at its end; lengths must be checked against remaining() before they size an allocation.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  T Get() {
    T value{};
    if (bytes_.size() < sizeof value) {
      Fail();
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_ = bytes_.subspan(sizeof value);
    return value;
  }
  std::span<const std::byte> GetBytes(size_t count) {
    if (bytes_.size() < count) {
      Fail();
      return {};
    }
    auto result = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return result;
  }
  std::string_view GetString() {
    auto bytes = GetBytes(Get<uint32_t>());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  size_t remaining() const { return bytes_.size(); }
  bool ok() const { return ok_; }

 private:
  void Fail() {
    ok_ = false;
    bytes_ = {};
  }
  std::span<const std::byte> bytes_;
  bool ok_ = true;
};

}  // namespace zn
