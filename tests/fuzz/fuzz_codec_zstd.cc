// Zstandard frames, with and without their checksum.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["bytes",{"name":"zstd","configuration":{"level":1}}])", zn::DType::kUInt8},
    {R"(["bytes",{"name":"zstd","configuration":{"level":1,"checksum":true}}])", zn::DType::kInt8},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size);
}
