// What a request for frames asks for: parsed and checked against the room, before anything is read.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/msgpack_writer.h"
#include "api/selection.h"
#include "api/service.h"
#include "http/query.h"

namespace zn::server {

enum class Format { kMsgpack, kColumns, kNpy, kNpz, kJson, kExtxyz };

std::string_view FormatName(Format format);
std::string_view MediaType(Format format);

struct FieldRequest {
  FieldIndex index = -1;  // -1: n_atoms, where the room has no field of that name
  std::string name;       // canonical
  bool symbols = false;   // chemical symbols instead of atomic numbers
};

struct FramesQuery {
  std::shared_ptr<Room> room;
  Snapshot snapshot;
  bool single = false;  // /frames/{i}: one map or array, not a list
  Selection selection;
  FrameId id = 0;            // of the single frame
  uint32_t version = 0;      // of the single frame
  bool old_version = false;  // version= was given: read it from the frame's history
  std::vector<FieldRequest> fields;
  bool every_field = false;  // `data` was absent
  AtomSlice atoms;
  Format format = Format::kMsgpack;
  msgpack::KeyKind keys = msgpack::KeyKind::kBin;
  bool pad = true;
  bool hash = false;  // ?hash=1: Frame-Hash even if it has to be computed
  std::optional<FrameId> unless;
  int64_t max_reply = 0;

  /// What names the representation in ETags: format, fields with dtypes, atoms, ...
  std::string description;
};

/// The options of a request, from its query or the body of select.
struct FramesOptions {
  std::vector<Parameter> parameters;
  std::optional<std::vector<int64_t>> index_list;  // select with numbers
  std::optional<std::vector<std::string>> data_list;
};

/// `frame` is what stands behind /frames/ ("7", "-1", "id:42"), nullopt for several frames.
Answer<FramesQuery> ParseFramesQuery(const Service& service, std::shared_ptr<Room> room,
                                     const FramesOptions& options,
                                     std::optional<std::string_view> frame,
                                     std::string_view accept);

/// The snapshot that `at=` names; the newest when it is empty.
Answer<Snapshot> SnapshotAt(const Room& room, std::string_view at, std::string_view name = "at");
/// The position that "7", "-1" or "id:42" names.
Answer<int64_t> FramePosition(const Snapshot& snapshot, std::string_view frame);

/// Fields by the names of `data`, canonical and without repetition.
Answer<std::vector<FieldRequest>> ResolveFields(const Snapshot& snapshot,
                                                const std::vector<std::string>& names);

/// The value of a parameter, decoded; nullopt when it is absent. 400 when it is repeated or
/// malformed.
Answer<std::optional<std::string>> TakeParameter(const std::vector<Parameter>& parameters,
                                                 std::string_view name);
/// 400 naming the first parameter that is not in `known`, with near misses.
Answer<bool> RefuseUnknown(const std::vector<Parameter>& parameters,
                           const std::vector<std::string>& known);

/// The format that `accept` prefers; 406 when it takes none of ours.
Answer<Format> NegotiateFormat(std::string_view accept);

}  // namespace zn::server
