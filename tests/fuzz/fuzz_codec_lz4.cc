// One LZ4 block in the frame that numcodecs gives it.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["bytes","lz4"])", zn::DType::kUInt8},
    {R"(["bytes",{"name":"lz4","configuration":{"acceleration":20}},"crc32c"])", zn::DType::kInt8},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size);
}
