// Gzip members.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"(["bytes",{"name":"gzip","configuration":{"level":1}}])", zn::DType::kUInt8},
    {R"(["bytes",{"name":"gzip","configuration":{"level":0}}])", zn::DType::kInt8},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size);
}
