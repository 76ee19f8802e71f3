#include "api/service.h"

#include <cstdio>
#include <ctime>

#include "api/jobs.h"
#include "log.h"
#include "socketio/servers.h"
#include "zn/formats/fields.h"

namespace zn::server {

HashCache::HashCache(size_t entries) {
  for (Shard& shard : shards_) shard.entries.resize(std::max<size_t>(1, entries / kShards));
}

size_t HashCache::Slot(uint64_t incarnation, FrameId id, size_t* shard) const {
  uint64_t mixed = (static_cast<uint64_t>(id) ^ (incarnation << 17)) * 0x9e3779b97f4a7c15ull;
  *shard = mixed >> 60;
  return static_cast<size_t>((mixed >> 20) % shards_[*shard].entries.size());
}

std::optional<Sha256> HashCache::Find(uint64_t incarnation, FrameId id, uint32_t version) const {
  size_t shard;
  size_t slot = Slot(incarnation, id, &shard);
  std::lock_guard lock(shards_[shard].mutex);
  const Entry& entry = shards_[shard].entries[slot];
  if (entry.id != id || entry.version != version || entry.incarnation != incarnation)
    return std::nullopt;
  return entry.hash;
}

void HashCache::Put(uint64_t incarnation, FrameId id, uint32_t version, const Sha256& hash) {
  size_t shard;
  size_t slot = Slot(incarnation, id, &shard);
  std::lock_guard lock(shards_[shard].mutex);
  shards_[shard].entries[slot] = {incarnation, id, version, hash};
}

Service::Service(const RateLimit& rate_limit) : limits(rate_limit) {}
Service::~Service() = default;

Result<> Service::Start(const AccessOptions& access_options) {
  control = MakeEmbeddedControl(store->epoch(), clock);
  state = std::make_unique<StateRecords>(store, clock.wall_ns);
  ZN_ASSIGN_OR_RETURN(access, Access::Open(store, access_options, clock.wall_ns));
  store->SetListener([this](const RoomChange& change) {
    const RoomKey room{change.incarnation, change.room};
    if (change.kind == RoomChange::Kind::kDeleted) {
      control->EndRoom(room);
      sweep = true;
    } else if (change.operation == Operation::kDelete) {
      control->EndFrames(room, change.info.ids);
    } else if (change.operation == Operation::kRestore) {
      // Whoever restored held all that were locked; every frame may be another now.
      std::vector<FrameId> locked;
      for (const LockInfo& lock : control->List(room))
        if (!lock.target.is_meta()) locked.push_back(lock.target.frame);
      control->EndFrames(room, locked);
    }
    for (const Store::Listener& listener : listeners) listener(change);
  });
  return {};
}

void Service::Tick() {
  (void)control->Expire(0);
  if (options.read_only) return;
  if (auto written = lock_audit.Flush(*store, clock.steady_ms()); !written)
    LogLine(spdlog::level::err, "the audit log lacks lines about locks", {{"error", written.error().message}});
  if (!sweep.exchange(false)) return;
  // A little at a time: requests go on between.
  constexpr size_t kAtOnce = 500;
  const auto erased = state->Sweep(kAtOnce);
  if (erased && *erased >= kAtOnce) sweep = true;
}

Problem Service::NoSuchRoom(std::string_view name, const Caller* caller) const {
  std::vector<std::string> known;
  for (const RoomInfo& info : store->ListRooms())
    if (!caller || caller->May(Scope::kRead, info.name)) known.push_back(info.name);
  std::vector<std::string> near = formats::NearMisses(name, known);
  std::string detail = "there is no room '" + std::string(name) + "'";
  if (!near.empty()) detail += "; did you mean '" + near.front() + "'?";
  return NotFound(detail).With("candidates", near);
}

Answer<std::shared_ptr<Room>> Service::FindRoom(std::string_view name, const Caller* caller) const {
  if (caller && !caller->May(Scope::kRead, name)) return NoSuchRoom(name, caller);
  auto room = store->OpenRoom(std::string(name));
  if (room) return std::move(*room);
  if (room.error().code != ErrorCode::kNotFound && room.error().code != ErrorCode::kInvalidArgument)
    return room.error();
  return NoSuchRoom(name, caller);
}

Result<Sha256> Service::FrameHash(const Snapshot& snapshot, FrameId id, uint32_t version) {
  uint64_t incarnation = snapshot.incarnation();
  if (auto known = hashes.Find(incarnation, id, version)) return *known;
  ZN_ASSIGN_OR_RETURN(const uint32_t newest, snapshot.VersionOf(id));
  ZN_ASSIGN_OR_RETURN(Sha256 hash, version == newest ? snapshot.HashFrame(id) : snapshot.HashVersion(id, version));
  hashes.Put(incarnation, id, version, hash);
  return hash;
}

std::string PlaceHeaders(const EventPosition& position, const Snapshot& snapshot) {
  return "Zn-Commit: " + snapshot.commit().ToString() +
         "\r\nZn-Position: " + position.ToString() + "\r\n";
}

std::string IncarnationText(uint64_t incarnation) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(incarnation));
  return text;
}

std::string HashText(const Sha256& hash) { return "sha256:" + hash.Hex(); }

std::string TimeText(int64_t time_ns) {
  if (time_ns == 0) return "";
  std::time_t seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  size_t n = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  n += static_cast<size_t>(std::snprintf(text + n, sizeof text - n, ".%06lldZ",
                                         static_cast<long long>(time_ns % 1'000'000'000 / 1000)));
  return std::string(text, n);
}

std::string RepresentationTag(std::string_view description) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : description) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  char text[9];
  std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(hash ^ (hash >> 32)));
  return text;
}

}  // namespace zn::server
