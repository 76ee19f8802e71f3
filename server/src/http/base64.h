// Base64 (RFC 4648, section 4), with padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace zn::server {

std::string EncodeBase64(std::string_view bytes);
/// nullopt for anything but the one encoding of some bytes: wrong length, foreign characters,
/// padding that is missing or not at the end, bits that are not zero behind the last byte.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace zn::server
