#include "control/state_records.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "api/service.h"
#include "control/audit.h"

namespace zn::server {
namespace {

using nlohmann::json;

std::string Hex16(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::string RoomPrefix(std::string_view kind, uint64_t incarnation) {
  return std::string(kind) + '\0' + Hex16(incarnation) + '\0';
}

std::string KeyOf(uint64_t incarnation, const StateName& name) {
  return RoomPrefix("state", incarnation) + StateRecords::Place(name);
}

std::string Encode(const StateRecord& record) {
  json value = {{"version", record.version},
                {"deleted", record.deleted},
                {"actor", record.actor},
                {"origin", record.origin},
                {"timestamp", record.timestamp_ns}};
  if (!record.deleted) value["value"] = json::parse(record.value, nullptr, false);
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// `place`: what stands behind the room's prefix.
Result<StateRecord> Decode(std::string_view place, const std::string& text) {
  StateRecord record;
  const size_t first = place.find('\0'), second = first == place.npos ? first : place.find('\0', first + 1);
  const json value = json::parse(text, nullptr, false);
  if (second == place.npos || !value.is_object())
    return Error{ErrorCode::kCorrupt, "a state record is damaged; run zn-fsck"};
  record.name = {std::string(place.substr(0, first)), std::string(place.substr(first + 1, second - first - 1)),
                 std::string(place.substr(second + 1))};
  record.version = value.value("version", uint64_t{0});
  record.deleted = value.value("deleted", false);
  record.actor = value.value("actor", "");
  record.origin = value.value("origin", "");
  record.timestamp_ns = value.value("timestamp", int64_t{0});
  if (!record.deleted && value.contains("value"))
    record.value = value["value"].dump(-1, ' ', false, json::error_handler_t::replace);
  return record;
}

/// A refusal travels through the store as an error; the problem waits here.
struct Refusal {
  std::optional<Problem> problem;
  Error Refuse(Problem refused) {
    problem = std::move(refused);
    return {ErrorCode::kConflict, problem->detail};
  }
};

json LatestJson(const std::optional<StateRecord>& now) {
  if (!now || now->deleted) return {{"version", now ? now->version : 0}, {"deleted", true}};
  return {{"version", now->version},
          {"value", json::parse(now->value, nullptr, false)},
          {"actor_id", now->actor},
          {"origin", now->origin},
          {"timestamp", TimeText(now->timestamp_ns)}};
}

Problem Stale(const StateChange& change, const std::optional<StateRecord>& now) {
  const std::string what = change.name.scope + "/" + change.name.target + "/" + change.name.key;
  const bool there = now && !now->deleted;
  std::string is = there ? "is at version " + std::to_string(now->version) : "does not exist";
  Problem problem = !change.base
                        ? Problem(428, "precondition-required",
                                  what + " " + is + ": say which version the change is based on (If-Match or base_version)")
                    : change.from_etag
                        ? Problem(412, "precondition-failed", what + " " + is)
                        : Problem(409, "conflict", what + " " + is + ", not " + std::to_string(*change.base));
  problem.extra.emplace_back("latest", LatestJson(now).dump(-1, ' ', false, json::error_handler_t::replace));
  return problem;
}

}  // namespace

std::string StateRecords::Place(const StateName& name) {
  return name.scope + '\0' + name.target + '\0' + name.key;
}

Answer<std::vector<StateRecord>> StateRecords::Apply(const RoomKey& room, std::span<const StateChange> changes,
                                                     const Author& author) {
  if (changes.size() > kMaxStateBatch)
    return BadRequest("at most 1,000 records are changed at once, not " + std::to_string(changes.size()));
  std::set<StateName> names;
  for (const StateChange& change : changes) {
    for (const std::string* part : {&change.name.scope, &change.name.target, &change.name.key})
      if (part->empty() || part->size() > kMaxStateName || part->find('\0') != part->npos)
        return BadRequest("scope, target and key of a record have 1 to 256 bytes each");
    if (change.value.size() > kMaxStateValue)
      return Problem(413, "too-large", "the value of a record has at most 64 KiB as JSON");
    if (!names.insert(change.name).second)
      return BadRequest("the record " + change.name.scope + "/" + change.name.target + "/" + change.name.key +
                        " is named twice");
  }
  const int64_t now_ns = wall_ns_();
  std::vector<StateRecord> result;
  Refusal refusal;
  uint64_t number = 0;
  const auto updated = store_.Update([&](RecordTransaction& records) -> Result<> {
    std::vector<StateRecord> changed;
    for (const StateChange& change : changes) {
      const std::string key = KeyOf(room.incarnation, change.name);
      ZN_ASSIGN_OR_RETURN(const auto text, records.Get(key));
      std::optional<StateRecord> now;
      if (text) {
        ZN_ASSIGN_OR_RETURN(now, Decode(Place(change.name), *text));
      }
      const bool there = now && !now->deleted;
      if (change.erase ? now && !there : there && now->value == change.value) {
        result.push_back(*now);  // as wanted already: also a retry
        continue;
      }
      if (change.erase && !now)
        return refusal.Refuse(NotFound("there is no record " + change.name.scope + "/" + change.name.target + "/" +
                                       change.name.key));
      if (change.base ? *change.base != (there ? now->version : 0) : there) return refusal.Refuse(Stale(change, now));
      StateRecord next{change.name, change.erase ? "" : change.value, (now ? now->version : 0) + 1, change.erase,
                       author.actor, author.origin, now_ns};
      ZN_RETURN_IF_ERROR(records.Put(key, Encode(next)));
      ZN_RETURN_IF_ERROR(records.AppendAudit(
          room.name, AuditText({now_ns, author.actor, author.origin, room.name, change.name.scope, change.name.target,
                                change.name.key, there ? now->value : "", next.value, next.version})));
      result.push_back(next);
      changed.push_back(std::move(next));
    }
    if (changed.empty() || !listener_) return {};
    const std::lock_guard lock(queue_mutex_);
    number = ++numbered_;
    queue_.push_back({number, room, std::move(changed)});
    return {};
  });
  if (!updated) {
    if (number != 0) {
      const std::lock_guard lock(queue_mutex_);
      std::erase_if(queue_, [&](const Told& told) { return told.number == number; });
    }
    if (refusal.problem) return std::move(*refusal.problem);
    return updated.error();
  }
  TellUpTo(number);
  return result;
}

void StateRecords::TellUpTo(uint64_t number) {
  if (number == 0) return;
  // What was sequenced before this change is durable with it; its writer finds it told.
  const std::lock_guard telling(telling_mutex_);
  for (;;) {
    Told next;
    {
      const std::lock_guard lock(queue_mutex_);
      if (queue_.empty() || queue_.front().number > number) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    for (const StateRecord& record : next.records) listener_(next.room, record);
  }
}

Result<std::vector<StateRecord>> StateRecords::List(uint64_t incarnation, std::string_view scope, std::string_view target,
                                                    size_t limit, std::string_view after) const {
  const std::string room = RoomPrefix("state", incarnation);
  std::string prefix = room;
  if (!scope.empty()) {
    prefix += std::string(scope) + '\0';
    if (!target.empty()) prefix += std::string(target) + '\0';
  }
  std::string seen = after.empty() ? "" : room + std::string(after);
  const RecordView view = store_.records();
  std::vector<StateRecord> list;
  constexpr size_t kAtOnce = 256;
  while (list.size() < limit) {
    ZN_ASSIGN_OR_RETURN(const auto records, view.ScanPrefix(prefix, kAtOnce, seen));
    if (records.empty()) break;
    for (const Record& record : records) {
      ZN_ASSIGN_OR_RETURN(StateRecord decoded, Decode(std::string_view(record.key).substr(room.size()), record.value));
      if (decoded.deleted || (!target.empty() && decoded.name.target != target)) continue;
      list.push_back(std::move(decoded));
      if (list.size() == limit) break;
    }
    seen = records.back().key;
  }
  return list;
}

Result<std::optional<StateRecord>> StateRecords::Get(uint64_t incarnation, const StateName& name) const {
  ZN_ASSIGN_OR_RETURN(const auto text, store_.records().Get(KeyOf(incarnation, name)));
  if (!text) return std::optional<StateRecord>();
  ZN_ASSIGN_OR_RETURN(StateRecord record, Decode(Place(name), *text));
  if (record.deleted) return std::optional<StateRecord>();
  return std::optional<StateRecord>(std::move(record));
}

Result<size_t> StateRecords::Sweep(size_t limit) {
  size_t erased = 0;
  for (const std::string_view kind : {"state", "fence"}) {
    // From room to room, by their prefixes.
    const std::string all = std::string(kind) + '\0';
    std::string from = all;
    while (erased < limit) {
      const RecordView view = store_.records();
      ZN_ASSIGN_OR_RETURN(const auto first, view.Scan(from, std::string(kind) + '\1', 1));
      if (first.empty() || first.front().key.size() < all.size() + 17) break;
      const std::string room = first.front().key.substr(0, all.size() + 17);
      from = room.substr(0, room.size() - 1) + '\1';
      bool exists = false;
      const std::string incarnation = room.substr(all.size(), 16);
      for (const RoomInfo& info : store_.ListRooms()) exists |= Hex16(info.incarnation) == incarnation;
      if (exists) continue;
      for (bool more = true; more && erased < limit;) {
        const auto updated = store_.Update([&](RecordTransaction& records) -> Result<> {
          constexpr size_t kAtOnce = 100;
          ZN_ASSIGN_OR_RETURN(const auto old, records.ScanPrefix(room, kAtOnce));
          for (const Record& record : old) ZN_RETURN_IF_ERROR(records.Erase(record.key));
          erased += old.size();
          more = old.size() == kAtOnce;
          return {};
        });
        if (!updated) return updated.error();
      }
    }
  }
  return erased;
}

}  // namespace zn::server
