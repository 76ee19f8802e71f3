#include <cstring>

#include "base/hash.h"
#include "codec/codec_config.h"
#include "zn/engine/shard.h"

namespace zn {

Result<ShardIndexFormat> ShardIndexFormat::Create(std::string_view index_codecs) {
  ZN_ASSIGN_OR_RETURN(const std::vector<CodecConfig> list, ParseCodecList(index_codecs));
  ShardIndexFormat format;
  bool is_bytes = false;
  for (const CodecConfig& config : list) {
    if (config.name() == "bytes" && !is_bytes) {
      ZN_RETURN_IF_ERROR(config.CheckKeys({"endian"}));
      if (!config.Has("endian")) return config.Invalid("needs \"endian\" for uint64");
      ZN_ASSIGN_OR_RETURN(const size_t endian, config.Choice("endian", {"little", "big"}, 0));
      format.big_endian_ = endian == 1;
      is_bytes = true;
    } else if (config.name() == "crc32c" && is_bytes && !format.checksum_) {
      ZN_RETURN_IF_ERROR(config.CheckKeys({}));
      format.checksum_ = true;
    } else {
      return Error{ErrorCode::kUnsupported, "index_codecs: \"" + config.name().substr(0, 64) +
                                                "\"; an index is encoded by bytes and, perhaps, crc32c"};
    }
  }
  if (!is_bytes) return Error{ErrorCode::kInvalidArgument, "index_codecs: the list has no \"bytes\""};
  return format;
}

Result<size_t> ShardIndexFormat::Size(int64_t chunks) const {
  constexpr int64_t kMaxChunks = (256 << 20) / 16;
  if (chunks < 0 || chunks > kMaxChunks)
    return Error{ErrorCode::kTooLarge, "sharding_indexed: a shard of " + std::to_string(chunks) +
                                           " chunks; at most " + std::to_string(kMaxChunks) + " are read"};
  return static_cast<size_t>(chunks) * 16 + (checksum_ ? 4 : 0);
}

Result<std::vector<ShardEntry>> ShardIndexFormat::Decode(std::span<const std::byte> index, int64_t chunks,
                                                         uint64_t shard_size) const {
  const auto corrupt = [](const std::string& what) {
    return Error{ErrorCode::kCorrupt, "sharding_indexed: " + what};
  };
  ZN_ASSIGN_OR_RETURN(const size_t size, Size(chunks));
  if (index.size() != size)
    return corrupt("an index of " + std::to_string(index.size()) + " bytes where " + std::to_string(size) +
                   " were expected");
  if (checksum_) {
    uint32_t crc;
    std::memcpy(&crc, index.data() + size - 4, 4);
    if (crc != Crc32c(index.first(size - 4))) return corrupt("the checksum of the index is wrong");
  }
  std::vector<ShardEntry> entries(static_cast<size_t>(chunks));
  for (size_t i = 0; i < entries.size(); ++i) {
    uint64_t words[2];
    std::memcpy(words, index.data() + i * 16, 16);
    if (big_endian_)
      for (uint64_t& word : words) word = __builtin_bswap64(word);
    entries[i] = {words[0], words[1]};
    if (entries[i].empty()) continue;
    if (words[0] > shard_size || words[1] > shard_size - words[0])
      return corrupt("chunk " + std::to_string(i) + " lies at " + std::to_string(words[0]) + ", " +
                     std::to_string(words[1]) + " bytes long, in a shard of " + std::to_string(shard_size) + " bytes");
  }
  return entries;
}

}  // namespace zn
