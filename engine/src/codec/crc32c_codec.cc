#include <cstring>

#include "base/hash.h"
#include "codec/codecs.h"

namespace zn {
namespace {

constexpr size_t kCrcSize = sizeof(uint32_t);

class Crc32cCodec final : public BytesCodec {
 public:
  size_t MaxEncodedSize(size_t size) const override { return size + kCrcSize; }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    const std::span<std::byte> room = out.Resize(MaxEncodedSize(in.size()));
    const uint32_t crc = Crc32c(in);
    if (!in.empty()) std::memcpy(room.data(), in.data(), in.size());
    std::memcpy(room.data() + in.size(), &crc, kCrcSize);
    return {};
  }

  Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const override {
    ZN_ASSIGN_OR_RETURN(const std::span<const std::byte> content, Check(in));
    if (content.size() != out.size())
      return {ErrorCode::kCorrupt, "crc32c: guards " + std::to_string(content.size()) +
                                       " bytes where " + std::to_string(out.size()) +
                                       " were expected"};
    if (!out.empty()) std::memcpy(out.data(), content.data(), out.size());
    return {};
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch&) const override {
    ZN_ASSIGN_OR_RETURN(const std::span<const std::byte> content, Check(in));
    if (content.size() > limit)
      return {ErrorCode::kTooLarge,
              "crc32c: guards more than the " + std::to_string(limit) + " bytes allowed"};
    return content;
  }

  bool IsCheck() const override { return true; }

 private:
  static Result<std::span<const std::byte>> Check(std::span<const std::byte> in) {
    if (in.size() < kCrcSize) return {ErrorCode::kCorrupt, "crc32c: too short for a checksum"};
    const std::span<const std::byte> content = in.first(in.size() - kCrcSize);
    uint32_t crc;
    std::memcpy(&crc, in.data() + content.size(), kCrcSize);
    if (crc != Crc32c(content)) return {ErrorCode::kCorrupt, "crc32c: the checksum is wrong"};
    return content;
  }
};

}  // namespace

MadeCodec MakeCrc32cCodec(const CodecConfig& config) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({}));
  return std::make_unique<const Crc32cCodec>();
}

}  // namespace zn
