#include <zstd.h>

#include <algorithm>

#include "codec/codecs.h"

namespace zn {
namespace {

// A block holds at most this much, and takes at least 3 bytes.
constexpr size_t kMaxBlock = 128 << 10;

struct Deleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

Error Corrupt(const std::string& what) { return {ErrorCode::kCorrupt, "zstd: " + what}; }

Error OutOfMemory() { return {ErrorCode::kTooLarge, "zstd: not enough memory"}; }

ZSTD_DCtx* DecodingContext() {
  thread_local const std::unique_ptr<ZSTD_DCtx, Deleter> context(ZSTD_createDCtx());
  if (context) ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  return context.get();
}

class ZstdCodec final : public BytesCodec {
 public:
  ZstdCodec(int level, bool checksum) : level_(level), checksum_(checksum) {}

  size_t MaxEncodedSize(size_t size) const override { return ZSTD_COMPRESSBOUND(size) + 4; }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    // A new context each time: what a used one makes of the same bytes depends, in some versions,
    // on what it saw before, and a chunk's name must not.
    const std::unique_ptr<ZSTD_CCtx, Deleter> context(ZSTD_createCCtx());
    if (!context) return OutOfMemory();
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level_);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, checksum_ ? 1 : 0);
    const std::span<std::byte> room = out.Resize(MaxEncodedSize(in.size()));
    const size_t size =
        ZSTD_compress2(context.get(), room.data(), room.size(), in.data(), in.size());
    if (ZSTD_isError(size))
      return {ErrorCode::kInternal, std::string("zstd: ") + ZSTD_getErrorName(size)};
    out.Cut(size);
    return {};
  }

  Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const override {
    ZSTD_DCtx* const context = DecodingContext();
    if (context == nullptr) return OutOfMemory();
    const size_t size = ZSTD_decompressDCtx(context, out.data(), out.size(), in.data(), in.size());
    if (ZSTD_isError(size)) return Corrupt(ZSTD_getErrorName(size));
    // No frame at all decodes to nothing, but nobody writes that.
    if (size != out.size() || in.empty())
      return Corrupt("decodes to " + std::to_string(size) + " bytes where " +
                     std::to_string(out.size()) + " were expected");
    return {};
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch& scratch) const override {
    ZSTD_DCtx* const context = DecodingContext();
    if (context == nullptr) return OutOfMemory();
    const auto too_large = [&] {
      return Error{ErrorCode::kTooLarge,
                   "zstd: decodes to more than the " + std::to_string(limit) + " bytes allowed"};
    };
    // As a stream, because a frame need not say how long it is.
    const unsigned long long claim = ZSTD_getFrameContentSize(in.data(), in.size());
    if (claim == ZSTD_CONTENTSIZE_ERROR) return Corrupt("not a frame");
    size_t room = std::min(limit, 4 * in.size() + 1024);
    if (claim != ZSTD_CONTENTSIZE_UNKNOWN) {
      if (claim > limit) return too_large();
      if (claim / kMaxBlock > in.size()) return Corrupt("the frame claims too much");
      room = static_cast<size_t>(claim);
    }
    ZSTD_inBuffer source{in.data(), in.size(), 0};
    size_t done = 0;
    std::span<std::byte> space = scratch.Resize(room);
    while (true) {
      ZSTD_outBuffer target{space.data(), space.size(), done};
      const size_t left = ZSTD_decompressStream(context, &target, &source);
      if (ZSTD_isError(left)) return Corrupt(ZSTD_getErrorName(left));
      const bool stuck = target.pos == done && source.pos == source.size;
      done = target.pos;
      if (left == 0 && source.pos == source.size) return scratch.Cut(done);
      if (done < space.size()) {
        if (stuck) return Corrupt("the frame ends too early");
        continue;
      }
      // Full: more output, or only the end of the frame, is still to come.
      if (done >= limit) {
        std::byte spill;
        ZSTD_outBuffer rest{&spill, 1, 0};
        const size_t more = ZSTD_decompressStream(context, &rest, &source);
        if (ZSTD_isError(more)) return Corrupt(ZSTD_getErrorName(more));
        if (rest.pos > 0) return too_large();
        if (more == 0 && source.pos == source.size) return scratch.Cut(done);
        return source.pos == source.size ? Corrupt("the frame ends too early") : too_large();
      }
      space = scratch.Grow(std::min(limit, 2 * done + 1024));
    }
  }

 private:
  const int level_;
  const bool checksum_;
};

}  // namespace

MadeCodec MakeZstdCodec(const CodecConfig& config) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({"level", "checksum"}));
  ZN_ASSIGN_OR_RETURN(const int64_t level,
                      config.Integer("level", ZSTD_minCLevel(), ZSTD_maxCLevel(), 3));
  ZN_ASSIGN_OR_RETURN(const bool checksum, config.Boolean("checksum", false));
  return std::make_unique<const ZstdCodec>(static_cast<int>(level), checksum);
}

}  // namespace zn
