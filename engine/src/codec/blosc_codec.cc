#include <blosc.h>

#include <algorithm>
#include <cstring>

#include "codec/codecs.h"

namespace zn {
namespace {

// The last two are only read.
constexpr const char* kCompressors[] = {BLOSC_LZ4_COMPNAME,  BLOSC_LZ4HC_COMPNAME,
                                        BLOSC_ZSTD_COMPNAME, BLOSC_ZLIB_COMPNAME,
                                        BLOSC_BLOSCLZ_COMPNAME, BLOSC_SNAPPY_COMPNAME};
constexpr size_t kWritten = 4;

Error Corrupt(const std::string& what) { return {ErrorCode::kCorrupt, "blosc: " + what}; }

// What the header claims, checked against the size of the buffer.
struct Header {
  size_t bytes = 0;
  size_t item_size = 0;
  size_t block_size = 0;
  bool stored = false;  // not compressed: the bytes follow the header
};

// `in` has the 16 bytes of a header, or fewer if there are no more; `size` is that of the whole buffer. `rare`: blosclz and
// snappy too, where metadata say that it is one of them.
Result<Header> ReadHeader(std::span<const std::byte> in, size_t size, bool rare) {
  Header header;
  if (blosc_cbuffer_validate(in.data(), size, &header.bytes) != 0)
    return Corrupt("the header contradicts the " + std::to_string(size) + " bytes there are");
  size_t bytes, compressed;
  blosc_cbuffer_sizes(in.data(), &bytes, &compressed, &header.block_size);
  int flags = 0;
  blosc_cbuffer_metainfo(in.data(), &header.item_size, &flags);
  if (header.item_size == 0) return Corrupt("the header has a type size of 0");
  const int format = std::to_integer<int>(in[2]) >> 5;
  header.stored = (flags & BLOSC_MEMCPYED) != 0;
  if (!header.stored && format != BLOSC_LZ4_FORMAT && format != BLOSC_ZLIB_FORMAT &&
      format != BLOSC_ZSTD_FORMAT &&
      !(rare && (format == BLOSC_BLOSCLZ_FORMAT || format == BLOSC_SNAPPY_FORMAT)))
    return {ErrorCode::kUnsupported, "blosc: compressed by other than lz4, zlib or zstd"};
  return header;
}

class BloscCodec final : public BytesCodec {
 public:
  BloscCodec(size_t compressor, int level, int shuffle, size_t item_size, size_t block_size)
      : compressor_(kCompressors[compressor]),
        read_only_(compressor >= kWritten),
        level_(level),
        shuffle_(shuffle),
        item_size_(item_size),
        block_size_(block_size) {}

  size_t MaxEncodedSize(size_t size) const override { return size + BLOSC_MAX_OVERHEAD; }

  bool CanEncode() const override { return !read_only_; }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    if (read_only_)
      return {ErrorCode::kUnsupported,
              "blosc: " + std::string(compressor_) + " is read, but not written"};
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
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(in, in.size(), read_only_));
    return DecodeChecked(in, header, out);
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch& scratch) const override {
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(in, in.size(), read_only_));
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

  Result<> DecodeRange(ByteSource& in, size_t size, size_t offset,
                       std::span<std::byte> out) const override {
    ZN_ASSIGN_OR_RETURN(const auto head,
                        in.Fetch(0, std::min<size_t>(in.size(), BLOSC_MIN_HEADER_LENGTH)));
    ZN_ASSIGN_OR_RETURN(const Header header, ReadHeader(head, in.size(), read_only_));
    if (header.bytes != size)
      return Corrupt("decodes to " + std::to_string(header.bytes) + " bytes where " +
                     std::to_string(size) + " were expected");
    if (out.empty()) return {};
    // Whoever wrote the buffer chose its items, which need not be ours.
    if (offset % header.item_size != 0 || out.size() % header.item_size != 0) {
      ZN_ASSIGN_OR_RETURN(const auto encoded, in.Fetch(0, in.size()));
      Scratch all;
      ZN_RETURN_IF_ERROR(DecodeChecked(encoded, header, all.Resize(size)));
      std::memcpy(out.data(), all.bytes().data() + offset, out.size());
      return {};
    }
    if (header.stored) {
      if (in.size() != BLOSC_MIN_HEADER_LENGTH + header.bytes) return Corrupt("stored bytes of another size");
      ZN_ASSIGN_OR_RETURN(const auto stored, in.Fetch(BLOSC_MIN_HEADER_LENGTH + offset, out.size()));
      std::memcpy(out.data(), stored.data(), out.size());
      return {};
    }
    Scratch blocks;
    ZN_ASSIGN_OR_RETURN(const size_t begin, CutBlocks(in, head, header, offset, out.size(), blocks));
    const int got = blosc_getitem(blocks.bytes().data(), static_cast<int>((offset - begin) / header.item_size),
                                  static_cast<int>(out.size() / header.item_size), out.data());
    if (got < 0 || static_cast<size_t>(got) != out.size()) return Corrupt("a block is damaged");
    return {};
  }

