// Codec lists as JSON, made from a dtype or from the short form that command lines take.
#include <algorithm>
#include <charconv>
#include <vector>

#include "codec/codec_config.h"
#include "zn/engine/codec.h"

namespace zn {
namespace {

constexpr std::string_view kKnown =
    "blosc[:lz4|lz4hc|zstd|zlib[:LEVEL[:noshuffle|shuffle|bitshuffle]]], zstd[:LEVEL], "
    "lz4[:ACCELERATION], gzip[:LEVEL], rounded, none, default, or a Zarr v3 codec list as JSON";

std::string ToBytes(DType dtype) {
  if (dtype == DType::kJson) return R"({"name":"vlen-utf8"})";
  if (ItemSize(dtype) == 1) return R"({"name":"bytes"})";
  return R"({"name":"bytes","configuration":{"endian":"little"}})";
}

// Of a chunk's blocks one or two are read and decoded to read a row. The fast compressors, for which
// that counts, get small ones (docs/decisions/0009); the strong ones would lose by it.
size_t BloscBlockSize(std::string_view compressor) {
  return compressor.starts_with("lz4") ? 16 << 10 : 64 << 10;
}

std::string Blosc(DType dtype, std::string_view compressor, std::string_view level,
                  std::string_view shuffle) {
  const size_t item_size = std::max<size_t>(ItemSize(dtype), 1);
  if (shuffle.empty()) shuffle = item_size > 1 ? "shuffle" : "noshuffle";
  return R"({"name":"blosc","configuration":{"cname":")" + std::string(compressor) +
         R"(","clevel":)" + std::string(level) + R"(,"shuffle":")" + std::string(shuffle) +
         R"(","typesize":)" + std::to_string(item_size) + R"(,"blocksize":)" +
         std::to_string(BloscBlockSize(compressor)) + "}}";
}

bool IsNumber(std::string_view text) {
  int value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // As JSON has them: no leading zeros.
  return error == std::errc() && end == text.data() + text.size() && std::to_string(value) == text;
}

std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t colon; (colon = text.find(':')) != text.npos; text.remove_prefix(colon + 1))
    parts.push_back(text.substr(0, colon));
  parts.push_back(text);
  return parts;
}

}  // namespace

std::string DefaultCodecs(DType dtype) {
  if (dtype == DType::kJson)
    return "[" + ToBytes(dtype) +
           R"(,{"name":"zstd","configuration":{"level":3,"checksum":false}}])";
  return "[" + ToBytes(dtype) + "," + Blosc(dtype, "lz4", "5", "") + "]";
}

std::string RoundedCodecs() { return R"([{"name":"zn.rounded"}])"; }

Result<std::string> ParseCodecs(std::string_view text, DType dtype) {
  if (text.empty() || text == "default") return DefaultCodecs(dtype);
  if (text.front() == '[') {
    ZN_ASSIGN_OR_RETURN(const auto pipeline, CodecPipeline::Create(text, dtype));
    if (!pipeline->CanEncode())
      return Error{ErrorCode::kUnsupported,
                   "codecs: " + std::string(text.substr(0, 64)) + " are read, but not written"};
    return CompactJson(text);
  }
  const std::vector<std::string_view> parts = Split(text);
  const auto part = [&](size_t i, std::string_view otherwise) {
    return i < parts.size() && !parts[i].empty() ? parts[i] : otherwise;
  };
  const auto refuse = [&](std::string_view why) {
    return Error{ErrorCode::kInvalidArgument, "codec \"" + std::string(text.substr(0, 64)) +
                                                  "\": " + std::string(why) +
                                                  "; known: " + std::string(kKnown)};
  };
  const auto with_number = [&](std::string_view key,
                               std::string_view otherwise) -> Result<std::string> {
    if (parts.size() > 2) return refuse("too many parts");
    const std::string_view number = part(1, otherwise);
    if (!IsNumber(number)) return refuse("\"" + std::string(number) + "\" is not a number");
    return R"({"name":")" + std::string(parts[0]) + R"(","configuration":{")" + std::string(key) +
           R"(":)" + std::string(number) + (parts[0] == "zstd" ? R"(,"checksum":false)" : "") +
           "}}";
  };

  std::string compressor;
  if (parts[0] == "none") {
    if (parts.size() > 1) return refuse("too many parts");
    return "[" + ToBytes(dtype) + "]";
  } else if (parts[0] == "rounded") {
    if (parts.size() > 1) return refuse("too many parts");
    return dtype == DType::kFloat32 || dtype == DType::kFloat64 ? RoundedCodecs()
                                                                : DefaultCodecs(dtype);
  } else if (parts[0] == "blosc") {
    if (parts.size() > 4) return refuse("too many parts");
    const std::string_view cname = part(1, "lz4"), level = part(2, "5"), shuffle = part(3, "");
    if (!IsNumber(level)) return refuse("\"" + std::string(level) + "\" is not a number");
    for (std::string_view word : {cname, shuffle})
      if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") != word.npos)
        return refuse("\"" + std::string(word) + "\" is no word");
    compressor = Blosc(dtype, cname, level, shuffle);
  } else if (parts[0] == "zstd") {
    ZN_ASSIGN_OR_RETURN(compressor, with_number("level", "3"));
  } else if (parts[0] == "lz4") {
    ZN_ASSIGN_OR_RETURN(compressor, with_number("acceleration", "1"));
  } else if (parts[0] == "gzip") {
    ZN_ASSIGN_OR_RETURN(compressor, with_number("level", "5"));
  } else {
    return refuse("unknown");
  }
  std::string json = "[" + ToBytes(dtype) + "," + compressor + "]";
  const auto pipeline = CodecPipeline::Create(json, dtype);
  if (!pipeline) return refuse(pipeline.error().message);
  if (!(*pipeline)->CanEncode()) return refuse("is read, but not written");
  return json;
}

}  // namespace zn
