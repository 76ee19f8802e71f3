#include <algorithm>

#include "zarr/json_reader.h"
#include "zarr/v2_codecs.h"
#include "zn/engine/codec.h"
#include "zn/engine/shard.h"
#include "zn/engine/zarr_metadata.h"

namespace zn {
namespace {

using internal::Json;
using internal::Malformed;
using internal::Member;
using internal::NotRead;
using internal::PrintJson;
using internal::TextMember;

constexpr int64_t kMaxChunkBytes = int64_t{1} << 30;

/// Sizes that both versions share: nothing overflows, chunks can be held in memory.
Result<> CheckSizes(const ZarrArrayMetadata& array, const char* chunks_key) {
  const auto item = static_cast<int64_t>(std::max<size_t>(ItemSize(array.dtype), 1));
  if (array.shape.rank() != array.chunks.rank())
    return Malformed(chunks_key, array.chunks.ToString() + " does not have as many axes as shape " + array.shape.ToString());
  int64_t bytes = array.shape.Elements();
  if (bytes < 0 || __builtin_mul_overflow(bytes, item, &bytes))
    return Error{ErrorCode::kTooLarge, "shape: the size of " + array.shape.ToString() + " overflows"};
  bytes = array.chunks.Elements();
  if (bytes < 0 || __builtin_mul_overflow(bytes, item, &bytes) || bytes > kMaxChunkBytes)
    return Error{ErrorCode::kTooLarge, std::string(chunks_key) + ": chunks of " + array.chunks.ToString() +
                                           " are larger than 1 GiB"};
  return {};
}

/// Zarr has no chunks without extent; some writers give them to arrays without extent.
Result<> CheckChunks(const Shape& shape, Shape& chunks, const char* key) {
  for (size_t axis = 0; axis < chunks.rank() && axis < shape.rank(); ++axis) {
    if (chunks[axis] > 0) continue;
    if (shape[axis] > 0) return Malformed(key, chunks.ToString() + " has an extent of 0");
    chunks[axis] = 1;
  }
  return {};
}

Result<> CheckCodecs(const ZarrArrayMetadata& array, const char* key) {
  std::span<const std::byte> fill;
  if (array.fill && array.dtype != DType::kJson) fill = *array.fill;
  auto pipeline = CodecPipeline::Create(array.codecs, array.dtype, fill);
  if (pipeline) return {};
  return NotRead(key, pipeline.error().message);
}

Result<> CheckFormat(const Json& document, int64_t format) {
  ZN_ASSIGN_OR_RETURN(const Json* value, Member(document, "zarr_format"));
  if (*value != format) return Malformed("zarr_format", PrintJson(*value).substr(0, 32) + " is not " + std::to_string(format));
  return {};
}

Result<Json> ParseAttributes(std::string_view zattrs) {
  if (zattrs.empty()) return Json::object();
  auto attributes = internal::ParseJsonObject(zattrs);
  if (!attributes) return std::move(attributes).error().Context(".zattrs");
  return attributes;
}

/// An extension of v3: {"name", "configuration"}, or its bare name.
struct Extension {
  std::string name;
  Json configuration = Json::object();

