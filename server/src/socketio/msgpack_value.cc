// ParseMsgpack: https://github.com/msgpack/msgpack/blob/master/spec.md
#include <bit>
#include <cstring>

#include "socketio/socketio_packet.h"

namespace zn::server::socketio {
namespace {

// Reads one value from the front of `bytes_`. Containers grow as their elements are read, so a
// count that lies costs nothing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  bool Value(json* out, size_t depth) {
    uint64_t head = 0;
    if (depth > kMaxDepth || !Big(1, &head)) return false;
    const auto b = static_cast<uint8_t>(head);
    if (b < 0x80) return Set(out, b);
    if (b < 0x90) return Map(out, b & 0x0fu, depth);
    if (b < 0xa0) return Array(out, b & 0x0fu, depth);
    if (b < 0xc0) return String(out, b & 0x1fu);
    if (b >= 0xe0) return Set(out, static_cast<int64_t>(static_cast<int8_t>(b)));
    uint64_t n = 0;
    switch (b) {
      case 0xc0:
        return Set(out, nullptr);
      case 0xc2:
        return Set(out, false);
      case 0xc3:
        return Set(out, true);
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return Big(1u << (b - 0xc4), &n) && Binary(out, n);
      case 0xca:
        return Big(4, &n) &&
               Set(out, static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(n))));
      case 0xcb:
        return Big(8, &n) && Set(out, std::bit_cast<double>(n));
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return Big(1u << (b - 0xcc), &n) && Set(out, n);
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3:
        return Signed(1u << (b - 0xd0), out);
      case 0xd4:  // fixext 1, type 0: how JavaScript's packers write undefined
        return Big(2, &n) && n >> 8 == 0 && Set(out, nullptr);
      case 0xd9:
      case 0xda:
      case 0xdb:
        return Big(1u << (b - 0xd9), &n) && String(out, n);
      case 0xdc:
      case 0xdd:
        return Big(2u << (b - 0xdc), &n) && Array(out, n, depth);
      case 0xde:
      case 0xdf:
        return Big(2u << (b - 0xde), &n) && Map(out, n, depth);
      default:
        return false;
    }
  }
  bool AtEnd() const { return bytes_.empty(); }

 private:
  template <class T>
  static bool Set(json* out, T value) {
    *out = value;
    return true;
  }
  bool Take(uint64_t n, std::string_view* out) {
    if (n > bytes_.size()) return false;
    *out = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return true;
  }
  bool Big(size_t bytes, uint64_t* value) {
    std::string_view raw;
    if (!Take(bytes, &raw)) return false;
    *value = 0;
    for (char c : raw) *value = *value << 8 | static_cast<uint8_t>(c);
    return true;
  }
  bool Signed(size_t bytes, json* out) {
    uint64_t n = 0;
    if (!Big(bytes, &n)) return false;
    const int shift = static_cast<int>(64 - 8 * bytes);
    const int64_t value = static_cast<int64_t>(n << shift) >> shift;
    if (value >= 0) return Set(out, static_cast<uint64_t>(value));
    return Set(out, value);
  }
  bool String(json* out, uint64_t n) {
    std::string_view text;
    if (!Take(n, &text)) return false;
    *out = std::string(text);
    return true;
  }
  bool Binary(json* out, uint64_t n) {
    std::string_view bytes;
    if (!Take(n, &bytes)) return false;
    *out = json::binary({bytes.begin(), bytes.end()});
    return true;
  }
  bool Array(json* out, uint64_t n, size_t depth) {
    *out = json::array();
    for (uint64_t i = 0; i < n; ++i) {
      json element;
      if (!Value(&element, depth + 1)) return false;
      out->push_back(std::move(element));
    }
    return true;
  }
  bool Map(json* out, uint64_t n, size_t depth) {
    *out = json::object();
    for (uint64_t i = 0; i < n; ++i) {
      json key, value;
      if (!Value(&key, depth + 1) || !key.is_string() || !Value(&value, depth + 1)) return false;
      (*out)[key.get<std::string>()] = std::move(value);
    }
    return true;
  }

  std::string_view bytes_;
};

}  // namespace

std::optional<json> ParseMsgpack(std::string_view bytes) {
  Reader reader(bytes);
  json value;
  if (!reader.Value(&value, 1) || !reader.AtEnd()) return std::nullopt;
  return value;
}

}  // namespace zn::server::socketio
