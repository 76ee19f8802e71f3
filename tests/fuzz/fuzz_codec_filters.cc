// Zarr v2's filters and compressors that a room itself never writes: delta, fixedscaleoffset,
// astype, shuffle, zlib.
#include "tests/fuzz/codec_target.h"

namespace {

using zn::DType;

// Give back what they were given.
constexpr zn::fuzz::CodecCase kExact[] = {
    {R"(["bytes","zlib"])", DType::kUInt8},
    {R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"numcodecs.shuffle","configuration":{"elementsize":4}},"zlib"])",
     DType::kInt32},
    {R"([{"name":"numcodecs.delta","configuration":{"dtype":"<i2"}},{"name":"bytes","configuration":{"endian":"little"}}])",
     DType::kInt16},
    {R"([{"name":"numcodecs.delta","configuration":{"dtype":"<i8"}},{"name":"bytes","configuration":{"endian":"little"}},{"name":"numcodecs.shuffle","configuration":{"elementsize":8}},"lz4"])",
     DType::kInt64},
};

// Round: of these, what stands in a chunk is only decoded.
constexpr zn::fuzz::CodecCase kRounding[] = {
    {R"([{"name":"numcodecs.fixedscaleoffset","configuration":{"offset":1,"scale":1000,"dtype":"<f4","astype":"<i2"}},{"name":"bytes","configuration":{"endian":"little"}}])",
     DType::kFloat32},
    {R"([{"name":"numcodecs.delta","configuration":{"dtype":"<f8"}},{"name":"bytes","configuration":{"endian":"little"}}])",
     DType::kFloat64},
    {R"([{"name":"numcodecs.astype","configuration":{"encode_dtype":"<f4","decode_dtype":"<f8"}},{"name":"bytes","configuration":{"endian":"little"}},"zlib"])",
     DType::kFloat64},
    {R"([{"name":"numcodecs.fixedscaleoffset","configuration":{"offset":0,"scale":10,"dtype":"<f8","astype":"<u1"}},{"name":"numcodecs.delta","configuration":{"dtype":"|u1"}},{"name":"bytes","configuration":{"endian":"little"}}])",
     DType::kFloat64},
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5 || data[4] % 2 == 0) return zn::fuzz::FuzzArrayCodec(kExact, data, size);
  const zn::fuzz::CodecCase& c = kRounding[data[0] % std::size(kRounding)];
  const std::vector<std::byte> encoded(reinterpret_cast<const std::byte*>(data) + 5,
                                       reinterpret_cast<const std::byte*>(data) + size);
  const int64_t rows = (data[2] | data[3] << 8) % 2048;
  zn::fuzz::DecodeAll(zn::fuzz::PipelineOf(c), encoded, rows,
                      static_cast<size_t>(zn::fuzz::kInner) * zn::ItemSize(c.dtype), data[1]);
  return 0;
}
