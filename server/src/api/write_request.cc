#include "api/write_request.h"

#include <algorithm>
#include <charconv>

#include "api/audit_changes.h"
#include "api/body_json.h"
#include "api/decode_json.h"
#include "api/paging.h"
#include "http/base64.h"
#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

std::optional<int64_t> ParseInteger(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// RFC 9530: a dictionary of algorithm=:base64:. Others than sha-256 are not checked.
Answer<bool> CheckDigest(const Call& call) {
  const std::string_view* header = call.request().Find("content-digest");
  if (header == nullptr) return true;
  std::string_view list = *header;
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view member = Trim(list.substr(0, comma));
    list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
    const size_t equals = member.find('=');
    if (equals == member.npos || !EqualsIgnoreCase(member.substr(0, equals), "sha-256")) continue;
    std::string_view value = member.substr(equals + 1);
    std::optional<std::string> digest;
    if (value.size() >= 2 && value.front() == ':' && value.back() == ':')
      digest = DecodeBase64(value.substr(1, value.size() - 2));
    if (!digest || digest->size() != 32)
      return BadRequest("Content-Digest: sha-256 is not 32 bytes of base64 between colons");
    const Sha256 actual = HashSha256(BodyOf(call).bytes());
    if (std::string_view(reinterpret_cast<const char*>(actual.bytes.data()), 32) != *digest)
      return Problem(422, "digest-mismatch", "the body is not the one that Content-Digest was made of; send it again");
  }
  return true;
}

struct Tag {
  std::optional<uint64_t> incarnation;
  FrameId id = 0;
  uint32_t version = 0;
};

// "<incarnation>.<id>.<version>-..." or "<id>.<version>", as in ETag; nullopt for any other tag.
std::optional<Tag> ParseTag(std::string_view tag) {
  if (tag.size() < 2 || tag.front() != '"' || tag.back() != '"') return std::nullopt;
  tag = tag.substr(1, tag.size() - 2);
  tag = tag.substr(0, tag.find('-'));
  Tag parsed;
  const size_t first = tag.find('.');
  if (first == tag.npos) return std::nullopt;
  if (const size_t second = tag.find('.', first + 1); second != tag.npos) {
    uint64_t incarnation = 0;
    const auto [end, error] = std::from_chars(tag.data(), tag.data() + first, incarnation, 16);
    if (error != std::errc() || end != tag.data() + first) return std::nullopt;
    parsed.incarnation = incarnation;
    tag.remove_prefix(first + 1);
  }
  const size_t dot = tag.find('.');
  const auto id = ParseInteger(tag.substr(0, dot)), version = ParseInteger(tag.substr(dot + 1));
  if (!id || !version || *id < 0 || *version < 1 || *version > UINT32_MAX) return std::nullopt;
  parsed.id = *id;
  parsed.version = static_cast<uint32_t>(*version);
  return parsed;
}

Problem Locked(const std::string& room) {
  return {403, "room-locked", "room '" + room + "' is locked: its frames, records and description stay as they are until an admin unlocks it"};
}

}  // namespace

Answer<std::shared_ptr<IdempotencyKey>> TakeKey(const Call& call) {
  const Request& request = call.request();
  const std::string_view* key = request.Find("idempotency-key");
  if (!key) return std::shared_ptr<IdempotencyKey>();
  return IdempotencyKey::Take(
      *call.service.store, call.service.running_keys,
      {call.caller.token_id, request.method_text, request.path, request.query, *key, BodyOf(call).bytes()});
}

Answer<std::optional<Reply>> TakeReplay(const Call& call, std::shared_ptr<IdempotencyKey>& key) {
  ZN_ASSIGN_OR_RETURN(key, TakeKey(call));
  if (!key) return std::optional<Reply>();
  ZN_ASSIGN_OR_RETURN(auto kept, key->Find());
  if (!kept) return std::optional<Reply>();
  return std::optional<Reply>(Replay(call, std::move(*kept)));
}

Buffer BodyOf(const Call& call) { return call.owned.BodyBuffer(); }

