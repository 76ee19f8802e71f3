#include "api/zarr.h"

#include <nlohmann/json.hpp>

#include "api/frames_query.h"
#include "api/hot_path.h"
#include "api/paging.h"
#include "http/query.h"

namespace zn::server {
namespace {

constexpr std::string_view kPrefix = "/zarr/", kShardedPrefix = "/zarr-sharded/";
constexpr std::string_view kForever = "Cache-Control: max-age=31536000, immutable\r\n";
constexpr std::string_view kValidate = "Cache-Control: no-cache\r\n";
constexpr std::string_view kJsonType = "application/json";
constexpr std::string_view kBytesType = "application/octet-stream";
constexpr size_t kCopyBelow = 16 << 10;  // larger chunks are sent from where they lie

/// "room[@commit]/key" taken apart.
struct Target {
  std::string_view room, commit, key;
  bool is_room = false;  // no key: "room" or "room/"
};

Target ParseTarget(std::string_view path) {
  Target target;
  const size_t slash = path.find('/');
  std::string_view room = path.substr(0, slash);
  if (slash != path.npos) target.key = path.substr(slash + 1);
  target.is_room = target.key.empty();
  const size_t at = room.find('@');
  target.room = room.substr(0, at);
  if (at != room.npos) target.commit = room.substr(at + 1);
  return target;
}

/// Of the view: not of a position in the history of events, which a commit's replies outlive.
std::string CommitHeader(const ZarrView& view) {
  return "Zn-Commit: " + view.snapshot().commit().ToString() + "\r\n";
}

/// No room is called so.
bool IsDocumentName(std::string_view key) {
  return key == "zarr.json" || key == ".zarray" || key == ".zattrs" || key == ".zgroup" ||
         key == ".zmetadata";
}

/// Links, as fsspec and people follow them: a hierarchy without consolidated metadata can be
/// listed. They hold the whole path, so that it does not matter whether it ends in a slash.
std::string ListingOf(std::string_view path, std::span<const std::string> names) {
  if (path.ends_with('/')) path.remove_suffix(1);
  std::string html = "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>Zarr</title>\n<ul>\n";
  for (const std::string& name : names)  // of unreserved characters, and so is the path's
    html += "<li><a href=\"" + std::string(path) + "/" + name + "\">" + name + "</a></li>\n";
  return html + "</ul>\n";
}

Answer<Reply> ReplyOf(const Request& request, const ZarrValue& value, std::string_view type,
                      std::string headers) {
  std::string etag = value.digest.Hex();
  if (NotModified(request, etag))
    return NotModifiedReply(request, std::move(etag), std::move(headers));
  Reply reply;
  reply.content_type = type;
  reply.headers = std::move(headers);
  reply.etag = std::move(etag);
  reply.accept_ranges = true;
  reply.compressible = type == kJsonType;
  reply.body.push_back(value.bytes);
  return reply;
}

Reply Html(std::string html, std::string headers) {
  Reply reply;
  reply.content_type = "text/html; charset=utf-8";
  reply.headers = std::move(headers);
  reply.body.push_back(BufferOf(std::move(html)));
  return reply;
}

/// The group above the rooms. It has no consolidated metadata: that would be all of theirs.
Answer<Reply> GetRoot(const Call& call, std::string_view key, bool sharded) {
  std::vector<std::string> rooms, links = {"zarr.json"};
  for (const RoomInfo& info : call.service.store->ListRooms())
    if (!info.model.hidden && call.caller.May(Scope::kRead, info.name)) rooms.push_back(info.name);
  std::string headers(kValidate);
  if (key.empty()) {
    if (!sharded) links.insert(links.end(), {".zgroup", ".zattrs"});
    for (const std::string& room : rooms) links.push_back(room + "/");
    return Html(ListingOf(call.request().path, links), std::move(headers));
  }
  const std::string attributes = nlohmann::json{{"rooms", rooms}}.dump();
  std::string text;
  if (key == "zarr.json") {
    ZN_ASSIGN_OR_RETURN(text, FormatZarrV3Group(attributes, nullptr));
  } else if (key == ".zgroup" && !sharded) {
    text = FormatZarrV2Group();
  } else if (key == ".zattrs" && !sharded) {
    text = attributes;
  } else {
    return NotFound("there is nothing at " + std::string(call.request().path));
  }
  Reply reply = Reply::Json(std::move(text));
  reply.headers = std::move(headers);
  reply.etag = "rooms-" + RepresentationTag(Flatten(reply.body));
  reply.accept_ranges = true;
  if (NotModified(call.request(), reply.etag))
    return NotModifiedReply(call.request(), reply.etag, reply.headers);
  return reply;
}

/// A shard as it is sent: chunk by chunk, so that a range touches no other.
class ShardBody final : public BodyStream {
 public:
  explicit ShardBody(std::shared_ptr<const ZarrShard> shard) : shard_(std::move(shard)) {}

  std::optional<uint64_t> length() const override { return shard_->size(); }
  Result<bool> Next(Pieces* pieces) override {
    ZN_ASSIGN_OR_RETURN(const uint64_t read,
                        shard_->Read(offset_, shard_->size() - offset_, 1, pieces));
    offset_ += read;
    return offset_ < shard_->size();
  }
  Result<uint64_t> Skip(uint64_t bytes) override {
    offset_ = std::min(bytes, shard_->size());
    return offset_;
  }