  /// kUnsupported for keys of the configuration that are not in `known`.
  Result<> CheckKeys(const char* where, std::initializer_list<std::string_view> known) const {
    for (auto item = configuration.begin(); item != configuration.end(); ++item)
      if (std::find(known.begin(), known.end(), item.key()) == known.end())
        return NotRead(where, "\"" + name + "\" has the unknown key \"" + item.key().substr(0, 64) + "\"");
    return {};
  }
};

Result<Extension> ParseExtension(const Json& value, const char* key) {
  Extension extension;
  if (value.is_string()) {
    extension.name = value.get<std::string>();
    return extension;
  }
  if (!value.is_object() || !value.contains("name") || !value["name"].is_string())
    return Malformed(key, "has no \"name\"");
  extension.name = value["name"].get<std::string>();
  for (auto item = value.begin(); item != value.end(); ++item) {
    if (item.key() == "configuration") {
      if (!item->is_object()) return Malformed(key, "\"configuration\" is no object");
      extension.configuration = *item;
    } else if (item.key() != "name" && item.key() != "must_understand") {
      return NotRead(key, "unknown key \"" + item.key().substr(0, 64) + "\"");
    }
  }
  return extension;
}

Result<DType> ParseV3Type(const Json& value) {
  ZN_ASSIGN_OR_RETURN(const Extension type, ParseExtension(value, "data_type"));
  for (const DType dtype : kAllDTypes)
    if (type.name == ZarrName(dtype) && type.configuration.empty()) return dtype;
  return NotRead("data_type", "\"" + type.name.substr(0, 64) +
                                  "\"; what is read: bool, int8 to uint64, float16 to float64, complex64, complex128, string");
}

Result<> ParseKeys(const Json& value, ZarrArrayMetadata& array) {
  ZN_ASSIGN_OR_RETURN(const Extension keys, ParseExtension(value, "chunk_key_encoding"));
  ZN_RETURN_IF_ERROR(keys.CheckKeys("chunk_key_encoding", {"separator"}));
  if (keys.name != "default" && keys.name != "v2")
    return NotRead("chunk_key_encoding", "\"" + keys.name.substr(0, 64) + "\" is neither \"default\" nor \"v2\"");
  array.keys = keys.name == "v2" ? ZarrArrayMetadata::Keys::kV2 : ZarrArrayMetadata::Keys::kDefault;
  array.separator = keys.name == "v2" ? '.' : '/';
  if (!keys.configuration.contains("separator")) return {};
  const Json& separator = keys.configuration["separator"];
  if (separator != "." && separator != "/") return Malformed("chunk_key_encoding", "the separator is neither \".\" nor \"/\"");
  array.separator = separator.get<std::string>()[0];
  return {};
}

/// Takes a lone sharding_indexed apart.
Result<> ParseCodecs(const Json& codecs, ZarrArrayMetadata& array) {
  if (!codecs.is_array()) return Malformed("codecs", "is no list");
  if (codecs.empty() && array.dtype != DType::kJson) {
    // What zarrita writes when it is given none; the specification wants "bytes" there, and that is meant.
    array.codecs = R"([{"name":"bytes","configuration":{"endian":"little"}}])";
    return {};
  }
  array.codecs = PrintJson(codecs);
  if (codecs.size() != 1 || !codecs[0].is_object() || !codecs[0].contains("name") ||
      codecs[0]["name"] != "sharding_indexed")
    return {};
  ZN_ASSIGN_OR_RETURN(const Extension sharding, ParseExtension(codecs[0], "codecs"));
  ZN_RETURN_IF_ERROR(sharding.CheckKeys("codecs", {"chunk_shape", "codecs", "index_codecs", "index_location"}));
  ZarrSharding shards;
  shards.shard = array.chunks;
  ZN_ASSIGN_OR_RETURN(const Json* chunk_shape, Member(sharding.configuration, "chunk_shape"));
  ZN_ASSIGN_OR_RETURN(array.chunks, internal::ShapeOfJson(*chunk_shape, "chunk_shape"));
  if (array.chunks.rank() != shards.shard.rank())
    return Malformed("chunk_shape", array.chunks.ToString() + " has other axes than the shard's " + shards.shard.ToString());
  int64_t in_shard = 1;
  for (size_t axis = 0; axis < array.chunks.rank(); ++axis) {
    if (array.chunks[axis] < 1 || shards.shard[axis] % array.chunks[axis] != 0)
      return Malformed("chunk_shape", "shards of " + shards.shard.ToString() + " are not made of chunks of " +
                                          array.chunks.ToString());
    if (__builtin_mul_overflow(in_shard, shards.shard[axis] / array.chunks[axis], &in_shard))
      return Error{ErrorCode::kTooLarge, "chunk_shape: the number of chunks of a shard overflows"};
  }
  ZN_ASSIGN_OR_RETURN(const Json* inner, Member(sharding.configuration, "codecs"));
  ZN_ASSIGN_OR_RETURN(const Json* index, Member(sharding.configuration, "index_codecs"));
  array.codecs = PrintJson(*inner);
  shards.index_codecs = PrintJson(*index);
  if (sharding.configuration.contains("index_location")) {
    const Json& location = sharding.configuration["index_location"];
    if (location != "start" && location != "end") return Malformed("index_location", "is neither \"start\" nor \"end\"");
    shards.index_at_end = location == "end";
  }
  auto format = ShardIndexFormat::Create(shards.index_codecs);
  if (!format) return std::move(format).error();
  ZN_RETURN_IF_ERROR(format->Size(in_shard));
  array.sharding = std::move(shards);
  return {};
}

Result<> ParseDimensionNames(const Json& names, ZarrArrayMetadata& array) {
  if (names.is_null()) return {};
  if (!names.is_array() || names.size() != array.shape.rank())
    return Malformed("dimension_names", "is no list of a name for each axis");
  for (const Json& name : names) {
    if (!name.is_string() && !name.is_null()) return Malformed("dimension_names", "holds other than names and null");
    array.dimension_names.push_back(name.is_string() ? name.get<std::string>() : "");
  }
  return {};
}

/// v3: what is not known must say that it need not be.
Result<> CheckMembers(const Json& document, std::initializer_list<std::string_view> known) {
  for (auto item = document.begin(); item != document.end(); ++item) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
    const bool optional = item->is_object() && item->contains("must_understand") && (*item)["must_understand"] == false;
    if (!optional) return NotRead(item.key().substr(0, 64), "is an extension that must be understood, and is not");
  }
  return {};
}

}  // namespace