Answer<Write> OpenWrite(const Call& call, std::vector<std::string> known, bool makes_default) {
  Write write;
  write.call = &call;
  ZN_ASSIGN_OR_RETURN(write.parameters, Parameters(call.request()));
  for (const char* common : {"cast", "lock_token", "release", "force", "token"}) known.emplace_back(common);
  ZN_RETURN_IF_ERROR(RefuseUnknown(write.parameters, known));
  ZN_ASSIGN_OR_RETURN(write.cast, BoolParameter(write.parameters, "cast"));
  ZN_ASSIGN_OR_RETURN(write.release, BoolParameter(write.parameters, "release"));
  ZN_RETURN_IF_ERROR(CheckDigest(call));
  write.context.actor = call.caller.name.substr(0, 255);
  auto room = call.FindRoom();
  if (!room && makes_default && call.room == "default" && room.error().status == 404) {
    auto made = call.service.store->CreateRoom(call.room, {}, write.context);
    if (!made && made.error().code != ErrorCode::kAlreadyExists) return std::move(made).error();
    room = call.FindRoom();
  }
  if (!room) return std::move(room).error();
  write.room = std::move(*room);
  if (write.room->info().model.locked) return Locked(call.room);
  ZN_ASSIGN_OR_RETURN(write.head, write.room->HeadOrError());
  write.context.pending = std::make_shared<PendingCommit>();
  ZN_ASSIGN_OR_RETURN(write.key, TakeKey(call));
  if (write.key) {
    ZN_ASSIGN_OR_RETURN(write.replay, write.key->Find());
  }
  return write;
}

Answer<bool> GuardWrite(Write& write, const WriteTargets& targets) {
  const Call& call = *write.call;
  ZN_ASSIGN_OR_RETURN(const std::string token, LockToken(call, write.parameters));
  ZN_ASSIGN_OR_RETURN(const bool force, Force(call, write.parameters));
  ZN_ASSIGN_OR_RETURN(write.guard,
                      call.service.control->Guard({write.head.incarnation(), call.room}, targets, token, force));
  return true;
}

std::optional<Problem> RefusedByLock(const Write& write, const Error& error) {
  if (!write.guard) return std::nullopt;
  Problem problem = write.guard->Explain(error);
  if (problem.status == 423 || problem.type == "lock-lost") return problem;
  return std::nullopt;
}

Answer<BodyFormat> WriteFormat(const Call& call) {
  if (auto format = BodyFormatOf(call.request().content_type)) return *format;
  return Problem(415, "unsupported-media-type",
                 "frames are taken as application/msgpack, application/vnd.zn.columns+msgpack, application/json or "
                 "application/x-npy, not as " + std::string(call.request().content_type));
}

Answer<NativeBody> ReadNativeBody(const Call& call, BodyFormat format) {
  constexpr size_t kMaxJson = 64 << 20;  // it is held nine times over while it is read
  NativeBody body{BodyOf(call), {}};
  if (format != BodyFormat::kJson) return body;
  if (body.bytes.size() > kMaxJson)
    return Problem(413, "too-large", "JSON bodies have at most 64 MiB: send MessagePack or columns");
  ZN_ASSIGN_OR_RETURN(std::string msgpack, JsonToMsgpack(body.text()));
  body.bytes = BufferOf(std::move(msgpack));
  body.options.special_strings = true;
  return body;
}

Answer<std::optional<int64_t>> IntegerParameter(const std::vector<Parameter>& parameters, std::string_view name) {
  ZN_ASSIGN_OR_RETURN(auto text, TakeParameter(parameters, name));
  if (!text) return std::optional<int64_t>();
  auto value = ParseInteger(*text);
  if (!value) return BadRequest(std::string(name) + ": '" + *text + "' is not an integer");
  return value;
}

Answer<bool> BoolParameter(const std::vector<Parameter>& parameters, std::string_view name) {
  ZN_ASSIGN_OR_RETURN(auto text, TakeParameter(parameters, name));
  if (!text || *text == "false" || *text == "0") return false;
  if (*text == "true" || *text == "1") return true;
  return BadRequest(std::string(name) + ": '" + *text + "' is neither true nor false");
}

Answer<std::optional<CommitId>> CommitParameter(const std::vector<Parameter>& parameters, std::string_view name) {
  ZN_ASSIGN_OR_RETURN(auto text, TakeParameter(parameters, name));
  if (!text) return std::optional<CommitId>();
  auto commit = CommitId::Parse(*text);
  if (!commit) return BadRequest(std::string(name) + ": " + commit.error().message);
  return std::optional<CommitId>(*commit);
}