 private:
  const std::shared_ptr<const ZarrShard> shard_;
  uint64_t offset_ = 0;
};

Answer<Reply> GetShard(const Request& request, const ZarrView& view, const ZarrView::ChunkKey& key,
                       std::string headers) {
  ZN_ASSIGN_OR_RETURN(auto shard, view.OpenShard(*key.array, key.chunk));
  if (!shard) return NotFound("every chunk of this shard is of fill values: there is no such key");
  std::string etag = shard->tag().Hex();
  if (NotModified(request, etag))
    return NotModifiedReply(request, std::move(etag), std::move(headers));
  Reply reply;
  reply.content_type = kBytesType;
  reply.headers = std::move(headers);
  reply.etag = std::move(etag);
  reply.accept_ranges = true;
  reply.compressible = false;
  reply.stream = std::make_unique<ShardBody>(std::move(shard));
  return reply;
}

/// A key whose array is named as the field is, rather than as the node: "info.a b/.zarray".
std::string ToNodeKey(const ZarrView& view, std::string_view key) {
  const size_t slash = key.find('/');
  const std::string_view name = key.substr(0, slash);
  if (slash == key.npos || view.Find(name) != nullptr) return std::string(key);
  return ZarrNodeName(name) + std::string(key.substr(slash));
}

Answer<Reply> GetRoomKey(const Call& call, const Target& target, bool sharded) {
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.service.FindRoom(target.room, &call.caller));
  ZN_ASSIGN_OR_RETURN(Snapshot snapshot, SnapshotAt(*room, target.commit));
  ZN_ASSIGN_OR_RETURN(auto view,
                      call.service.zarr.Get(std::string(target.room), snapshot, sharded));
  std::string headers =
      CommitHeader(*view) + std::string(target.commit.empty() ? kValidate : kForever);
  const Request& request = call.request();
  if (target.is_room) {
    std::vector<std::string> links;
    for (const ZarrDocument& document : view->documents())
      if (document.first.find('/') == std::string::npos) links.push_back(document.first);
    for (const ZarrArray& array : view->arrays()) links.push_back(array.name + "/");
    return Html(ListingOf(request.path, links), std::move(headers));
  }
  const std::string key = ToNodeKey(*view, target.key);
  if (const ZarrValue* document = view->Document(key))
    return ReplyOf(request, *document, kJsonType, std::move(headers));
  const auto chunk = view->ParseChunkKey(key);
  if (!chunk) return NotFound("there is no key '" + key + "' in the Zarr view of this room");
  if (sharded) return GetShard(request, *view, *chunk, std::move(headers));
  ZN_ASSIGN_OR_RETURN(const auto value, view->ReadChunk(*chunk->array, chunk->chunk));
  if (!value) return NotFound("this chunk is of fill values: there is no such key");
  return ReplyOf(request, *value, kBytesType, std::move(headers));
}

Answer<Reply> Get(const Call& call, bool sharded) {
  if (!call.request().query.empty()) {
    ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
    ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"token"}));
  }
  const std::string_view path = call.arguments.empty() ? std::string_view() : call.Argument("key");
  if (path.empty() || IsDocumentName(path)) return GetRoot(call, path, sharded);
  return GetRoomKey(call, ParseTarget(path), sharded);
}

}  // namespace

Answer<Reply> GetZarr(const Call& call) { return Get(call, /*sharded=*/false); }
Answer<Reply> GetZarrSharded(const Call& call) { return Get(call, /*sharded=*/true); }

int TryZarrHotPath(Service& service, const Request& request, const InlineContext& context) {
  std::string_view path = request.path;
  const bool sharded = path.substr(0, kShardedPrefix.size()) == kShardedPrefix;
  if (!sharded && path.substr(0, kPrefix.size()) != kPrefix) return 0;
  if (request.method != Method::kGet || !request.query.empty() || !request.range.empty() ||
      !request.if_none_match.empty() || path.find('%') != path.npos)
    return 0;
  auto* state = static_cast<HotState*>(context.state);
  if (!AcceptsHost(service, state, request)) return 0;
  const Target target = ParseTarget(path.substr(sharded ? kShardedPrefix.size() : kPrefix.size()));
  if (target.is_room || target.key.empty()) return 0;
  if (!MayRead(service, state, request, target.room)) return 0;
  HotState::RoomEntry* room = state->FindRoom(service, target.room);
  if (!room) return 0;
  CommitId commit = room->snapshot.commit();
  if (!target.commit.empty()) {
    auto parsed = CommitId::Parse(target.commit);
    if (!parsed) return 0;
    commit = *parsed;
  }
  const auto view = service.zarr.Find(room->snapshot.incarnation(), commit, sharded);
  if (!view) return 0;

  std::optional<ZarrValue> value;
  const ZarrValue* document = view->Document(target.key);
  if (document != nullptr) {
    if (!request.accept_encoding.empty()) return 0;  // may be worth packing
    value = *document;
  } else if (!sharded) {
    const auto chunk = view->ParseChunkKey(target.key);
    if (chunk) value = view->ReadyChunk(*chunk->array, chunk->chunk);
  }
  if (!value) return 0;

  std::string& head = context.out->text();
  head += "HTTP/1.1 200 OK\r\nDate: ";
  head += context.date;
  head += "\r\nContent-Type: ";
  head += document != nullptr ? kJsonType : kBytesType;
  head += "\r\nContent-Length: ";
  head += std::to_string(value->bytes.size());
  head += "\r\n";
  head += CommitHeader(*view);
  head += target.commit.empty() ? kValidate : kForever;
  head += "Accept-Ranges: bytes\r\nETag: \"";
  head += value->digest.Hex();
  head += "i\"\r\nVary: Accept, Accept-Encoding\r\n";
  if (!context.keep_alive) {
    head += "Connection: close\r\n";
  } else if (request.http10) {
    head += "Connection: keep-alive\r\n";
  }
  head += "\r\n";
  if (value->bytes.size() < kCopyBelow) {
    head.append(reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size());
  } else {
    context.out->Pin(std::move(value->bytes));
  }
  return 200;
}

}  // namespace zn::server
