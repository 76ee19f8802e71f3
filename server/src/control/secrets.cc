#include "control/secrets.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <cstdlib>

namespace zn::server {
namespace {

const unsigned char* Data(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

std::string RandomToken() {
  unsigned char bytes[32];
  // Without randomness there are no secrets: nothing may go on.
  if (RAND_bytes(bytes, sizeof bytes) != 1) std::abort();
  return ToHex({reinterpret_cast<const char*>(bytes), sizeof bytes});
}

std::string Sha256Bytes(std::string_view text) {
  unsigned char digest[32];
  if (EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr) != 1) std::abort();
  return {reinterpret_cast<const char*>(digest), sizeof digest};
}

std::string HmacSha256(std::string_view key, std::string_view text) {
  unsigned char digest[32];
  unsigned size = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Data(text), text.size(), digest, &size)) std::abort();
  return {reinterpret_cast<const char*>(digest), size};
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string ToHex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

}  // namespace zn::server