Answer<Target> FindTarget(const Write& write, std::string_view frame) {
  Target target;
  target.by_id = frame.substr(0, 3) == "id:";
  if (!target.by_id && frame.find('-') != frame.npos)
    return BadRequest("'" + std::string(frame) + "': a write names a frame by its index from the front, or as id:<id>");
  ZN_ASSIGN_OR_RETURN(target.position, FramePosition(write.head, frame));
  ZN_ASSIGN_OR_RETURN(target.id, write.head.IdAt(target.position));
  ZN_ASSIGN_OR_RETURN(target.version, write.head.VersionOf(target.id));
  return target;
}

Answer<Base> FindBase(const Write& write, const Target& target, NamedBase named, bool required) {
  ZN_ASSIGN_OR_RETURN(const auto query_version, IntegerParameter(write.parameters, "base_version"));
  ZN_ASSIGN_OR_RETURN(const auto query_id, IntegerParameter(write.parameters, "frame_id"));
  if (query_version && named.base_version && *query_version != *named.base_version)
    return BadRequest("base_version in the query and in the body differ");
  if (query_id && named.frame_id && *query_id != *named.frame_id)
    return BadRequest("frame_id in the query and in the body differ");
  if (query_version) named.base_version = query_version;
  if (query_id) named.frame_id = query_id;
  if (named.base_version && (*named.base_version < 1 || *named.base_version > UINT32_MAX))
    return BadRequest("base_version: " + std::to_string(*named.base_version) + " is not a version: they count from 1");

  Base base;
  if (const std::string_view* header = write.call->request().Find("if-match")) {
    base.if_match = true;
    if (Trim(*header) == "*") return base;  // any version: the client says so
    bool same_frame = false;
    std::string_view list = *header;
    while (!list.empty()) {
      const size_t comma = list.find(',');
      const auto tag = ParseTag(Trim(list.substr(0, comma)));
      list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
      if (!tag || tag->id != target.id || (tag->incarnation && *tag->incarnation != write.head.incarnation())) continue;
      // The newest of several, or the one that is stale for sure.
      if (!same_frame || tag->version == target.version) base.version.version = tag->version;
      same_frame = true;
    }
    if (!same_frame) return StaleFrame(write, target.id, true);
    if (named.base_version && *named.base_version != static_cast<int64_t>(*base.version.version))
      return BadRequest("If-Match and base_version name different versions");
    return base;
  }
  if (named.frame_id && *named.frame_id != target.id) return StaleFrame(write, target.id, false);
  if (named.base_version) {
    if (!target.by_id && !named.frame_id && target.position >= write.head.first_shifted()) {
      Problem problem(428, "precondition-required",
                      "frame " + std::to_string(target.position) +
                          " was another frame once, so base_version alone may mean that one: give frame_id too, or If-Match");
      return problem;
    }
    base.version.version = static_cast<uint32_t>(*named.base_version);
    return base;
  }
  if (write.guard) base.version.version = write.guard->base(target.id);
  if (!required || base.version.version) return base;
  return Problem(428, "precondition-required",
                 "a write to an existing frame names what it is based on: If-Match: \"" + std::to_string(target.id) +
                     ".<version>\", base_version, or a lock");
}

Result<std::string> FrameJson(Service& service, const Snapshot& snapshot, FrameId id) {
  ZN_ASSIGN_OR_RETURN(const int64_t position, snapshot.PositionOf(id));
  ZN_ASSIGN_OR_RETURN(const uint32_t version, snapshot.VersionOf(id));
  ZN_ASSIGN_OR_RETURN(const Sha256 hash, service.FrameHash(snapshot, id, version));
  return "{\"frame\":" + std::to_string(position) + ",\"id\":" + std::to_string(id) +
         ",\"version\":" + std::to_string(version) + ",\"hash\":\"" + HashText(hash) + "\"}";
}

Problem StaleFrame(const Write& write, FrameId id, bool if_match) {
  auto head = write.room->HeadOrError();
  if (!head) return head.error();
  auto latest = FrameJson(write.call->service, *head, id);
  if (!latest) return latest.error();
  Problem problem = if_match ? Problem(412, "precondition-failed", "the frame is not the one that If-Match names any more")
                             : Problem(409, "conflict", "the frame was changed since the version that this write is based on");
  problem.extra.emplace_back("latest", std::move(*latest));
  problem.headers = PlaceHeaders(write.call->position, *head);
  return problem;
}