 private:
  // Makes a buffer of only the blocks that hold [offset, offset + count), fetching nothing else but where all blocks
  // begin. Returns the decoded place at which it begins. (Layout: c-blosc's README_CHUNK_FORMAT.rst.)
  static Result<size_t> CutBlocks(ByteSource& in, std::span<const std::byte> head, const Header& header,
                                  size_t offset, size_t count, Scratch& cut) {
    constexpr size_t kHeader = BLOSC_MIN_HEADER_LENGTH;
    if (header.block_size == 0 || header.block_size % header.item_size != 0)
      return Corrupt("the header has a block size of " + std::to_string(header.block_size));
    const size_t blocks = (header.bytes + header.block_size - 1) / header.block_size;
    if (blocks > (in.size() - kHeader) / sizeof(uint32_t)) return Corrupt("too many blocks");
    ZN_ASSIGN_OR_RETURN(const auto table, in.Fetch(kHeader, blocks * sizeof(uint32_t)));
    const auto start = [&](size_t block) {
      uint32_t at;
      std::memcpy(&at, table.data() + block * sizeof at, sizeof at);
      return size_t{at};
    };
    // Several threads may have written them in another order than they stand for.
    const size_t last = (offset + count - 1) / header.block_size;
    size_t first = offset / header.block_size;
    // A short last block alone would be less than the block size that the header names.
    if (first == last && (last + 1) * header.block_size > header.bytes && first > 0) --first;
    size_t from = in.size(), to = 0;
    for (size_t block = first; block <= last; ++block) {
      size_t end = in.size();
      for (size_t other = 0; other < blocks; ++other)
        if (start(other) > start(block)) end = std::min(end, start(other));
      from = std::min(from, start(block));
      to = std::max(to, end);
    }
    if (from < kHeader + table.size() || from >= to) return Corrupt("a block begins where none can be");
    ZN_ASSIGN_OR_RETURN(const auto encoded, in.Fetch(from, to - from));

    const size_t front = kHeader + (last - first + 1) * sizeof(uint32_t);
    std::byte* const out = cut.Resize(front + encoded.size()).data();
    std::memcpy(out, head.data(), kHeader);
    const auto put = [&](size_t at, size_t value) {
      const auto little = static_cast<uint32_t>(value);
      std::memcpy(out + at, &little, sizeof little);
    };
    const size_t begin = first * header.block_size;
    put(4, std::min(header.bytes, (last + 1) * header.block_size) - begin);
    put(12, front + encoded.size());
    for (size_t block = first; block <= last; ++block)
      put(kHeader + (block - first) * sizeof(uint32_t), start(block) - from + front);
    std::memcpy(out + front, encoded.data(), encoded.size());
    return begin;
  }

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
  const bool read_only_;
  const int level_, shuffle_;
  const size_t item_size_, block_size_;
};

}  // namespace

MadeCodec MakeBloscCodec(const CodecConfig& config, size_t item_size) {
  // By default c-blosc compresses the planes of shuffled items apart where lz4 is meant, and for that makes blocks of
  // at least 64 KiB, whatever it is asked for. How it was done stands in each buffer, so that every reader copes.
  [[maybe_unused]] static const bool once = (blosc_set_splitmode(BLOSC_NEVER_SPLIT), true);
  ZN_RETURN_IF_ERROR(config.CheckKeys({"cname", "clevel", "shuffle", "typesize", "blocksize"}));
  ZN_ASSIGN_OR_RETURN(const size_t compressor,
                      config.Choice("cname", {"lz4", "lz4hc", "zstd", "zlib", "blosclz", "snappy"}, 0));
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
      compressor, static_cast<int>(level), static_cast<int>(shuffle),
      static_cast<size_t>(typesize), static_cast<size_t>(block_size));
}

}  // namespace zn
