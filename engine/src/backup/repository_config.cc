#include "backup/repository_config.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"

namespace zn::backup {
namespace {

constexpr char kMagic[8] = {'Z', 'N', 'B', 'A', 'C', 'K', 'U', 'P'};
constexpr uint32_t kEncrypted = 1;
constexpr size_t kContextSize = 88;  // of the config, up to the nonce

template <size_t N>
void GetArray(ByteReader& in, std::array<std::byte, N>& out) {
  const auto bytes = in.GetBytes(N);
  if (bytes.size() == N) std::copy(bytes.begin(), bytes.end(), out.begin());
}

}  // namespace

std::vector<std::byte> EncodeConfig(const RepositoryConfig& config) {
  ByteWriter out;
  out.PutBytes(std::as_bytes(std::span(kMagic)));
  out.Put(kRepositoryVersion);
  out.Put(config.key ? kEncrypted : uint32_t{0});
  out.PutBytes(config.id);
  out.Put(config.created_ns);
  if (config.key) {
    out.Put(config.key->cost.log_n);
    out.Put(config.key->cost.r);
    out.Put(config.key->cost.p);
    out.Put(uint32_t{0});
    out.PutBytes(config.key->salt);
    out.PutBytes(config.key->nonce);
    out.PutBytes(config.key->sealed);
  }
  std::vector<std::byte> bytes = out.Take();
  bytes.resize(kConfigSize - 4);
  const uint32_t crc = Crc32c(bytes);
  bytes.resize(kConfigSize);
  std::memcpy(bytes.data() + kConfigSize - 4, &crc, sizeof crc);
  return bytes;
}

Result<RepositoryConfig> DecodeConfig(std::span<const std::byte> bytes) {
  if (bytes.size() != kConfigSize)
    return Error{ErrorCode::kCorrupt,
                 "has " + std::to_string(bytes.size()) + " bytes instead of 512"};
  if (std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    return Error{ErrorCode::kCorrupt, "is not the configuration of a zn-backup repository"};
  uint32_t crc;
  std::memcpy(&crc, bytes.data() + kConfigSize - 4, sizeof crc);
  if (crc != Crc32c(bytes.first(kConfigSize - 4)))
    return Error{ErrorCode::kCorrupt,
                 "its checksum does not match; put back the copy of it that you kept"};
  ByteReader in(bytes.subspan(sizeof kMagic));
  const auto version = in.Get<uint32_t>();
  const auto flags = in.Get<uint32_t>();
  if (version != kRepositoryVersion || (flags & ~kEncrypted) != 0)
    return Error{ErrorCode::kUnsupported, "was written by a later version of ZnStore (format " +
                                              std::to_string(version) +
                                              "); use that version or newer"};
  RepositoryConfig config;
  GetArray(in, config.id);
  config.created_ns = in.Get<int64_t>();
  if ((flags & kEncrypted) == 0) return config;
  WrappedKey key;
  key.cost.log_n = in.Get<uint32_t>();
  key.cost.r = in.Get<uint32_t>();
  key.cost.p = in.Get<uint32_t>();
  in.Get<uint32_t>();
  GetArray(in, key.salt);
  GetArray(in, key.nonce);
  GetArray(in, key.sealed);
  config.key = key;
  return config;
}

Result<Key> NewMasterKey(RepositoryConfig& config, std::string_view password,
                         const ScryptCost& cost) {
  config.key.emplace();
  config.key->cost = cost;
  FillRandom(config.key->salt);
  FillRandom(config.key->nonce);
  ZN_ASSIGN_OR_RETURN(const Key wrapping, StretchPassword(password, config.key->salt, cost));
  Key master;
  FillRandom(master);
  const auto context = EncodeConfig(config);
  Seal(wrapping, config.key->nonce, std::span(context).first(kContextSize), master,
       config.key->sealed.data());
  return master;
}

Result<Key> UnwrapMasterKey(const RepositoryConfig& config, std::string_view password) {
  ZN_ASSIGN_OR_RETURN(const Key wrapping,
                      StretchPassword(password, config.key->salt, config.key->cost));
  const auto context = EncodeConfig(config);
  Key master;
  if (!Unseal(wrapping, config.key->nonce, std::span(context).first(kContextSize),
              config.key->sealed, master.data()))
    return Error{ErrorCode::kInvalidArgument, "wrong password"};
  return master;
}

}  // namespace zn::backup
