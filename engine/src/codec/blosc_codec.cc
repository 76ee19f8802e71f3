#include <blosc.h>

#include <algorithm>
#include <cstring>

#include "codec/codecs.h"

namespace zn {
namespace {

constexpr const char* kCompressors[] = {BLOSC_LZ4_COMPNAME, BLOSC_LZ4HC_COMPNAME,
                                        BLOSC_ZSTD_COMPNAME, BLOSC_ZLIB_COMPNAME};

Error Corrupt(const std::string& what) { return {ErrorCode::kCorrupt, "blosc: " + what}; }

// What the header claims, checked against the size of the buffer.
struct Header {
  size_t bytes = 0;
  size_t item_size = 0;
};

Result<Header> ReadHeader(std::span<const std::byte> in) {
  Header header;
  if (blosc_cbuffer_validate(in.data(), in.size(), &header.bytes) != 0)
    return Corrupt("the header contradicts the " + std::to_string(in.size()) + " bytes there are");
  int flags = 0;
  blosc_cbuffer_metainfo(in.data(), &header.item_size, &flags);
  if (header.item_size == 0) return Corrupt("the header has a type size of 0");
  const int format = std::to_integer<int>(in[2]) >> 5;
  const bool stored = (flags & BLOSC_MEMCPYED) != 0;
  if (!stored && format != BLOSC_LZ4_FORMAT && format != BLOSC_ZLIB_FORMAT &&
      format != BLOSC_ZSTD_FORMAT)
    return {ErrorCode::kUnsupported, "blosc: compressed by other than lz4, zlib or zstd"};
  return header;
}

class BloscCodec final : public BytesCodec {
 public:
  BloscCodec(const char* compressor, int level, int shuffle, size_t item_size, size_t block_size)
      : compressor_(compressor),
        level_(level),
        shuffle_(shuffle),
        item_size_(item_size),
        block_size_(block_size) {}

  size_t MaxEncodedSize(size_t size) const override { return size + BLOSC_MAX_OVERHEAD; }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    if (in.size() > BLOSC_MAX_BUFFERSIZE)
      return {ErrorCode::kTooLarge, "blosc: a chunk of " + std::to_string(in.size()) +
                                        " bytes is beyond its limit of 2 GiB"};
    const std::span<std::byte> room = out.Resize(MaxEncodedSize(in.size()));
    // One thread, so that the bytes do not depend on how many there are.
    const int size = blosc_compress_ctx(level_, shuffle_, item_size_, in.size(), in.data(),
                                        room.data(), room.size(), compressor_, block_size_, 1);
    if (size <= 0)
      return {ErrorCode::kInternal, "blosc: compression failed with " + std::to_string(size)};
    out.Cut(static_cast<size_t>(size));
    return {};
  }

  Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const override {
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(in));
    return DecodeChecked(in, header, out);
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch& scratch) const override {
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(in));
    if (header.bytes > limit)
      return {ErrorCode::kTooLarge, "blosc: decodes to " + std::to_string(header.bytes) +
                                        " bytes, more than the " + std::to_string(limit) +
                                        " allowed"};
    // zstd's blocks, the densest there are, make 128 KiB of at least 3 bytes.
    if (header.bytes / (128 << 10) > in.size()) return Corrupt("the header claims too much");
    ZN_RETURN_IF_ERROR(DecodeChecked(in, header, scratch.Resize(header.bytes)));
    return scratch.bytes();
  }

  bool HasRanges() const override { return true; }

  Result<> DecodeRange(std::span<const std::byte> in, size_t size, size_t offset,
                       std::span<std::byte> out) const override {
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(in));
    if (header.bytes != size)
      return Corrupt("decodes to " + std::to_string(header.bytes) + " bytes where " +
                     std::to_string(size) + " were expected");
    if (out.empty()) return {};
    // Whoever wrote the buffer chose its items, which need not be ours.
    if (offset % header.item_size != 0 || out.size() % header.item_size != 0) {
      Scratch all;
      ZN_RETURN_IF_ERROR(DecodeChecked(in, header, all.Resize(size)));
      std::memcpy(out.data(), all.bytes().data() + offset, out.size());
      return {};
    }
    const int count = static_cast<int>(out.size() / header.item_size);
    const int got =
        blosc_getitem(in.data(), static_cast<int>(offset / header.item_size), count, out.data());
    if (got < 0 || static_cast<size_t>(got) != out.size()) return Corrupt("a block is damaged");
    return {};
  }

 private:
  static Result<> DecodeChecked(std::span<const std::byte> in, const Header& header,
                                std::span<std::byte> out) {
    if (header.bytes != out.size())
      return Corrupt("decodes to " + std::to_string(header.bytes) + " bytes where " +
                     std::to_string(out.size()) + " were expected");
    if (out.empty()) return {};
    const int size = blosc_decompress_ctx(in.data(), out.data(), out.size(), 1);
    if (size < 0 || static_cast<size_t>(size) != out.size()) return Corrupt("a block is damaged");
    return {};
  }

  const char* const compressor_;
  const int level_, shuffle_;
  const size_t item_size_, block_size_;
};

}  // namespace

MadeCodec MakeBloscCodec(const CodecConfig& config, size_t item_size) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({"cname", "clevel", "shuffle", "typesize", "blocksize"}));
  ZN_ASSIGN_OR_RETURN(const size_t compressor,
                      config.Choice("cname", {"lz4", "lz4hc", "zstd", "zlib"}, 0));
  ZN_ASSIGN_OR_RETURN(const int64_t level, config.Integer("clevel", 0, 9, 5));
  ZN_ASSIGN_OR_RETURN(const int64_t typesize,
                      config.Integer("typesize", 1, BLOSC_MAX_TYPESIZE,
                                     static_cast<int64_t>(std::max<size_t>(item_size, 1))));
  ZN_ASSIGN_OR_RETURN(
      const size_t shuffle,
      config.Choice("shuffle", {"noshuffle", "shuffle", "bitshuffle"}, typesize > 1 ? 1 : 0));
  ZN_ASSIGN_OR_RETURN(const int64_t block_size,
                      config.Integer("blocksize", 0, BLOSC_MAX_BLOCKSIZE, 0));
  static_assert(BLOSC_NOSHUFFLE == 0 && BLOSC_SHUFFLE == 1 && BLOSC_BITSHUFFLE == 2);
  return std::make_unique<const BloscCodec>(
      kCompressors[compressor], static_cast<int>(level), static_cast<int>(shuffle),
      static_cast<size_t>(typesize), static_cast<size_t>(block_size));
}

}  // namespace zn
