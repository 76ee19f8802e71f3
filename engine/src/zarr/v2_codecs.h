// Zarr v2's words for types and codecs in those of v3 (zarr_codecs.h has the way back).
#pragma once

#include "zarr/json_reader.h"

namespace zn::internal {

struct V2Type {
  DType dtype = DType::kFloat64;  // kJson for |O
  bool big_endian = false;
};
/// kUnsupported for records, dates, texts of fixed length.
Result<V2Type> ParseV2Type(const Json& value);

/// `document` is a `.zarray`, of which order, filters and compressor are read. Codecs that this program does not have keep
/// their id behind "numcodecs."; CodecPipeline::Create refuses them by it.
Result<Json> FromV2Codecs(const Json& document, const V2Type& type, size_t rank);

}  // namespace zn::internal
