#include <lz4.h>

#include <climits>
#include <cstring>

#include "codec/codecs.h"

namespace zn {
namespace {

Error Corrupt(const std::string& what) { return {ErrorCode::kCorrupt, "lz4: " + what}; }

// numcodecs' frame: the size as u32, little-endian, then one block.
constexpr size_t kHeaderSize = sizeof(uint32_t);

Result<uint32_t> ReadSize(std::span<const std::byte> in) {
  if (in.size() <= kHeaderSize) return Corrupt("no header");
  if (in.size() > INT_MAX) return Corrupt("longer than a block can be");
  uint32_t size;
  std::memcpy(&size, in.data(), kHeaderSize);
  return size;
}

Result<> DecodeBlock(std::span<const std::byte> in, std::span<std::byte> out) {
  const std::span<const std::byte> block = in.subspan(kHeaderSize);
  // The library wants a destination even for nothing.
  char none;
  char* const target = out.empty() ? &none : reinterpret_cast<char*>(out.data());
  const int size =
      LZ4_decompress_safe(reinterpret_cast<const char*>(block.data()), target,
                          static_cast<int>(block.size()), static_cast<int>(out.size()));
  if (size < 0 || static_cast<size_t>(size) != out.size()) return Corrupt("the block is damaged");
  return {};
}

class Lz4Codec final : public BytesCodec {
 public:
  explicit Lz4Codec(int acceleration) : acceleration_(acceleration) {}

  size_t MaxEncodedSize(size_t size) const override { return kHeaderSize + size + size / 255 + 16; }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    if (in.size() > LZ4_MAX_INPUT_SIZE)
      return {ErrorCode::kTooLarge, "lz4: a chunk of " + std::to_string(in.size()) +
                                        " bytes is beyond its limit of 2 GiB"};
    const std::span<std::byte> room = out.Resize(MaxEncodedSize(in.size()));
    const auto count = static_cast<uint32_t>(in.size());
    std::memcpy(room.data(), &count, kHeaderSize);
    const int size = LZ4_compress_fast(reinterpret_cast<const char*>(in.data()),
                                       reinterpret_cast<char*>(room.data() + kHeaderSize),
                                       static_cast<int>(in.size()),
                                       static_cast<int>(room.size() - kHeaderSize), acceleration_);
    if (size <= 0) return {ErrorCode::kInternal, "lz4: compression failed"};
    out.Cut(kHeaderSize + static_cast<size_t>(size));
    return {};
  }

  Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const override {
    ZN_ASSIGN_OR_RETURN(const uint32_t size, ReadSize(in));
    if (size != out.size() || size > LZ4_MAX_INPUT_SIZE)
      return Corrupt("decodes to " + std::to_string(size) + " bytes where " +
                     std::to_string(out.size()) + " were expected");
    return DecodeBlock(in, out);
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch& scratch) const override {
    ZN_ASSIGN_OR_RETURN(const uint32_t size, ReadSize(in));
    if (size > limit)
      return {ErrorCode::kTooLarge, "lz4: decodes to " + std::to_string(size) +
                                        " bytes, more than the " + std::to_string(limit) +
                                        " allowed"};
    // A byte of a match's length stands for at most 255.
    if (size / 256 > in.size() || size > LZ4_MAX_INPUT_SIZE)
      return Corrupt("the header claims too much");
    ZN_RETURN_IF_ERROR(DecodeBlock(in, scratch.Resize(size)));
    return scratch.bytes();
  }

 private:
  const int acceleration_;
};

}  // namespace

MadeCodec MakeLz4Codec(const CodecConfig& config) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({"acceleration"}));
  ZN_ASSIGN_OR_RETURN(const int64_t acceleration, config.Integer("acceleration", 1, 65537, 1));
  return std::make_unique<const Lz4Codec>(static_cast<int>(acceleration));
}

}  // namespace zn