Result<ZarrArrayMetadata> ParseZarrArrayV2(std::string_view zarray, std::string_view zattrs) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(zarray));
  ZN_RETURN_IF_ERROR(CheckFormat(document, 2));
  ZarrArrayMetadata array;
  array.format = 2;
  ZN_ASSIGN_OR_RETURN(const Json* shape, Member(document, "shape"));
  ZN_ASSIGN_OR_RETURN(array.shape, internal::ShapeOfJson(*shape, "shape"));
  ZN_ASSIGN_OR_RETURN(const Json* chunks, Member(document, "chunks"));
  ZN_ASSIGN_OR_RETURN(array.chunks, internal::ShapeOfJson(*chunks, "chunks"));
  ZN_RETURN_IF_ERROR(CheckChunks(array.shape, array.chunks, "chunks"));
  ZN_ASSIGN_OR_RETURN(const Json* dtype, Member(document, "dtype"));
  ZN_ASSIGN_OR_RETURN(const internal::V2Type type, internal::ParseV2Type(*dtype));
  array.dtype = type.dtype;
  ZN_RETURN_IF_ERROR(CheckSizes(array, "chunks"));
  const auto fill = document.find("fill_value");
  if (fill != document.end() && !fill->is_null()) {
    ZN_ASSIGN_OR_RETURN(array.fill, internal::FillOfJson(*fill, array.dtype));
  }
  ZN_ASSIGN_OR_RETURN(const Json codecs, internal::FromV2Codecs(document, type, array.shape.rank()));
  array.codecs = PrintJson(codecs);
  ZN_RETURN_IF_ERROR(CheckCodecs(array, "compressor and filters"));
  const auto separator = document.find("dimension_separator");
  if (separator != document.end() && !separator->is_null()) {
    if (*separator != "." && *separator != "/") return Malformed("dimension_separator", "is neither \".\" nor \"/\"");
    array.separator = separator->get<std::string>()[0];
  }
  ZN_ASSIGN_OR_RETURN(Json attributes, ParseAttributes(zattrs));
  if (const auto names = attributes.find("_ARRAY_DIMENSIONS"); names != attributes.end()) {
    // xarray's convention; whatever else stands there is an attribute like others.
    if (ParseDimensionNames(*names, array)) {
      attributes.erase("_ARRAY_DIMENSIONS");
    } else {
      array.dimension_names.clear();
    }
  }
  array.attributes = PrintJson(attributes);
  return array;
}

Result<ZarrArrayMetadata> ParseZarrArrayV3(std::string_view text) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(text));
  ZN_RETURN_IF_ERROR(CheckFormat(document, 3));
  ZN_ASSIGN_OR_RETURN(const std::string node_type, TextMember(document, "node_type"));
  if (node_type != "array") return Malformed("node_type", "is not \"array\"");
  ZN_RETURN_IF_ERROR(CheckMembers(document, {"zarr_format", "node_type", "shape", "data_type", "chunk_grid",
                                             "chunk_key_encoding", "fill_value", "codecs", "attributes",
                                             "dimension_names", "storage_transformers"}));
  ZarrArrayMetadata array;
  ZN_ASSIGN_OR_RETURN(const Json* shape, Member(document, "shape"));
  ZN_ASSIGN_OR_RETURN(array.shape, internal::ShapeOfJson(*shape, "shape"));
  ZN_ASSIGN_OR_RETURN(const Json* type, Member(document, "data_type"));
  ZN_ASSIGN_OR_RETURN(array.dtype, ParseV3Type(*type));
  ZN_ASSIGN_OR_RETURN(const Json* grid_value, Member(document, "chunk_grid"));
  ZN_ASSIGN_OR_RETURN(const Extension grid, ParseExtension(*grid_value, "chunk_grid"));
  if (grid.name != "regular") return NotRead("chunk_grid", "\"" + grid.name.substr(0, 64) + "\" is not \"regular\"");
  ZN_RETURN_IF_ERROR(grid.CheckKeys("chunk_grid", {"chunk_shape"}));
  ZN_ASSIGN_OR_RETURN(const Json* chunk_shape, Member(grid.configuration, "chunk_shape"));
  ZN_ASSIGN_OR_RETURN(array.chunks, internal::ShapeOfJson(*chunk_shape, "chunk_grid"));
  ZN_RETURN_IF_ERROR(CheckChunks(array.shape, array.chunks, "chunk_grid"));
  if (const auto transformers = document.find("storage_transformers");
      transformers != document.end() && !transformers->is_null() && !(transformers->is_array() && transformers->empty()))
    return NotRead("storage_transformers", "none is read");
  ZN_ASSIGN_OR_RETURN(const Json* keys, Member(document, "chunk_key_encoding"));
  ZN_RETURN_IF_ERROR(ParseKeys(*keys, array));
  ZN_ASSIGN_OR_RETURN(const Json* fill, Member(document, "fill_value"));
  // Null is v2's, and what zarrita writes when it is given none.
  if (!fill->is_null()) {
    ZN_ASSIGN_OR_RETURN(array.fill, internal::FillOfJson(*fill, array.dtype));
  }
  ZN_ASSIGN_OR_RETURN(const Json* codecs, Member(document, "codecs"));
  ZN_RETURN_IF_ERROR(ParseCodecs(*codecs, array));
  ZN_RETURN_IF_ERROR(CheckSizes(array, "chunk_grid"));
  ZN_RETURN_IF_ERROR(CheckCodecs(array, "codecs"));
  if (const auto names = document.find("dimension_names"); names != document.end())
    ZN_RETURN_IF_ERROR(ParseDimensionNames(*names, array));
  if (const auto attributes = document.find("attributes"); attributes != document.end()) {
    if (!attributes->is_object()) return Malformed("attributes", "is no object");
    array.attributes = PrintJson(*attributes);
  }
  return array;
}

