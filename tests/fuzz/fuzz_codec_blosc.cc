// Blosc: every compressor and shuffle that is written, in blocks of several sizes.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["bytes",{"name":"blosc","configuration":{"cname":"lz4","shuffle":"shuffle","typesize":1}}])",
     zn::DType::kUInt8},
    {R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4","blocksize":32}}])",
     zn::DType::kFloat32},
    {R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4hc","shuffle":"bitshuffle"}}])",
     zn::DType::kFloat64},
    {R"([{"name":"bytes","configuration":{"endian":"big"}},{"name":"blosc","configuration":{"cname":"zstd","clevel":1,"blocksize":256}}])",
     zn::DType::kFloat32},
    {R"(["bytes",{"name":"blosc","configuration":{"cname":"zlib","clevel":1,"shuffle":"noshuffle"}},"crc32c"])",
     zn::DType::kUInt8},
    {R"(["bytes",{"name":"blosc","configuration":{"cname":"lz4","typesize":7,"shuffle":"bitshuffle"}}])",
     zn::DType::kInt8},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size);
}
