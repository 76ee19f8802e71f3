#include <cmath>
#include <cstring>

#include "zn/engine/dtype_convert.h"
#include "zarr/zarr_codecs.h"
#include "zn/engine/zarr_metadata.h"

namespace zn {
namespace {

using internal::Json;

template <class T>
T Load(std::span<const std::byte> bytes, size_t index = 0) {
  T value{};
  std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
  return value;
}

Json JsonOfFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

/// The two versions print a fill value alike.
Json JsonOfFill(DType dtype, const std::vector<std::byte>& fill) {
  if (dtype == DType::kJson)
    return std::string(reinterpret_cast<const char*>(fill.data()), fill.size());
  if (fill.size() != ItemSize(dtype)) return nullptr;
  switch (dtype) {
    case DType::kBool:
      return fill[0] != std::byte{0};
    case DType::kInt8:
      return Load<int8_t>(fill);
    case DType::kInt16:
      return Load<int16_t>(fill);
    case DType::kInt32:
      return Load<int32_t>(fill);
    case DType::kInt64:
      return Load<int64_t>(fill);
    case DType::kUInt8:
      return Load<uint8_t>(fill);
    case DType::kUInt16:
      return Load<uint16_t>(fill);
    case DType::kUInt32:
      return Load<uint32_t>(fill);
    case DType::kUInt64:
      return Load<uint64_t>(fill);
    case DType::kFloat16:
      return JsonOfFloat(HalfToDouble(Load<uint16_t>(fill)));
    case DType::kFloat32:
      return JsonOfFloat(Load<float>(fill));
    case DType::kFloat64:
      return JsonOfFloat(Load<double>(fill));
    case DType::kComplex64:
      return Json::array({JsonOfFloat(Load<float>(fill)), JsonOfFloat(Load<float>(fill, 1))});
    case DType::kComplex128:
      return Json::array({JsonOfFloat(Load<double>(fill)), JsonOfFloat(Load<double>(fill, 1))});
    case DType::kJson:
      break;
  }
  return nullptr;
}

Json JsonOfShape(const Shape& shape) {
  Json list = Json::array();
  for (const int64_t extent : shape) list.push_back(extent);
  return list;
}

Result<Json> ParseObject(std::string_view text, const char* what) {
  Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded() || !object.is_object())
    return Error{ErrorCode::kInvalidArgument, std::string(what) + " are no JSON object"};
  return object;
}

std::string Print(const Json& document) {
  // ASCII, since zarr-python 2 reads metadata as such. Texts that are not UTF-8 are replaced: the default throws.
  return document.dump(2, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
}

Result<Json> JsonOfCodecs(const ZarrArrayMetadata& array) {
  ZN_ASSIGN_OR_RETURN(Json codecs, internal::ToV3Codecs(array.codecs, array.dtype));
  if (!array.sharding) return codecs;
  ZN_ASSIGN_OR_RETURN(Json index,
                      internal::ToV3Codecs(array.sharding->index_codecs, DType::kUInt64));
  return Json::array({{{"name", "sharding_indexed"},
                       {"configuration",
                        {{"chunk_shape", JsonOfShape(array.chunks)},
                         {"codecs", std::move(codecs)},
                         {"index_codecs", std::move(index)},
                         {"index_location", array.sharding->index_at_end ? "end" : "start"}}}}});
}

}  // namespace

std::string ZarrChunkKey(const ZarrArrayMetadata& array, std::span<const int64_t> chunk) {
  const bool v2 = array.keys == ZarrArrayMetadata::Keys::kV2;
  std::string key = v2 ? "" : "c";
  for (const int64_t index : chunk) {
    if (!key.empty()) key += array.separator;
    key += std::to_string(index);
  }
  return key.empty() ? "0" : key;
}

Result<> CheckPortableCodecs(std::string_view codecs, DType dtype, size_t rank) {
  ZN_ASSIGN_OR_RETURN(const internal::V2Codecs v2, internal::ToV2Codecs(codecs, dtype, rank));
  if (!v2.filters.is_null() && dtype != DType::kJson)
    return Error{ErrorCode::kUnsupported, "codecs: filters, which few v3 readers know"};
  return {};
}

Result<std::string> FormatZarrV2(const ZarrArrayMetadata& array) {
  if (array.sharding) return Error{ErrorCode::kUnsupported, "Zarr v2 has no shards"};
  if (array.keys != ZarrArrayMetadata::Keys::kV2)
    return Error{ErrorCode::kUnsupported, "Zarr v2 has no chunk keys that begin with \"c\""};
  ZN_ASSIGN_OR_RETURN(internal::V2Codecs v2,
                      internal::ToV2Codecs(array.codecs, array.dtype, array.shape.rank()));
  std::string dtype(NumpyName(array.dtype));
  if (v2.big_endian) dtype[0] = '>';
  Json document = {{"zarr_format", 2},
                   {"shape", JsonOfShape(array.shape)},
                   {"chunks", JsonOfShape(array.chunks)},
                   {"dtype", std::move(dtype)},
                   {"compressor", std::move(v2.compressor)},
                   {"fill_value", array.fill ? JsonOfFill(array.dtype, *array.fill) : Json()},
                   {"order", std::string(1, v2.order)},
                   {"filters", std::move(v2.filters)}};
  // As zarr-python: the default separator is left unsaid.
  if (array.separator != '.') document["dimension_separator"] = std::string(1, array.separator);
  return Print(document);
}

Result<std::string> FormatZarrV2Attributes(const ZarrArrayMetadata& array) {
  ZN_ASSIGN_OR_RETURN(Json attributes, ParseObject(array.attributes, "attributes"));
  if (!array.dimension_names.empty()) attributes["_ARRAY_DIMENSIONS"] = array.dimension_names;
  return Print(attributes);
}

Result<std::string> FormatZarrV3(const ZarrArrayMetadata& array) {
  ZN_ASSIGN_OR_RETURN(Json attributes, ParseObject(array.attributes, "attributes"));
  ZN_ASSIGN_OR_RETURN(Json codecs, JsonOfCodecs(array));
  std::vector<std::byte> fill(ItemSize(array.dtype));
  if (array.fill) fill = *array.fill;
  Json document = {
      {"zarr_format", 3},
      {"node_type", "array"},
      {"shape", JsonOfShape(array.shape)},
      {"data_type", ZarrName(array.dtype)},
      {"chunk_grid",
       {{"name", "regular"},
        {"configuration",
         {{"chunk_shape", JsonOfShape(array.sharding ? array.sharding->shard : array.chunks)}}}}},
      {"chunk_key_encoding",
       {{"name", array.keys == ZarrArrayMetadata::Keys::kV2 ? "v2" : "default"},
        {"configuration", {{"separator", std::string(1, array.separator)}}}}},
      {"fill_value", JsonOfFill(array.dtype, fill)},
      {"codecs", std::move(codecs)},
      {"attributes", std::move(attributes)}};
  if (!array.dimension_names.empty()) {
    Json names = Json::array();
    for (const std::string& name : array.dimension_names)
      names.push_back(name.empty() ? Json() : Json(name));
    document["dimension_names"] = std::move(names);
  }
  return Print(document);
}

std::string FormatZarrV2Group() { return Print({{"zarr_format", 2}}); }

Result<std::string> FormatZarrV2Consolidated(std::span<const ZarrDocument> documents) {
  Json metadata = Json::object();
  for (const auto& [key, text] : documents) {
    ZN_ASSIGN_OR_RETURN(metadata[key], ParseObject(text, "metadata"));
  }
  return Print({{"zarr_consolidated_format", 1}, {"metadata", std::move(metadata)}});
}

Result<std::string> FormatZarrV3Group(std::string_view attributes,
                                      const std::vector<ZarrDocument>* members) {
  Json document = {{"zarr_format", 3}, {"node_type", "group"}};
  ZN_ASSIGN_OR_RETURN(document["attributes"], ParseObject(attributes, "attributes"));
  if (members != nullptr) {
    Json metadata = Json::object();
    for (const auto& [path, text] : *members) {
      ZN_ASSIGN_OR_RETURN(metadata[path], ParseObject(text, "metadata"));
    }
    document["consolidated_metadata"] = {
        {"kind", "inline"}, {"must_understand", false}, {"metadata", std::move(metadata)}};
  }
  return Print(document);
}

}  // namespace zn
