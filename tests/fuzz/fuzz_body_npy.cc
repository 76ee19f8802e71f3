// NPY bodies: an accepted one has exactly the bytes that its shape says.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "api/decode_frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zn;  // NOLINT
  using namespace zn::server;  // NOLINT
  auto value = ReadNpy(Buffer::Copy(std::as_bytes(std::span(data, size))));
  if (!value || value->kind != BodyValue::Kind::kArray) return 0;
  if (value->data.size() != static_cast<size_t>(value->shape.Elements()) * ItemSize(value->dtype)) std::abort();
  if (auto frames = SplitFrames("positions", *value)) {
    if (auto batch = FitFrames(std::move(*frames), {}))
      if (auto valid = ValidateBatch(*batch); !valid) std::abort();
  }
  return 0;
}
