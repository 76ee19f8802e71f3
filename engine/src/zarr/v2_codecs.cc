// Zarr v2's order, byte order, filters and compressor as a v3 codec list: the one place of this mapping.
#include "zarr/v2_codecs.h"

#include <map>

namespace zn::internal {
namespace {

Result<std::string> IdOf(const Json& codec, const char* key) {
  if (!codec.is_object()) return Malformed(key, "is no object");
  const auto id = codec.find("id");
  if (id == codec.end() || !id->is_string()) return Malformed(key, "has no \"id\"");
  return id->get<std::string>();
}

Json ConfigurationOf(const Json& codec) {
  Json configuration = Json::object();
  for (auto item = codec.begin(); item != codec.end(); ++item)
    if (item.key() != "id" && !item->is_null()) configuration[item.key()] = *item;
  return configuration;
}

Json Named(std::string name, Json configuration) {
  Json codec = {{"name", std::move(name)}};
  if (!configuration.empty()) codec["configuration"] = std::move(configuration);
  return codec;
}

Result<Json> Blosc(const Json& compressor, size_t item_size) {
  static constexpr const char* kShuffles[] = {"noshuffle", "shuffle", "bitshuffle"};
  Json configuration = ConfigurationOf(compressor);
  int64_t shuffle = 1;
  if (configuration.contains("shuffle")) {
    const Json& given = configuration["shuffle"];
    if (!given.is_number_integer() || given < -1 || given > 2)
      return Malformed("compressor", "blosc's \"shuffle\" is none of -1, 0, 1, 2");
    shuffle = given.get<int64_t>();
  }
  // numcodecs' AUTOSHUFFLE.
  if (shuffle == -1) shuffle = item_size == 1 ? 2 : 1;
  configuration["shuffle"] = kShuffles[shuffle];
  if (!configuration.contains("typesize")) configuration["typesize"] = item_size;
  return Named("blosc", std::move(configuration));
}

Result<Json> Compressor(const Json& compressor, size_t item_size) {
  ZN_ASSIGN_OR_RETURN(const std::string id, IdOf(compressor, "compressor"));
  if (id == "blosc") return Blosc(compressor, item_size);
  const bool in_v3 = id == "zstd" || id == "gzip" || id == "lz4";
  Json configuration = ConfigurationOf(compressor);
  // numcodecs' gzip and zlib default to 1, zstd to 0 or 1.
  if ((id == "gzip" || id == "zlib" || id == "zstd") && !configuration.contains("level")) configuration["level"] = 1;
  return Named(in_v3 ? id : "numcodecs." + id, std::move(configuration));
}

}  // namespace

Result<V2Type> ParseV2Type(const Json& value) {
  if (!value.is_string()) return NotRead("dtype", "records (a list of fields) are not read; write each field as an array");
  const std::string text = value.get<std::string>();
  static const std::map<std::string, DType, std::less<>> kTypes = {
      {"b1", DType::kBool},    {"i1", DType::kInt8},    {"i2", DType::kInt16},   {"i4", DType::kInt32},
      {"i8", DType::kInt64},   {"u1", DType::kUInt8},   {"u2", DType::kUInt16},  {"u4", DType::kUInt32},
      {"u8", DType::kUInt64},  {"f2", DType::kFloat16}, {"f4", DType::kFloat32}, {"f8", DType::kFloat64},
      {"c8", DType::kComplex64}, {"c16", DType::kComplex128}, {"O", DType::kJson}};
  if (text.size() >= 2) {
    const auto found = kTypes.find(std::string_view(text).substr(1));
    const bool one = found != kTypes.end() && ItemSize(found->second) <= 1;
    if (found != kTypes.end() && (text[0] == '<' || text[0] == '>' || (one && text[0] == '|')))
      return V2Type{found->second, text[0] == '>'};
  }
  return NotRead("dtype", "\"" + text.substr(0, 64) +
                              "\"; what is read: numbers, booleans, complex numbers, and texts as |O with vlen-utf8");
}

Result<Json> FromV2Codecs(const Json& document, const V2Type& type, size_t rank) {
  Json codecs = Json::array();
  ZN_ASSIGN_OR_RETURN(const std::string order, TextMember(document, "order"));
  if (order != "C" && order != "F") return Malformed("order", "is neither \"C\" nor \"F\"");
  const bool text = type.dtype == DType::kJson;
  if (order == "F" && rank > 1 && !text) {
    Json axes = Json::array();
    for (size_t axis = rank; axis-- > 0;) axes.push_back(axis);
    codecs.push_back(Named("transpose", {{"order", axes}}));
  }
  if (order == "F" && rank > 1 && text) return NotRead("order", "texts in order \"F\"");

  bool big_endian = type.big_endian, is_text = false;
  size_t item_size = ItemSize(type.dtype);
  Json of_bytes = Json::array();
  const auto filters = document.find("filters");
  if (filters != document.end() && !filters->is_null()) {
    if (!filters->is_array()) return Malformed("filters", "is neither a list nor null");
    for (const Json& filter : *filters) {
      ZN_ASSIGN_OR_RETURN(const std::string id, IdOf(filter, "filters"));
      Json configuration = ConfigurationOf(filter);
      if (id == "pickle")
        return NotRead("filters", "\"pickle\" can run code when it is read, so it is not; write texts with vlen-utf8");
      if (id == "json2" || id == "msgpack2")
        return NotRead("filters", "\"" + id + "\" is not read; write texts with vlen-utf8");
      if (id == "vlen-utf8") {
        if (!text || is_text) return Malformed("filters", "\"vlen-utf8\" is for dtype |O, once");
        is_text = true;
      } else if (id == "shuffle") {
        of_bytes.push_back(Named("numcodecs.shuffle", std::move(configuration)));
      } else {
        if (!of_bytes.empty()) return NotRead("filters", "\"" + id + "\" behind \"shuffle\"");
        const char* stored = id == "astype" ? "encode_dtype" : "astype";
        if (configuration.contains(stored)) {
          ZN_ASSIGN_OR_RETURN(const V2Type encoded, ParseV2Type(configuration[stored]));
          big_endian = encoded.big_endian;
          item_size = ItemSize(encoded.dtype);
        } else if (configuration.contains("dtype")) {
          ZN_ASSIGN_OR_RETURN(const V2Type encoded, ParseV2Type(configuration["dtype"]));
          big_endian = encoded.big_endian;
        }
        codecs.push_back(Named("numcodecs." + id, std::move(configuration)));
      }
    }
  }
  if (text && !is_text)
    return NotRead("filters", "dtype |O without \"vlen-utf8\": what its objects are cannot be told");
  if (is_text) {
    codecs.push_back(Named("vlen-utf8", Json::object()));
  } else {
    Json configuration = Json::object();
    if (item_size > 1) configuration["endian"] = big_endian ? "big" : "little";
    codecs.push_back(Named("bytes", std::move(configuration)));
  }
  const bool shuffled = !of_bytes.empty() || is_text;
  for (Json& codec : of_bytes) codecs.push_back(std::move(codec));
  const auto compressor = document.find("compressor");
  if (compressor != document.end() && !compressor->is_null()) {
    ZN_ASSIGN_OR_RETURN(Json codec, Compressor(*compressor, shuffled ? 1 : item_size));
    codecs.push_back(std::move(codec));
  }
  return codecs;
}

}  // namespace zn::internal
