// Bodies of writes: MessagePack, columns, JSON or one NPY array, decoded into the columns that the engine takes.
//
// A body's life: its Content-Type names a BodyFormat; JSON is turned into MessagePack; ReadFrames or ReadColumns read
// values (decode_value.h); FitFrames gives them canonical names, finds out which are per atom, and converts them to the
// dtypes that the room's fields have. Pure: a room is known by its descriptors only.
//
// kInvalidArgument (400): malformed, unknown, or atom counts that disagree. kTypeMismatch (422): a dtype or shape that
// does not fit the field, values that would change.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/decode_value.h"
#include "zn/engine/batch.h"

namespace zn::server {

enum class BodyFormat { kMsgpack, kColumns, kJson, kNpy };

/// By media type; absent is MessagePack. nullopt: none of ours (415).
std::optional<BodyFormat> BodyFormatOf(std::string_view content_type);

/// A frame as a body has it: names as given.
using BodyFrame = std::vector<std::pair<std::string, BodyValue>>;

struct FitOptions {
  std::span<const FieldDescriptor> fields;  // that the room has
  bool cast = false;                        // conversions may lose values
  /// The frames' atom counts, for edits; empty: they follow from the body.
  std::span<const int32_t> n_atoms;
  /// ReadColumns with ids: the atom counts of those frames. An error refuses the body.
  std::function<Result<std::vector<int32_t>>(std::span<const int64_t>)> counts_of;
};

/// Canonical names, kinds, dtypes. New fields: kind by the table of names, "arrays.*" per atom; values of differing first
/// axes are ragged, and lists that are no arrays JSON.
Result<FrameBatch> FitFrames(std::vector<BodyFrame> frames, const FitOptions& options);

/// The canonical name of what a body calls `name`. kInvalidArgument when it may mean several.
Result<std::string> CanonicalName(std::string_view name, std::span<const FieldDescriptor> fields);

/// One map, field -> value.
Result<BodyFrame> ReadFrame(msgpack::Reader& reader, const Buffer& body, const ValueOptions& options);

/// Reads a list of maps, one map, or maps one behind another, some frames at a time.
class FrameListReader {
 public:
  FrameListReader(Buffer body, const ValueOptions& options);
  /// Frames until their bytes pass `bytes`; none at the end.
  Result<std::vector<BodyFrame>> Next(size_t bytes);

 private:
  Buffer body_;
  ValueOptions options_;
  msgpack::Reader reader_;
  bool started_ = false;
  uint64_t left_ = 0;  // of the list; 0: maps one behind another
  bool counted_ = false;
};

struct ColumnsBody {
  FrameBatch batch;
  std::optional<std::vector<int64_t>> ids, versions;
  bool has_indices = false;
};
/// One columns map; several may stand one behind another, so the reader is left behind it.
Result<ColumnsBody> ReadColumns(msgpack::Reader& reader, const Buffer& body, const FitOptions& options);

/// An NPY file (NEP 1, versions 1 to 3) as a value; Fortran order is turned.
Result<BodyValue> ReadNpy(const Buffer& body);
/// An array with a frame axis as frames of the one field `name`.
Result<std::vector<BodyFrame>> SplitFrames(std::string_view name, const BodyValue& value);

}  // namespace zn::server
