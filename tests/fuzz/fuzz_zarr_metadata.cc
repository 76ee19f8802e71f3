// Zarr metadata documents from anywhere: parsing ends in an error that says something, or in an
// array whose chunks can be decoded. The first byte ('0' to '5') says what kind of document the
// rest is taken for.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "zn/engine/codec.h"
#include "zn/engine/zarr_metadata.h"

namespace {

template <class T>
bool Checked(const zn::Result<T>& result) {
  if (!result && result.error().message.empty()) std::abort();
  return result.has_value();
}

void CheckArray(const zn::Result<zn::ZarrArrayMetadata>& array) {
  if (!Checked(array)) return;
  if (array->shape.rank() != array->chunks.rank() || array->chunks.Elements() < 1) std::abort();
  if (array->shape.Elements() < 0) std::abort();
  if (array->fill && array->dtype != zn::DType::kJson &&
      array->fill->size() != zn::ItemSize(array->dtype))
    std::abort();
  if (!zn::CodecPipeline::Create(array->codecs, array->dtype)) std::abort();
  const zn::Shape origin = array->shape;
  (void)zn::ZarrChunkKey(*array, {origin.begin(), origin.rank()});
  (void)Checked(zn::FormatZarrV3(*array));
  (void)Checked(zn::FormatZarrV2(*array));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      CheckArray(zn::ParseZarrArrayV2(text, ""));
      break;
    case 1:
      (void)Checked(zn::IsZarrV3Array(text));
      CheckArray(zn::ParseZarrArrayV3(text));
      break;
    case 2:
      (void)Checked(zn::ParseZarrGroupV3(text));
      break;
    case 3:
      (void)Checked(zn::ParseZarrGroupV2(R"({"zarr_format":2})", text));
      break;
    case 4:
      if (const auto documents = zn::ParseZarrV2Consolidated(text); Checked(documents))
        for (const auto& [key, document] : *documents)
          CheckArray(zn::ParseZarrArrayV2(document, ""));
      break;
    case 5:
      if (const auto documents = zn::ParseZarrV3Consolidated(text); Checked(documents))
        for (const auto& [key, document] : *documents) CheckArray(zn::ParseZarrArrayV3(document));
      break;
  }
  return 0;
}
