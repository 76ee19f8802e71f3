#include "zarr/zarr_codecs.h"

#include <algorithm>
#include <string>

namespace zn::internal {
namespace {

constexpr std::string_view kNumcodecs = "numcodecs.";

struct Codec {
  std::string name;
  Json configuration = Json::object();

  int64_t Integer(const char* key, int64_t otherwise) const {
    const auto found = configuration.find(key);
    return found != configuration.end() && found->is_number_integer() ? found->get<int64_t>()
                                                                      : otherwise;
  }
  std::string Text(const char* key, const char* otherwise) const {
    const auto found = configuration.find(key);
    return found != configuration.end() && found->is_string() ? found->get<std::string>()
                                                              : otherwise;
  }
  /// Without "numcodecs.".
  std::string_view short_name() const {
    const std::string_view text = name;
    return text.substr(0, kNumcodecs.size()) == kNumcodecs ? text.substr(kNumcodecs.size()) : text;
  }
  Error Unsupported(const std::string& why) const {
    return {ErrorCode::kUnsupported, "codec \"" + name + "\": " + why};
  }
};

Result<std::vector<Codec>> ParseList(std::string_view text) {
  const Json list = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const Error invalid{ErrorCode::kInvalidArgument, "codecs: not a JSON list of Zarr v3 codecs"};
  if (list.is_discarded() || !list.is_array()) return invalid;
  std::vector<Codec> codecs;
  for (const Json& element : list) {
    Codec& codec = codecs.emplace_back();
    if (element.is_string()) {
      codec.name = element.get<std::string>();
      continue;
    }
    if (!element.is_object() || !element.contains("name") || !element["name"].is_string())
      return invalid;
    codec.name = element["name"].get<std::string>();
    if (element.contains("configuration") && element["configuration"].is_object())
      codec.configuration = element["configuration"];
  }
  return codecs;
}

// blosc's shuffle as v3 names it, by its number in v2.
constexpr const char* kShuffles[] = {"noshuffle", "shuffle", "bitshuffle"};

size_t BloscTypeSize(const Codec& blosc, DType dtype) {
  const auto item = static_cast<int64_t>(std::max<size_t>(ItemSize(dtype), 1));
  return static_cast<size_t>(blosc.Integer("typesize", item));
}

size_t BloscShuffle(const Codec& blosc, DType dtype) {
  const std::string name =
      blosc.Text("shuffle", BloscTypeSize(blosc, dtype) > 1 ? "shuffle" : "noshuffle");
  const auto* found = std::find(std::begin(kShuffles), std::end(kShuffles), name);
  return static_cast<size_t>(found - std::begin(kShuffles)) % std::size(kShuffles);
}

/// Null when v2 has no compressor of this name.
Json V2Compressor(const Codec& codec, DType dtype) {
  const std::string_view name = codec.short_name();
  if (name == "blosc")
    return {{"id", "blosc"},
            {"cname", codec.Text("cname", "lz4")},
            {"clevel", codec.Integer("clevel", 5)},
            {"shuffle", BloscShuffle(codec, dtype)},
            {"blocksize", codec.Integer("blocksize", 0)}};
  if (name == "zstd") return {{"id", "zstd"}, {"level", codec.Integer("level", 3)}};
  if (name == "lz4") return {{"id", "lz4"}, {"acceleration", codec.Integer("acceleration", 1)}};
  if (name == "gzip") return {{"id", "gzip"}, {"level", codec.Integer("level", 5)}};
  if (name == "zlib") return {{"id", "zlib"}, {"level", codec.Integer("level", 1)}};
  return nullptr;
}

/// 'C' or 'F'; kUnsupported for any other order of axes.
Result<char> OrderOf(const Codec& transpose, size_t rank) {
  const auto order = transpose.configuration.find("order");
  if (order == transpose.configuration.end() || !order->is_array() || order->size() != rank)
    return transpose.Unsupported("its order does not name every axis once");
  bool same = true, reversed = true;
  for (size_t axis = 0; axis < rank; ++axis) {
    same &= (*order)[axis] == axis;
    reversed &= (*order)[axis] == rank - 1 - axis;
  }
  if (!same && !reversed) return transpose.Unsupported("Zarr v2 has the orders C and F only");
  return same ? 'C' : 'F';
}

}  // namespace

Result<V2Codecs> ToV2Codecs(std::string_view codecs, DType dtype, size_t rank) {
  ZN_ASSIGN_OR_RETURN(const std::vector<Codec> list, ParseList(codecs));
  V2Codecs v2;
  bool is_bytes = false;
  const auto add_filter = [&](Json filter) {
    if (v2.filters.is_null()) v2.filters = Json::array();
    v2.filters.push_back(std::move(filter));
  };
  for (const Codec& codec : list) {
    if (codec.name == "bytes") {
      is_bytes = true;
      v2.big_endian = ItemSize(dtype) > 1 && codec.Text("endian", "little") == "big";
    } else if (codec.name == "vlen-utf8") {
      is_bytes = true;
      add_filter({{"id", "vlen-utf8"}});
    } else if (codec.name == "transpose") {
      if (v2.order != 'C') return codec.Unsupported("a second one");
      ZN_ASSIGN_OR_RETURN(v2.order, OrderOf(codec, rank));
    } else if (!is_bytes) {
      if (codec.short_name() == codec.name) return codec.Unsupported("Zarr v2 has no such filter");
      Json filter = {{"id", codec.short_name()}};
      filter.update(codec.configuration);
      add_filter(std::move(filter));
    } else {
      if (!v2.compressor.is_null()) return codec.Unsupported("Zarr v2 has one compressor only");
      v2.compressor = V2Compressor(codec, dtype);
      if (v2.compressor.is_null()) return codec.Unsupported("Zarr v2 has no such compressor");
    }
  }
  if (!is_bytes) return Error{ErrorCode::kInvalidArgument, "codecs: no array -> bytes codec"};
  return v2;
}

Result<Json> ToV3Codecs(std::string_view codecs, DType dtype) {
  ZN_ASSIGN_OR_RETURN(const std::vector<Codec> list, ParseList(codecs));
  Json out = Json::array();
  for (const Codec& codec : list) {
    std::string name = codec.name;
    Json configuration = codec.configuration;
    if (name == "blosc") {
      configuration = {{"cname", codec.Text("cname", "lz4")},
                       {"clevel", codec.Integer("clevel", 5)},
                       {"shuffle", kShuffles[BloscShuffle(codec, dtype)]},
                       {"typesize", BloscTypeSize(codec, dtype)},
                       {"blocksize", codec.Integer("blocksize", 0)}};
    } else if (name == "zstd") {
      configuration["level"] = codec.Integer("level", 3);
      if (!configuration.contains("checksum")) configuration["checksum"] = false;
    } else if (name == "gzip") {
      configuration["level"] = codec.Integer("level", 5);
    } else if (name == "lz4" || name == "numcodecs.lz4") {
      name = "numcodecs.lz4";
      configuration["acceleration"] = codec.Integer("acceleration", 1);
    }
    Json element = {{"name", name}};
    if (!configuration.empty()) element["configuration"] = std::move(configuration);
    out.push_back(std::move(element));
  }
  return out;
}

}  // namespace zn::internal
