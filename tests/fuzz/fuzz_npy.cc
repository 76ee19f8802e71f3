// NPY headers of files that something else left in the cache's folder.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "cache/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  const std::vector<std::byte> bytes(begin, begin + size);
  if (const auto header = zn::DecodeNpyHeader(bytes)) {
    if (header->data_offset > size || zn::ItemSize(header->dtype) == 0) std::abort();
    const auto again = zn::DecodeNpyHeader(zn::EncodeNpyHeader(header->dtype, header->shape));
    if (!again || !(again->shape == header->shape) || again->dtype != header->dtype) std::abort();
  }
  return 0;
}
