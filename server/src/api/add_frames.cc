// POST .../frames: frames appended, inserted, or copied by reference.
#include <nlohmann/json.hpp>

#include "api/frame_batches.h"
#include "api/write_frames.h"
#include "api/write_request.h"

namespace zn::server {
namespace {

using nlohmann::json;

Answer<Placement> FindPlace(const Write& write, std::optional<std::string> before, std::optional<CommitId> base_commit) {
  Placement place;
  place.expected_head = base_commit;
  if (!before) return place;
  if (before->substr(0, 3) == "id:") {
    ZN_ASSIGN_OR_RETURN(const int64_t position, FramePosition(write.head, *before));
    ZN_ASSIGN_OR_RETURN(place.before_id, write.head.IdAt(position));
    return place;
  }
  std::vector<Parameter> parameters = {{"before", *before}};
  ZN_ASSIGN_OR_RETURN(place.before, IntegerParameter(parameters, "before"));
  if (*place.before < 0 || *place.before > write.head.frames())
    return BadRequest("before: " + *before + " is not within 0 to " + std::to_string(write.head.frames()) +
                      ", the number of frames");
  return place;
}

Problem PlaceError(const Write& write, const Error& error) {
  if (auto refused = RefusedByLock(write, error)) return std::move(*refused);
  if (error.code == ErrorCode::kConflict) return StaleRoom(write);
  if (error.code == ErrorCode::kOutOfRange) return BadRequest(error.message);
  return error;
}

KeptReply FramesAdded(const CommitInfo& info) {
  std::string json = "{\"indices\":[", ids, versions;
  for (size_t i = 0; i < info.ids.size(); ++i) {
    const char* comma = i ? "," : "";
    json += comma + std::to_string(info.first_position + static_cast<int64_t>(i));
    ids += comma + std::to_string(info.ids[i]);
    versions += comma + std::to_string(info.versions[i]);
  }
  KeptReply reply;
  reply.json = std::move(json) + "],\"ids\":[" + ids + "],\"versions\":[" + versions + "],\"frameCount\":" +
               std::to_string(info.frames) + ",\"commit\":\"" + info.commit.ToString() + "\"}";
  return reply;
}

// {copy_from: "room@commit", indices, before?, base_commit?}
struct CopyBody {
  std::string from;
  std::optional<std::string> indices, before, base_commit;
};

// nullopt when the body is frames. Only a small map with copy_from is such a request.
Answer<std::optional<CopyBody>> ReadCopy(const NativeBody& body) {
  constexpr size_t kMaxCopyBody = 16 << 20;
  msgpack::Reader reader(body.text());
  auto first = reader.Next();
  if (!first || first->type != msgpack::Type::kMap || body.bytes.size() > kMaxCopyBody) return std::optional<CopyBody>();
  bool copies = false;
  for (uint64_t i = 0; i < first->count && !copies; ++i) {
    auto key = reader.Text("");
    if (!key) break;
    copies = *key == "copy_from";
    if (!reader.Skip()) break;
  }
  if (!copies) return std::optional<CopyBody>();
  reader.Seek(0);
  std::string text;
  ZN_RETURN_IF_ERROR(msgpack::AppendJson(reader, text));
  const json object = json::parse(text, nullptr, false);
  CopyBody copy;
  for (const auto& [name, value] : object.items()) {
    if (name == "indices" && value.is_array()) {
      std::string list;
      for (const json& index : value) {
        if (!index.is_number_integer()) return BadRequest("indices: " + index.dump() + " is not an index");
        list += (list.empty() ? "" : ",") + index.dump();
      }
      copy.indices = list;
      continue;
    }
    const bool number = name == "before" && value.is_number_integer();
    if (!value.is_string() && !number) return BadRequest(name + ": " + value.dump() + " is not possible here");
    std::string given = number ? value.dump() : value.get<std::string>();
    if (name == "copy_from") {
      copy.from = std::move(given);
    } else if (name == "indices") {
      copy.indices = std::move(given);
    } else if (name == "before") {
      copy.before = std::move(given);
    } else if (name == "base_commit") {
      copy.base_commit = std::move(given);
    } else {
      return BadRequest("'" + name + "' is not known here: a copy is {copy_from, indices, before, base_commit}");
    }
  }
  return std::optional<CopyBody>(std::move(copy));
}

Answer<Reply> CopyInto(const Write& write, CopyBody copy, std::optional<std::string> before,
                       std::optional<CommitId> base_commit) {
  if (copy.before) before = copy.before;
  if (copy.base_commit) {
    std::vector<Parameter> parameters = {{"base_commit", *copy.base_commit}};
    ZN_ASSIGN_OR_RETURN(base_commit, CommitParameter(parameters, "base_commit"));
  }
  const size_t at = copy.from.find('@');
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> source, write.call->service.FindRoom(copy.from.substr(0, at), &write.call->caller));
  ZN_ASSIGN_OR_RETURN(const Snapshot snapshot, SnapshotAt(*source, at == copy.from.npos ? "" : copy.from.substr(at + 1)));
  ZN_ASSIGN_OR_RETURN(const std::vector<FrameId> ids,
                      WriteSelection(snapshot, copy.indices.value_or("0:" + std::to_string(snapshot.frames()))));
  ZN_ASSIGN_OR_RETURN(const Placement place, FindPlace(write, before, base_commit));
  auto info = write.room->CopyFrames(snapshot, ids, place, write.context);
  if (!info) return PlaceError(write, info.error());
  return Acknowledge(write, *info);
}

// A body of several batches: encoded as it is read, placed by one commit at the end.
Result<CommitInfo> AppendInBulk(const Write& write, FrameBatches& batches, FrameBatch first, FrameBatch second,
                                const Placement& place) {
  BulkAppender::Options options;
  options.max_bytes_in_flight = 64 << 20;
  options.place = place;
  options.strict = true;
  options.operation = place.before || place.before_id ? Operation::kInsert : Operation::kAppend;
  ZN_ASSIGN_OR_RETURN(auto appender, write.room->StartBulkAppend(options));
  ZN_RETURN_IF_ERROR(appender->Append(first));
  std::optional<FrameBatch> batch = std::move(second);
  while (batch) {
    ZN_RETURN_IF_ERROR(appender->Append(*batch));
    ZN_ASSIGN_OR_RETURN(batch, batches.Next());
  }
  return appender->Finish(write.context);
}

Answer<Reply> AddFrames(const Write& write, BodyFormat format, const NativeBody& body, const Placement& place) {
  // Others may define fields while a long body is encoded; then it is read again.
  constexpr int kAttempts = 3;
  for (int attempt = 1;; ++attempt) {
    ZN_ASSIGN_OR_RETURN(auto batches, OpenFrameBatches(write, format, body));
    ZN_ASSIGN_OR_RETURN(std::optional<FrameBatch> first, batches->Next());
    if (!first) first.emplace();
    ZN_ASSIGN_OR_RETURN(std::optional<FrameBatch> second, batches->Next());
    auto info = second ? AppendInBulk(write, *batches, std::move(*first), std::move(*second), place)
                       : write.room->Add(*first, place, write.context);
    if (info) return Acknowledge(write, *info);
    const bool again = second && info.error().code == ErrorCode::kConflict && !place.expected_head && attempt < kAttempts;
    if (!again) return PlaceError(write, info.error());
  }
}

}  // namespace

Answer<Reply> PostFrames(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"before", "base_commit", "data", "keys"}, true));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const BodyFormat format, WriteFormat(call));
  ZN_ASSIGN_OR_RETURN(const NativeBody body, ReadNativeBody(call, format));
  ZN_ASSIGN_OR_RETURN(auto before, TakeParameter(write.parameters, "before"));
  ZN_ASSIGN_OR_RETURN(const auto base_commit, CommitParameter(write.parameters, "base_commit"));
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.meta = true}));
  write.ReplyWith(201, before ? "insert" : "append", FramesAdded);
  if (format == BodyFormat::kMsgpack || format == BodyFormat::kJson) {
    ZN_ASSIGN_OR_RETURN(auto copy, ReadCopy(body));
    if (copy) return CopyInto(write, std::move(*copy), before, base_commit);
  }
  ZN_ASSIGN_OR_RETURN(const Placement place, FindPlace(write, before, base_commit));
  return AddFrames(write, format, body, place);
}

}  // namespace zn::server
