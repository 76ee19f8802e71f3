// Byte order and axis order, alone and under compressors whose decoded size is not known
// beforehand.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["bytes"])", zn::DType::kUInt8},
    {R"([{"name":"bytes","configuration":{"endian":"big"}}])", zn::DType::kInt16},
    {R"([{"name":"bytes","configuration":{"endian":"big"}}])", zn::DType::kComplex128},
    {R"([{"name":"transpose","configuration":{"order":[1,0]}},{"name":"bytes","configuration":{"endian":"little"}}])",
     zn::DType::kFloat64},
    {R"([{"name":"transpose","configuration":{"order":[1,0]}},{"name":"bytes","configuration":{"endian":"big"}},"lz4","crc32c"])",
     zn::DType::kFloat32},
    {R"([{"name":"transpose","configuration":{"order":[1,0]}},"bytes",{"name":"gzip","configuration":{"level":1}},"lz4"])",
     zn::DType::kBool},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size);
}