Problem StaleRoom(const Write& write) {
  Problem problem(409, "conflict", "the room was changed since the commit that this write is based on");
  auto head = write.room->HeadOrError();
  if (!head) return head.error();
  problem.extra.emplace_back("latest", "{\"commit\":\"" + head->commit().ToString() +
                                           "\",\"frameCount\":" + std::to_string(head->frames()) + "}");
  problem.headers = PlaceHeaders(write.call->position, *head);
  return problem;
}

Problem FrameError(const Write& write, const Error& error, FrameId id, bool if_match) {
  if (auto refused = RefusedByLock(write, error)) return std::move(*refused);
  if (error.code == ErrorCode::kConflict) return StaleFrame(write, id, if_match);
  if (error.code == ErrorCode::kReadOnly) return Locked(write.call->room);
  return error;
}

Answer<std::vector<FrameId>> WriteSelection(const Snapshot& head, std::string_view indices) {
  if (indices.find('-') != indices.npos)
    return BadRequest("indices: a write names frames from the front, without negative numbers");
  ZN_ASSIGN_OR_RETURN(const Selection selection, ParseSelection(indices, head.frames()));
  ZN_ASSIGN_OR_RETURN(std::vector<FrameId> ids, SelectedIds(head, selection, 0, selection.size()));
  std::vector<FrameId> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return BadRequest("indices: a frame is named twice");
  return ids;
}

void Write::ReplyWith(int status, std::string_view operation, std::function<KeptReply(const CommitInfo&)> make) {
  make_reply = [status, make = std::move(make)](const CommitInfo& info) {
    KeptReply reply = make(info);
    reply.status = status;
    reply.headers += "Zn-Commit: " + info.commit.ToString() + "\r\n";
    return reply;
  };
  context.also = [key = key, guard = guard, make = make_reply, operation = std::string(operation),
                  source = SourceOf(*call)](RecordTransaction& records, const CommitInfo& draft) -> Result<> {
    if (guard) ZN_RETURN_IF_ERROR(guard->Commit(records, draft));
    ZN_RETURN_IF_ERROR(AuditFrames(records, source, operation, draft));
    if (!key) return {};
    return key->Keep(records, make(draft), source.time_ns);
  };
}

namespace {

Reply Send(const Call& call, KeptReply kept) {
  Reply reply;
  reply.status = kept.status;
  if (kept.status != 204) reply = Reply::Json(std::move(kept.json), kept.status);
  // From before the write: who follows the room's events from there sees this one too.
  reply.headers = kept.headers + "Zn-Position: " + call.position.ToString() + "\r\n";
  reply.etag = std::move(kept.etag);
  return reply;
}

}  // namespace

Reply Replay(const Write& write) { return Replay(*write.call, *write.replay); }

Reply Replay(const Call& call, KeptReply kept) {
  Reply reply = Send(call, std::move(kept));
  reply.headers += "Idempotency-Replayed: true\r\n";
  return reply;
}

Reply Acknowledge(const Write& write, const CommitInfo& info) {
  if (write.release && write.guard) {
    write.context.pending->Defer([guard = write.guard] {
      guard->Release();
      return Result<>();
    });
  }
  Reply reply = Send(*write.call, write.make_reply(info));
  reply.pending = write.context.pending;
  return reply;
}

std::function<KeptReply(const CommitInfo&)> FrameWritten(const Write& write, const Target& target) {
  return [target, incarnation = write.head.incarnation()](const CommitInfo& info) {
    const std::string id = std::to_string(target.id), version = std::to_string(info.versions.front());
    KeptReply reply;
    reply.json = "{\"frame\":" + std::to_string(target.position) + ",\"id\":" + id + ",\"version\":" + version +
                 ",\"changed\":" + (info.changed ? "true" : "false") + ",\"commit\":\"" + info.commit.ToString() + "\"}";
    reply.headers = "Frame-Id: " + id + "\r\nFrame-Version: " + version + "\r\n";
    reply.etag = IncarnationText(incarnation) + "." + id + "." + version + "-written";
    return reply;
  };
}

}  // namespace zn::server
