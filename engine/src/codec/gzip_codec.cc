#include <zlib.h>

#include <algorithm>
#include <climits>

#include "codec/codecs.h"

namespace zn {
namespace {

// zlib tells its two formats apart by what is added to the size of the window.
struct Wrapping {
  const char* name;
  int window;
  bool members;  // several streams may follow one another
};
constexpr Wrapping kGzip{"gzip", 15 + 16, true};
constexpr Wrapping kZlib{"zlib", 15, false};

Error Corrupt(const Wrapping& format, const std::string& what) {
  return {ErrorCode::kCorrupt, std::string(format.name) + ": " + what};
}

Bytef* Bytes(const std::byte* p) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(p));  // zlib only reads its input
}

uInt Clip(size_t size) { return static_cast<uInt>(std::min<size_t>(size, UINT_MAX)); }

// zlib counts in 32 bits; this feeds it from and to any size.
class Inflater {
 public:
  Inflater(const Wrapping& format, std::span<const std::byte> in) : format_(format), in_(in) {
    ready_ = inflateInit2(&stream_, format.window) == Z_OK;
  }
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  /// All members have been read to their ends.
  bool finished() const { return finished_; }

  /// Fills `out` as far as the input goes and returns how much of it that was; kCorrupt when the
  /// input ends before.
  Result<size_t> Read(std::span<std::byte> out) {
    std::byte none;  // zlib wants somewhere to write even when there is no room
    size_t done = 0;
    while (true) {
      const uInt source = Clip(in_.size()), room = Clip(out.size() - done);
      stream_.next_in = Bytes(in_.data());
      stream_.avail_in = source;
      stream_.next_out = Bytes(room > 0 ? out.data() + done : &none);
      stream_.avail_out = room;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      const uInt used = source - stream_.avail_in, made = room - stream_.avail_out;
      in_ = in_.subspan(used);
      done += made;
      if (status == Z_STREAM_END) {
        if (in_.empty()) {
          finished_ = true;
          return done;
        }
        if (!format_.members) return Corrupt(format_, "bytes behind its end");
        if (inflateReset(&stream_) != Z_OK) return Corrupt(format_, "a member cannot be begun");
        continue;
      }
      if (status != Z_OK && status != Z_BUF_ERROR)
        return Corrupt(format_, stream_.msg != nullptr ? stream_.msg : "damaged");
      if (used > 0 || made > 0) continue;
      if (done == out.size()) return done;
      return Corrupt(format_, "ends too early");
    }
  }

 private:
  const Wrapping& format_;
  z_stream stream_{};
  std::span<const std::byte> in_;
  bool ready_ = false, finished_ = false;
};

Error OutOfMemory(const Wrapping& format) {
  return {ErrorCode::kTooLarge, std::string(format.name) + ": not enough memory"};
}

class GzipCodec final : public BytesCodec {
 public:
  GzipCodec(const Wrapping& format, int level) : format_(format), level_(level) {}

  size_t MaxEncodedSize(size_t size) const override {
    return size + (size >> 12) + (size >> 14) + (size >> 25) +
           64;  // zlib's compressBound and gzip's frame
  }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    z_stream stream{};
    // zlib writes a header with time 0 and no name, so the bytes depend on nothing else.
    if (deflateInit2(&stream, level_, Z_DEFLATED, format_.window, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      return OutOfMemory(format_);
    const std::span<std::byte> room = out.Resize(MaxEncodedSize(in.size()));
    size_t used = 0, made = 0;
    int status = Z_OK;
    while (status == Z_OK) {
      const uInt source = Clip(in.size() - used), target = Clip(room.size() - made);
      stream.next_in = Bytes(in.data() + used);
      stream.avail_in = source;
      stream.next_out = Bytes(room.data() + made);
      stream.avail_out = target;
      status = deflate(&stream, used + source == in.size() ? Z_FINISH : Z_NO_FLUSH);
      used += source - stream.avail_in;
      made += target - stream.avail_out;
    }
    deflateEnd(&stream);
    if (status != Z_STREAM_END)
      return {ErrorCode::kInternal, std::string(format_.name) + ": compression failed with " + std::to_string(status)};
    out.Cut(made);
    return {};
  }

  Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const override {
    Inflater inflater(format_, in);
    if (!inflater.ready()) return OutOfMemory(format_);
    ZN_ASSIGN_OR_RETURN(const size_t done, inflater.Read(out));
    if (done != out.size() || !inflater.finished())
      return Corrupt(format_, "decodes to other than the " + std::to_string(out.size()) + " bytes expected");
    return {};
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch& scratch) const override {
    Inflater inflater(format_, in);
    if (!inflater.ready()) return OutOfMemory(format_);
    size_t done = 0;
    std::span<std::byte> space = scratch.Resize(std::min(limit, 4 * in.size() + 1024));
    while (true) {
      ZN_ASSIGN_OR_RETURN(const size_t made, inflater.Read(space.subspan(done)));
      done += made;
      if (inflater.finished()) return scratch.Cut(done);
      if (done >= limit)
        return {ErrorCode::kTooLarge,
                std::string(format_.name) + ": decodes to more than the " + std::to_string(limit) + " bytes allowed"};
      space = scratch.Grow(std::min(limit, 2 * done + 1024));
    }
  }

 private:
  const Wrapping& format_;
  const int level_;
};

MadeCodec Make(const CodecConfig& config, const Wrapping& format, int64_t lowest,
               int64_t otherwise) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({"level"}));
  ZN_ASSIGN_OR_RETURN(const int64_t level, config.Integer("level", lowest, 9, otherwise));
  return std::make_unique<const GzipCodec>(format, static_cast<int>(level));
}

}  // namespace

MadeCodec MakeGzipCodec(const CodecConfig& config) { return Make(config, kGzip, 0, 5); }

// -1 is zlib's own choice.
MadeCodec MakeZlibCodec(const CodecConfig& config) { return Make(config, kZlib, -1, 1); }

}  // namespace zn
