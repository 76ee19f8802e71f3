#include "api/audit_changes.h"

#include <algorithm>
#include <charconv>

#include "api/body_json.h"
#include "api/router.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr size_t kMaxFrameLines = 100;  // of one commit

bool Adds(std::string_view operation) { return operation == "append" || operation == "insert"; }

}  // namespace

AuditSource SourceOf(const Call& call) {
  return {call.service.clock.wall_ns(), call.caller.name,
          call.connection.empty() ? "http" : "socket", call.room};
}

Result<> AuditFrames(RecordTransaction& records, const AuditSource& source,
                     std::string_view operation, const CommitInfo& draft) {
  if (!draft.changed) return {};
  AuditEntry entry{.time_ns = source.time_ns,
                   .actor = source.actor,
                   .origin = source.origin,
                   .room = source.room,
                   .scope = "frame",
                   .key = std::string(operation)};
  if (draft.ids.empty() || draft.ids.size() > kMaxFrameLines) {
    json all = {{"commit", draft.commit.ToString()}, {"frameCount", draft.frames}};
    if (!draft.ids.empty()) {
      const auto [least, most] = std::minmax_element(draft.ids.begin(), draft.ids.end());
      all.update({{"frames", draft.ids.size()}, {"firstId", *least}, {"lastId", *most}});
    }
    entry.new_value = Dump(all);
    return records.AppendAudit(source.room, AuditText(entry));
  }
  for (size_t i = 0; i < draft.ids.size(); ++i) {
    entry.target = std::to_string(draft.ids[i]);
    entry.version.reset();
    if (i < draft.versions.size()) entry.version = draft.versions[i];
    ZN_RETURN_IF_ERROR(records.AppendAudit(source.room, AuditText(entry)));
  }
  return {};
}

Result<> AuditRoom(RecordTransaction& records, const AuditSource& source, std::string_view key,
                   const std::string& old_value, const std::string& new_value) {
  return records.AppendAudit(source.room, AuditText({.time_ns = source.time_ns,
                                                     .actor = source.actor,
                                                     .origin = source.origin,
                                                     .room = source.room,
                                                     .scope = "room",
                                                     .target = source.room,
                                                     .key = std::string(key),
                                                     .old_value = old_value,
                                                     .new_value = new_value}));
}

Result<> AuditModel(RecordTransaction& records, const AuditSource& source, const RoomModel& before,
                    const RoomModel& after) {
  const auto text = [&](std::string_view key, const json& was, const json& is) -> Result<> {
    if (was == is) return {};
    return AuditRoom(records, source, key, Dump(was), Dump(is));
  };
  ZN_RETURN_IF_ERROR(text("description", before.description, after.description));
  ZN_RETURN_IF_ERROR(text("locked", before.locked, after.locked));
  ZN_RETURN_IF_ERROR(text("hidden", before.hidden, after.hidden));
  if (before.metadata == after.metadata) return {};
  return AuditRoom(records, source, "metadata", before.metadata, after.metadata);
}

std::string WithHashes(const Call& call, const Snapshot& head, const std::string& line,
                       int* budget) {
  json entry = json::parse(line, nullptr, false);
  if (!entry.is_object() || entry.value("scope", "") != "frame" || !entry.contains("version"))
    return line;
  const std::string target = entry.value("target", "");
  FrameId id = -1;
  if (std::from_chars(target.data(), target.data() + target.size(), id).ec != std::errc())
    return line;
  const uint32_t version = entry["version"].get<uint32_t>();
  const std::string operation = entry.value("key", "");
  const auto hash = [&](uint32_t of) -> json {
    if (of == 0) return nullptr;
    auto known = call.service.hashes.Find(head.incarnation(), id, of);
    if (!known && (*budget)-- > 0)
      if (auto made = call.service.FrameHash(head, id, of)) known = *made;
    return known ? json(HashText(*known)) : json(nullptr);
  };
  // A frame that was deleted has its last version as `old`.
  const bool gone = operation == "delete";
  entry["old"] = Adds(operation) ? json(nullptr) : hash(gone ? version : version - 1);
  entry["new"] = gone ? json(nullptr) : hash(version);
  return Dump(entry);
}

}  // namespace zn::server
