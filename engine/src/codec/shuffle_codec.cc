// numcodecs' shuffle: a transpose of an array of elements of `elementsize` bytes.
#include <cstring>

#include "codec/codecs.h"

namespace zn {
namespace {

class ShuffleCodec final : public BytesCodec {
 public:
  explicit ShuffleCodec(size_t element_size) : element_size_(element_size) {}

  size_t MaxEncodedSize(size_t size) const override { return size; }

  Result<> Encode(std::span<const std::byte> in, Scratch& out) const override {
    ZN_RETURN_IF_ERROR(Check(in, ErrorCode::kInvalidArgument));
    std::byte* to = out.Resize(in.size()).data();
    const size_t count = in.size() / element_size_;
    for (size_t i = 0; i < count; ++i)
      for (size_t j = 0; j < element_size_; ++j) to[j * count + i] = in[i * element_size_ + j];
    return {};
  }

  Result<> DecodeInto(std::span<const std::byte> in, std::span<std::byte> out) const override {
    ZN_RETURN_IF_ERROR(Check(in, ErrorCode::kCorrupt));
    if (in.size() != out.size())
      return {ErrorCode::kCorrupt, "shuffle: " + std::to_string(in.size()) + " bytes where " +
                                       std::to_string(out.size()) + " were expected"};
    const size_t count = in.size() / element_size_;
    for (size_t i = 0; i < count; ++i)
      for (size_t j = 0; j < element_size_; ++j) out[i * element_size_ + j] = in[j * count + i];
    return {};
  }

  Result<std::span<const std::byte>> Decode(std::span<const std::byte> in, size_t limit,
                                            Scratch& scratch) const override {
    if (in.size() > limit)
      return {ErrorCode::kTooLarge,
              "shuffle: more than the " + std::to_string(limit) + " bytes allowed"};
    ZN_RETURN_IF_ERROR(DecodeInto(in, scratch.Resize(in.size())));
    return scratch.bytes();
  }

 private:
  Result<> Check(std::span<const std::byte> in, ErrorCode code) const {
    if (in.size() % element_size_ == 0) return {};
    return {code, "shuffle: " + std::to_string(in.size()) + " bytes are no whole elements of " +
                      std::to_string(element_size_)};
  }

  const size_t element_size_;
};

}  // namespace

MadeCodec MakeShuffleCodec(const CodecConfig& config) {
  ZN_RETURN_IF_ERROR(config.CheckKeys({"elementsize"}));
  ZN_ASSIGN_OR_RETURN(const int64_t size, config.Integer("elementsize", 0, 256, 4));
  return std::make_unique<const ShuffleCodec>(static_cast<size_t>(size < 1 ? 1 : size));
}

}  // namespace zn
