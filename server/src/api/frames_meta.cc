// What is known about frames besides their data: ids, versions, hashes, and what changed since a
// commit.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "api/frames.h"
#include "api/frames_query.h"
#include "api/paging.h"

namespace zn::server {
namespace {

using nlohmann::json;

class MetaStream final : public BodyStream {
 public:
  MetaStream(Service* service, Snapshot snapshot, Selection selection)
      : service_(service), snapshot_(std::move(snapshot)), selection_(std::move(selection)) {}
  std::optional<uint64_t> length() const override { return std::nullopt; }

  Result<bool> Next(Pieces* pieces) override {
    std::string out = next_ == 0 ? "[" : "";
    const int64_t count = std::min<int64_t>(256, selection_.size() - next_);
    ZN_ASSIGN_OR_RETURN(std::vector<FrameId> ids, SelectedIds(snapshot_, selection_, next_, count));
    size_t k = 0;
    for (const Run& run : selection_.Window(next_, count)) {
      for (int64_t i = 0; i < run.count; ++i, ++k) {
        ZN_ASSIGN_OR_RETURN(uint32_t version, snapshot_.VersionOf(ids[k]));
        ZN_ASSIGN_OR_RETURN(Sha256 hash, service_->FrameHash(snapshot_, ids[k], version));
        if (next_ > 0 || k > 0) out += ',';
        out += "{\"frame\":" + std::to_string(run.at(i)) + ",\"id\":" + std::to_string(ids[k]) +
               ",\"version\":" + std::to_string(version) + ",\"hash\":\"" + HashText(hash) + "\"}";
      }
    }
    next_ += count;
    const bool more = next_ < selection_.size();
    if (!more) out += ']';
    pieces->push_back(BufferOf(std::move(out)));
    return more;
  }

 private:
  Service* service_;
  Snapshot snapshot_;
  Selection selection_;
  int64_t next_ = 0;
};

// Runs of frames that are in both snapshots and stand elsewhere now.
struct Shift {
  int64_t from, to, count;
};
constexpr size_t kMaxShifts = 1000;

Result<std::vector<Shift>> FindShifts(const Snapshot& older, const Snapshot& newer,
                                      bool* truncated) {
  std::vector<Shift> shifts;
  constexpr int64_t kWindow = 4096;
  bool run_open = false;
  bool equal_so_far = true;
  for (int64_t begin = 0; begin < newer.frames(); begin += kWindow) {
    int64_t count = std::min(kWindow, newer.frames() - begin);
    ZN_ASSIGN_OR_RETURN(std::vector<FrameId> ids, newer.IdsAt(begin, count));
    if (equal_so_far && begin + count <= older.frames()) {
      ZN_ASSIGN_OR_RETURN(std::vector<FrameId> before, older.IdsAt(begin, count));
      if (ids == before) continue;
    }
    equal_so_far = false;
    for (int64_t i = 0; i < count; ++i) {
      auto old_position = older.PositionOf(ids[static_cast<size_t>(i)]);
      if (!old_position && old_position.error().code != ErrorCode::kNotFound)
        return std::move(old_position).error();
      int64_t to = begin + i;
      if (!old_position || *old_position == to) {
        run_open = false;
        continue;
      }
      if (run_open && shifts.back().from + shifts.back().count == *old_position) {
        ++shifts.back().count;
        continue;
      }
      if (shifts.size() == kMaxShifts) {
        *truncated = true;
        return shifts;
      }
      shifts.push_back({*old_position, to, 1});
      run_open = true;
    }
  }
  return shifts;
}

}  // namespace

Answer<Reply> GetFramesMeta(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"indices", "at"}));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(auto at, TakeParameter(parameters, "at"));
  ZN_ASSIGN_OR_RETURN(Snapshot snapshot, SnapshotAt(*room, at.value_or("")));
  ZN_ASSIGN_OR_RETURN(auto indices, TakeParameter(parameters, "indices"));
  Selection selection = Selection::All(snapshot.frames());
  if (indices) {
    ZN_ASSIGN_OR_RETURN(selection, ParseSelection(*indices, snapshot.frames()));
  }
  std::string description = "meta";
  for (const Run& run : selection.runs())
    description += '|' + std::to_string(run.begin) + ',' + std::to_string(run.count) + ',' +
                   std::to_string(run.step);
  Reply reply = Reply::Json("");
  reply.body.clear();
  reply.headers = PlaceHeaders(call.position, snapshot);
  reply.etag = IncarnationText(snapshot.incarnation()) + "." + snapshot.commit().ToString() + "-" +
               RepresentationTag(description);
  if (NotModified(call.request(), reply.etag))
    return NotModifiedReply(call.request(), reply.etag, reply.headers);
  reply.stream =
      std::make_unique<MetaStream>(&call.service, std::move(snapshot), std::move(selection));
  return reply;
}

