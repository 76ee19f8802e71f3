// Tokens and what keeps them secret. The only file of the server besides TLS that sees OpenSSL.
#pragma once

#include <string>
#include <string_view>

namespace zn::server {

/// 256 bits from the system's generator, as 64 hex digits.
std::string RandomToken();
/// 32 bytes.
std::string Sha256Bytes(std::string_view text);
/// 32 bytes: RFC 2104 with SHA-256.
std::string HmacSha256(std::string_view key, std::string_view text);
/// Takes as long whatever the texts are; how long they are may be learned.
bool EqualInConstantTime(std::string_view a, std::string_view b);

std::string ToHex(std::string_view bytes);

}  // namespace zn::server
