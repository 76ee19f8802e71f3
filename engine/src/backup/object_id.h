// What a repository calls things: objects by their content (or a keyed hash of it), bundles and
// snapshots by chance.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "zn/engine/version.h"

namespace zn::backup {

/// An object's name in the repository: the SHA-256 of its content where nothing is encrypted, else
/// an HMAC of it, so that whoever sees the repository cannot tell whether a known file is in it.
struct ObjectId {
  Sha256 value;
  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;
};

struct HashObjectId {
  size_t operator()(const ObjectId& id) const {
    size_t hash;
    std::memcpy(&hash, id.value.bytes.data(), sizeof hash);
    return hash;
  }
};

/// 16 random bytes that name a bundle, an index or a snapshot; 32 hex digits as a file's name.
struct RandomId {
  std::array<std::byte, 16> bytes{};
  friend auto operator<=>(const RandomId&, const RandomId&) = default;

  static RandomId New();
  static std::optional<RandomId> Parse(std::string_view hex);
  std::string Hex() const;
};

}  // namespace zn::backup