Answer<Reply> GetFramesChanges(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"since", "at"}));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(auto since, TakeParameter(parameters, "since"));
  if (!since || since->empty())
    return BadRequest("since: name the commit to compare with (frames/changes?since=<commit>)");
  ZN_ASSIGN_OR_RETURN(auto at, TakeParameter(parameters, "at"));
  ZN_ASSIGN_OR_RETURN(Snapshot newer, SnapshotAt(*room, at.value_or("")));
  ZN_ASSIGN_OR_RETURN(Snapshot older, SnapshotAt(*room, *since, "since"));
  ZN_ASSIGN_OR_RETURN(Snapshot::Changes changes, newer.ChangesSince(older));

  json frames = json::array();
  bool shifted = changes.order_changed;
  for (const Snapshot::Change& change : changes.frames) {
    json entry = {{"id", change.id}};
    if (change.removed) {
      entry["change"] = "removed";
      shifted = true;
    } else {
      ZN_ASSIGN_OR_RETURN(int64_t position, newer.PositionOf(change.id));
      ZN_ASSIGN_OR_RETURN(uint32_t version, newer.VersionOf(change.id));
      entry["change"] = change.added ? "added" : "changed";
      entry["frame"] = position;
      entry["version"] = version;
      if (change.added) {
        shifted = true;
      } else {
        json names = json::array();
        for (FieldIndex field : change.fields)
          names.push_back(newer.fields()[static_cast<size_t>(field)].name);
        entry["fields"] = std::move(names);
      }
    }
    frames.push_back(std::move(entry));
  }
  json shifts = json::array();
  bool truncated = false;
  if (shifted) {
    ZN_ASSIGN_OR_RETURN(std::vector<Shift> found, FindShifts(older, newer, &truncated));
    for (const Shift& shift : found)
      shifts.push_back({{"from", shift.from}, {"to", shift.to}, {"count", shift.count}});
  }
  json body = {{"since", older.commit().ToString()}, {"commit", newer.commit().ToString()},
               {"frameCount", newer.frames()},       {"frames", std::move(frames)},
               {"shifts", std::move(shifts)},        {"shiftsTruncated", truncated}};
  Reply reply = Reply::Json(body.dump());
  reply.headers = PlaceHeaders(call.position, newer);
  return reply;
}

Answer<Reply> GetFrameVersions(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"limit", "after", "at"}));
  ZN_ASSIGN_OR_RETURN(Page page, ParsePage(parameters));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(auto at, TakeParameter(parameters, "at"));
  ZN_ASSIGN_OR_RETURN(Snapshot snapshot, SnapshotAt(*room, at.value_or("")));
  ZN_ASSIGN_OR_RETURN(int64_t position, FramePosition(snapshot, call.frame));
  ZN_ASSIGN_OR_RETURN(FrameId id, snapshot.IdAt(position));
  ZN_ASSIGN_OR_RETURN(uint32_t newest, snapshot.VersionOf(id));
  uint32_t below = newest + 1;
  if (!page.after.empty()) {
    auto [end, error] =
        std::from_chars(page.after.data(), page.after.data() + page.after.size(), below);
    if (error != std::errc() || end != page.after.data() + page.after.size() || below > newest)
      return BadRequest("after: '" + page.after + "' is not a version of this frame");
  }
  // Newest first: what lies before `after` is read to get there.
  ZN_ASSIGN_OR_RETURN(std::vector<FrameVersion> versions,
                      snapshot.Versions(id, newest - below + 1 + page.limit + 1));
  std::erase_if(versions, [&](const FrameVersion& v) { return v.version >= below; });
  const bool more = versions.size() > page.limit;
  if (more) versions.resize(page.limit);
  json list = json::array();
  constexpr int kMaxHashed = 100;  // older versions that are read for one reply
  int hashed = 0;
  for (const FrameVersion& version : versions) {
    json hash;
    std::optional<Sha256> known =
        call.service.hashes.Find(snapshot.incarnation(), id, version.version);
    if (!known && (version.version == newest || hashed++ < kMaxHashed)) {
      ZN_ASSIGN_OR_RETURN(known, call.service.FrameHash(snapshot, id, version.version));
    }
    if (known) hash = HashText(*known);
    list.push_back({{"version", version.version},
                    {"hash", hash},
                    {"actor", version.actor},
                    {"time", version.time_ns ? json(TimeText(version.time_ns)) : json(nullptr)},
                    {"operation", OperationName(version.operation)},
                    {"fields", version.fields}});
  }
  Reply reply = Reply::Json(list.dump(-1, ' ', false, json::error_handler_t::replace));
  reply.headers = PlaceHeaders(call.position, snapshot) + "Frame-Id: " + std::to_string(id) + "\r\n";
  if (more)
    reply.headers += NextLink(call.request(), parameters, std::to_string(versions.back().version));
  return reply;
}

}  // namespace zn::server
