// What an encrypted repository is made of: AES-256-GCM, HMAC-SHA-256 and scrypt, all of them
// OpenSSL's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "zn/engine/error.h"
#include "zn/engine/version.h"

namespace zn::backup {

using Key = std::array<std::byte, 32>;
using Nonce = std::array<std::byte, 12>;
inline constexpr size_t kTagSize = 16;

/// Encrypts `plain` into `out` and puts the tag behind it: plain.size() + kTagSize bytes. `context`
/// is not stored, but must be the same for Unseal. A nonce serves once for a key.
void Seal(const Key& key, const Nonce& nonce, std::span<const std::byte> context,
          std::span<const std::byte> plain, std::byte* out);
/// Writes sealed.size() - kTagSize bytes to `out`. False when key, nonce, context or a bit of
/// `sealed` is another; `out` then holds nothing that may be used.
bool Unseal(const Key& key, const Nonce& nonce, std::span<const std::byte> context,
            std::span<const std::byte> sealed, std::byte* out);

Sha256 Hmac(const Key& key, std::span<const std::byte> bytes);
/// A key of its own for each purpose and context: HMAC(master, purpose, 0, context).
Key DeriveKey(const Key& master, std::string_view purpose, std::span<const std::byte> context = {});

void FillRandom(std::span<std::byte> out);

/// scrypt's N = 2^log_n, r and p. Takes 128 · N · r bytes of memory: 128 MiB, for about half a
/// second.
struct ScryptCost {
  uint32_t log_n = 17, r = 8, p = 1;
};
/// kInvalidArgument for a cost beyond 1 GiB of memory, which a damaged or hostile configuration may
/// ask for.
Result<Key> StretchPassword(std::string_view password, std::span<const std::byte> salt,
                            const ScryptCost& cost);

}  // namespace zn::backup
