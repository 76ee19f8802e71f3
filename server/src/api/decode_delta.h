// The body of PATCH .../frames/{i}: {delta: {field: value | {atoms, values} | null}, base_version?, frame_id?}.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/decode_frames.h"

namespace zn::server {

struct DeltaField {
  std::string name;  // as given
  /// Set: value. Atoms: `value` has a row for each of `atoms`. Remove: neither.
  enum class Kind { kSet, kAtoms, kRemove } kind = Kind::kSet;
  BodyValue value;
  std::vector<int64_t> atoms;
};

struct DeltaBody {
  std::vector<DeltaField> fields;
  std::optional<int64_t> base_version, frame_id;
};

/// kInvalidArgument for anything else.
Result<DeltaBody> ReadDelta(const Buffer& body, const ValueOptions& options);

}  // namespace zn::server
