// A v3 codec list in the words of each version's metadata.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "zn/engine/dtype.h"
#include "zn/engine/error.h"

namespace zn::internal {

using Json = nlohmann::ordered_json;

/// What v2 says in place of a codec list.
struct V2Codecs {
  char order = 'C';
  bool big_endian = false;
  Json filters = nullptr;     // a list, or null
  Json compressor = nullptr;  // an object, or null
};

/// kUnsupported, naming the codec, for what v2 cannot say.
Result<V2Codecs> ToV2Codecs(std::string_view codecs, DType dtype, size_t rank);

/// The list with every key that v3 demands, and names that readers know (lz4 is numcodecs.lz4).
Result<Json> ToV3Codecs(std::string_view codecs, DType dtype);

}  // namespace zn::internal
