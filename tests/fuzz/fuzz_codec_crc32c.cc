// The checksum behind a chunk.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["bytes","crc32c"])", zn::DType::kUInt8},
    {R"(["bytes","crc32c","crc32c"])", zn::DType::kInt8},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size);
}
