#include "backup/object_id.h"

#include "backup/crypto.h"

namespace zn::backup {

RandomId RandomId::New() {
  RandomId id;
  FillRandom(id.bytes);
  return id;
}

std::optional<RandomId> RandomId::Parse(std::string_view hex) {
  RandomId id;
  if (hex.size() != 2 * id.bytes.size()) return std::nullopt;
  for (size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else {
      return std::nullopt;
    }
    id.bytes[i / 2] = (id.bytes[i / 2] << 4) | static_cast<std::byte>(digit);
  }
  return id;
}

std::string RandomId::Hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text += kDigits[static_cast<uint8_t>(b) >> 4];
    text += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return text;
}

}  // namespace zn::backup
