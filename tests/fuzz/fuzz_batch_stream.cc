// Batches from an import's child: whatever it sends is a valid batch or refused, and prints as the same bytes again.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "zn/formats/batch_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zn;  // NOLINT
  const Buffer bytes = Buffer::Copy(std::as_bytes(std::span(data, size)));
  if (size >= formats::kStreamHeader) (void)formats::DecodeStreamHeader(bytes.bytes());
  auto batch = formats::DecodeBatch(bytes);
  if (!batch) return 0;
  if (!ValidateBatch(*batch)) std::abort();
  if (formats::EncodeBatch(*batch).size() != size) std::abort();
  return 0;
}
