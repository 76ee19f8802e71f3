// zn.rounded: hostile bytes; values of the input's bits, and multiples of a step of the input's
// numbers.
#include "tests/fuzz/codec_target.h"

namespace {

constexpr zn::fuzz::CodecCase kCases[] = {
    {R"([{"name":"zn.rounded"}])", zn::DType::kFloat32},
    {R"([{"name":"zn.rounded"}])", zn::DType::kFloat64},
};

template <class T>
void Add(zn::fuzz::Bytes& raw, T value) {
  const size_t at = raw.size();
  raw.resize(at + sizeof value);
  std::memcpy(raw.data() + at, &value, sizeof value);
}

/// Two bytes a number: mostly thousandths, in the arithmetic that the first byte names; some are
/// the bits of a float.
zn::fuzz::Bytes Raw(std::span<const std::byte> input, zn::DType dtype) {
  if (input.empty()) return {};
  const int how = std::to_integer<int>(input[0]);
  input = input.subspan(1);
  if (how % 8 == 7) return zn::fuzz::Bytes(input.begin(), input.end());
  zn::fuzz::Bytes raw;
  for (size_t i = 0; i + 2 <= input.size(); i += 2) {
    int16_t number;
    std::memcpy(&number, input.data() + i, sizeof number);
    double value = number / 1000.0;
    if (how % 8 == 1) value = static_cast<float>(number) * 0.001f;
    if (how % 8 == 2) value = static_cast<float>(number) * 0.001f * 10.0f;
    if (how % 8 == 3) value = number * 0.01;
    if (number == 0x7fff) value = -0.0;
    if (number == 0x7ffe) value = 1e300;
    const bool fill = number == 0x7ffd;
    std::byte nan[8];
    zn::WriteFillValue(dtype, nan);
    if (fill)
      raw.insert(raw.end(), nan, nan + zn::ItemSize(dtype));
    else if (dtype == zn::DType::kFloat32)
      Add(raw, static_cast<float>(value));
    else
      Add(raw, value);
  }
  return raw;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return zn::fuzz::FuzzArrayCodec(kCases, data, size, Raw);
}
