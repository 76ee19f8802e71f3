#include "backup/crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <memory>
#include <vector>

#include "base/check.h"
#include "base/copy.h"

namespace zn::backup {
namespace {

const unsigned char* Bytes(const std::byte* p) { return reinterpret_cast<const unsigned char*>(p); }
unsigned char* Bytes(std::byte* p) { return reinterpret_cast<unsigned char*>(p); }

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

// OpenSSL takes lengths as int.
constexpr size_t kStep = size_t{1} << 30;

template <class Update>
void InSteps(std::span<const std::byte> in, const Update& update) {
  for (size_t at = 0; at < in.size(); at += kStep) update(at, std::min(kStep, in.size() - at));
}

}  // namespace

void Seal(const Key& key, const Nonce& nonce, std::span<const std::byte> context,
          std::span<const std::byte> plain, std::byte* out) {
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int length = 0;
  ZN_CHECK(cipher && EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key.data()),
                                        Bytes(nonce.data())) == 1);
  if (!context.empty())
    ZN_CHECK(EVP_EncryptUpdate(cipher.get(), nullptr, &length, Bytes(context.data()),
                               static_cast<int>(context.size())) == 1);
  InSteps(plain, [&](size_t at, size_t size) {
    ZN_CHECK(EVP_EncryptUpdate(cipher.get(), Bytes(out + at), &length, Bytes(plain.data() + at),
                               static_cast<int>(size)) == 1);
  });
  ZN_CHECK(EVP_EncryptFinal_ex(cipher.get(), Bytes(out + plain.size()), &length) == 1);
  ZN_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, out + plain.size()) ==
           1);
}

bool Unseal(const Key& key, const Nonce& nonce, std::span<const std::byte> context,
            std::span<const std::byte> sealed, std::byte* out) {
  if (sealed.size() < kTagSize) return false;
  const auto text = sealed.first(sealed.size() - kTagSize);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int length = 0;
  ZN_CHECK(cipher && EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key.data()),
                                        Bytes(nonce.data())) == 1);
  if (!context.empty())
    ZN_CHECK(EVP_DecryptUpdate(cipher.get(), nullptr, &length, Bytes(context.data()),
                               static_cast<int>(context.size())) == 1);
  InSteps(text, [&](size_t at, size_t size) {
    ZN_CHECK(EVP_DecryptUpdate(cipher.get(), Bytes(out + at), &length, Bytes(text.data() + at),
                               static_cast<int>(size)) == 1);
  });
  std::array<std::byte, kTagSize> tag;
  CopyBytes(tag.data(), sealed.data() + text.size(), kTagSize);
  ZN_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagSize, tag.data()) == 1);
  return EVP_DecryptFinal_ex(cipher.get(), Bytes(out + text.size()), &length) == 1;
}

Sha256 Hmac(const Key& key, std::span<const std::byte> bytes) {
  Sha256 result;
  unsigned length = 0;
  ZN_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(bytes.data()),
                bytes.size(), Bytes(result.bytes.data()), &length) != nullptr);
  return result;
}

Key DeriveKey(const Key& master, std::string_view purpose, std::span<const std::byte> context) {
  std::vector<std::byte> text(purpose.size() + 1 + context.size());
  CopyBytes(text.data(), purpose.data(), purpose.size());
  CopyBytes(text.data() + purpose.size() + 1, context.data(), context.size());
  return Hmac(master, text).bytes;
}

void FillRandom(std::span<std::byte> out) {
  // getrandom of up to 256 bytes neither fails nor comes short once the system is up.
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), std::min<size_t>(out.size(), 256), 0);
    if (got > 0) out = out.subspan(static_cast<size_t>(got));
  }
}

Result<Key> StretchPassword(std::string_view password, std::span<const std::byte> salt,
                            const ScryptCost& cost) {
  constexpr uint64_t kMostMemory = uint64_t{1} << 30;
  if (cost.log_n < 1 || cost.log_n > 30 || cost.r < 1 || cost.r > 64 || cost.p < 1 || cost.p > 16 ||
      (uint64_t{128} << cost.log_n) * cost.r > kMostMemory)
    return Error{ErrorCode::kInvalidArgument, "the cost of its password's scrypt makes no sense"};
  Key key;
  if (EVP_PBE_scrypt(password.data(), password.size(), Bytes(salt.data()), salt.size(),
                     uint64_t{1} << cost.log_n, cost.r, cost.p, 2 * kMostMemory, Bytes(key.data()),
                     key.size()) != 1)
    return Error{ErrorCode::kInternal, "scrypt failed; is there enough memory?"};
  return key;
}

}  // namespace zn::backup