Result<bool> IsZarrV3Array(std::string_view text) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(text));
  ZN_RETURN_IF_ERROR(CheckFormat(document, 3));
  ZN_ASSIGN_OR_RETURN(const std::string type, TextMember(document, "node_type"));
  if (type != "array" && type != "group") return Malformed("node_type", "is neither \"array\" nor \"group\"");
  return type == "array";
}

Result<std::string> ParseZarrGroupV3(std::string_view text) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(text));
  ZN_RETURN_IF_ERROR(CheckFormat(document, 3));
  // zarr-python 3.0 wrote consolidated metadata without must_understand.
  ZN_RETURN_IF_ERROR(CheckMembers(document, {"zarr_format", "node_type", "attributes", "consolidated_metadata"}));
  const auto attributes = document.find("attributes");
  if (attributes == document.end()) return std::string("{}");
  if (!attributes->is_object()) return Malformed("attributes", "is no object");
  return PrintJson(*attributes);
}

Result<std::string> ParseZarrGroupV2(std::string_view zgroup, std::string_view zattrs) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(zgroup));
  ZN_RETURN_IF_ERROR(CheckFormat(document, 2));
  ZN_ASSIGN_OR_RETURN(const Json attributes, ParseAttributes(zattrs));
  return PrintJson(attributes);
}

Result<std::vector<ZarrDocument>> ParseZarrV2Consolidated(std::string_view zmetadata) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(zmetadata));
  ZN_ASSIGN_OR_RETURN(const Json* format, Member(document, "zarr_consolidated_format"));
  if (*format != 1) return NotRead("zarr_consolidated_format", PrintJson(*format).substr(0, 32) + " is not 1");
  ZN_ASSIGN_OR_RETURN(const Json* metadata, Member(document, "metadata"));
  if (!metadata->is_object()) return Malformed("metadata", "is no object");
  std::vector<ZarrDocument> documents;
  for (auto item = metadata->begin(); item != metadata->end(); ++item)
    documents.emplace_back(item.key(), PrintJson(*item));
  return documents;
}

Result<std::vector<ZarrDocument>> ParseZarrV3Consolidated(std::string_view text) {
  ZN_ASSIGN_OR_RETURN(const Json document, internal::ParseJsonObject(text));
  std::vector<ZarrDocument> documents;
  const auto consolidated = document.find("consolidated_metadata");
  if (consolidated == document.end() || consolidated->is_null()) return documents;
  if (!consolidated->is_object() || !consolidated->contains("metadata") || !(*consolidated)["metadata"].is_object())
    return Malformed("consolidated_metadata", "has no \"metadata\"");
  if (consolidated->contains("kind") && (*consolidated)["kind"] != "inline") return documents;
  const Json& metadata = (*consolidated)["metadata"];
  for (auto item = metadata.begin(); item != metadata.end(); ++item)
    documents.emplace_back(item.key(), PrintJson(*item));
  return documents;
}

}  // namespace zn
