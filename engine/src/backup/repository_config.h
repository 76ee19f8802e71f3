// REPO/config: what a repository is, written once. docs/backup.md, "config".
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backup/crypto.h"
#include "zn/engine/error.h"

namespace zn::backup {

inline constexpr size_t kConfigSize = 512;
inline constexpr uint32_t kRepositoryVersion = 1;

/// What wraps the master key of an encrypted repository.
struct WrappedKey {
  ScryptCost cost;
  std::array<std::byte, 32> salt{};
  Nonce nonce{};
  std::array<std::byte, 32 + kTagSize> sealed{};
};

struct RepositoryConfig {
  std::array<std::byte, 16> id{};
  int64_t created_ns = 0;
  std::optional<WrappedKey> key;  // of an encrypted repository
};

std::vector<std::byte> EncodeConfig(const RepositoryConfig& config);
/// kCorrupt, and kUnsupported for a later version.
Result<RepositoryConfig> DecodeConfig(std::span<const std::byte> bytes);

/// Wraps a new random master key.
Result<Key> NewMasterKey(RepositoryConfig& config, std::string_view password,
                         const ScryptCost& cost);
/// kInvalidArgument when it is the wrong password.
Result<Key> UnwrapMasterKey(const RepositoryConfig& config, std::string_view password);

}  // namespace zn::backup
