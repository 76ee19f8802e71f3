// Codec lists from a foreign zarr.json or a command line: parsing ends in an error that says
// something, or in a pipeline that gives back what it was given.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "zn/engine/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const zn::DType dtype = zn::kAllDTypes[data[0] % std::size(zn::kAllDTypes)];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto list = zn::ParseCodecs(text, dtype);
  if (!list) {
    if (list.error().message.empty()) std::abort();
    return 0;
  }
  const auto pipeline = zn::CodecPipeline::Create(*list, dtype);
  if (!pipeline) std::abort();
  if (dtype == zn::DType::kJson) return 0;
  const zn::Shape shape{5, 3};
  std::vector<std::byte> raw(15 * zn::ItemSize(dtype)), out(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::byte>(i * 7);
  const auto encoded = (*pipeline)->Encode(raw, shape);
  if (!encoded) return 0;  // a transpose of another rank
  if (!(*pipeline)->Decode(*encoded, shape, out) || out != raw) std::abort();
  return 0;
}
