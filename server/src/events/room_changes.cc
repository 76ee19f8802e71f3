#include "events/room_changes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace zn::server {
namespace {

using nlohmann::json;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

class Publisher {
 public:
  Publisher(EventHub* hub, const RoomChange& change) : hub_(*hub), change_(change) {}

  void Commit() {
    const int64_t before = change_.before.frames(), after = change_.after.frames();
    switch (change_.operation) {
      case Operation::kMaintenance:
        return;
      case Operation::kAppend:
      case Operation::kImport:
        Invalidate("append", before, after - before);
        break;
      case Operation::kInsert:
        Insert();
        break;
      case Operation::kDelete:
        Delete();
        break;
      case Operation::kReplace:
      case Operation::kEdit:
      case Operation::kUndo:
      case Operation::kRedo:
        Frames();
        break;
      default:
        Invalidate("reset", 0, std::max(before, after));
    }
    if (before != after)
      Update({{"frameCount", after}, {"commit", change_.after.commit().ToString()}});
  }

  void Created() {
    Update({{"created", true},
            {"description", change_.model_after.description},
            {"frameCount", change_.after.frames()},
            {"locked", change_.model_after.locked},
            {"hidden", change_.model_after.hidden},
            {"commit", change_.after.commit().ToString()}});
  }

  void Model() {
    const RoomModel &before = change_.model_before, &after = change_.model_after;
    json changed = json::object();
    if (before.description != after.description) changed["description"] = after.description;
    if (before.locked != after.locked) changed["locked"] = after.locked;
    if (before.hidden != after.hidden) changed["hidden"] = after.hidden;
    if (!changed.empty()) Update(std::move(changed));
  }

  void Deleted() {
    hub_.PublishToBoth(change_.room, "room:delete",
                       Dump({{"roomId", change_.room}, {"actor", change_.context.actor}}));
  }

 private:
  void Update(json changed) {
    changed["roomId"] = change_.room;
    hub_.PublishToBoth(change_.room, "room:update", Dump(changed));
  }

  void Invalidate(std::string_view operation, int64_t from, int64_t count) {
    hub_.Publish(change_.room, "frames:invalidate",
                 Dump({{"roomId", change_.room},
                       {"operation", operation},
                       {"from", from},
                       {"count", count},
                       {"frameCount", change_.after.frames()},
                       {"actor", change_.context.actor},
                       {"commit", change_.after.commit().ToString()}}));
  }
  void InvalidateAll() {
    Invalidate("reset", 0, std::max(change_.before.frames(), change_.after.frames()));
  }

  void Insert() {
    auto from = change_.info.ids.empty() ? Result<int64_t>(Error{ErrorCode::kInternal, ""})
                                         : change_.after.PositionOf(change_.info.ids.front());
    if (from) {
      Invalidate("insert", *from, change_.after.frames() - change_.before.frames());
    } else {
      InvalidateAll();
    }
  }

  // Runs of positions, the last one first: each is then where it says when the ones before it are
  // gone.
  void Delete() {
    std::vector<int64_t> positions;
    if (change_.info.ids.size() > 10 * kMaxFrameEvents) return InvalidateAll();
    for (FrameId id : change_.info.ids) {
      auto position = change_.before.PositionOf(id);
      if (!position) return InvalidateAll();
      positions.push_back(*position);
    }
    std::sort(positions.begin(), positions.end());
    std::vector<std::pair<int64_t, int64_t>> runs;
    for (int64_t position : positions) {
      if (!runs.empty() && runs.back().first + runs.back().second == position) {
        ++runs.back().second;
      } else {
        runs.emplace_back(position, 1);
      }
    }
    if (runs.empty() || runs.size() > kMaxFrameEvents) return InvalidateAll();
    for (auto run = runs.rbegin(); run != runs.rend(); ++run)
      Invalidate("delete", run->first, run->second);
  }

  void Frames() {
    const std::vector<FrameId>& ids = change_.info.ids;
    if (ids.size() > kMaxFrameEvents) return InvalidateAll();
    for (size_t i = 0; i < ids.size(); ++i) {
      auto frame = change_.after.PositionOf(ids[i]);
      auto version = change_.after.VersionOf(ids[i]);
      auto was = change_.before.VersionOf(ids[i]);
      if (!frame || !version) continue;       // deleted since: its own event says so
      if (was && *was == *version) continue;  // one of many that was the same already
      auto newest = change_.after.Versions(ids[i], 1);
      json fields = json::array();
      if (newest && !newest->empty()) fields = newest->front().fields;
      hub_.Publish(change_.room, "frame_updated",
                   Dump({{"roomId", change_.room},
                         {"frame", *frame},
                         {"id", ids[i]},
                         {"version", *version},
                         {"fields", std::move(fields)},
                         {"actor", change_.context.actor},
                         {"commit", change_.after.commit().ToString()}}));
    }
  }

  EventHub& hub_;
  const RoomChange& change_;
};

}  // namespace

void PublishRoomChange(EventHub* hub, const RoomChange& change) {
  Publisher publisher(hub, change);
  switch (change.kind) {
    case RoomChange::Kind::kCreated:
      return publisher.Created();
    case RoomChange::Kind::kCommit:
      return publisher.Commit();
    case RoomChange::Kind::kModel:
      return publisher.Model();
    case RoomChange::Kind::kDeleted:
      return publisher.Deleted();
  }
}

}  // namespace zn::server
