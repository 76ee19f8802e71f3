#include "events/lock_audit.h"

#include <nlohmann/json.hpp>

#include "control/audit.h"

namespace zn::server {

void LockAudit::Note(const RoomKey& room, LockTarget target, const LockInfo* lock, int64_t now_ns) {
  const std::lock_guard guard(mutex_);
  const auto key = std::make_tuple(room.incarnation, room.name, target);
  const auto before = held_.find(key);
  if (lock && before != held_.end() && before->second.fence == lock->fence) return;  // refreshed
  if (!lock && before == held_.end()) return;
  const Held was = before == held_.end() ? Held() : before->second;
  Held is;
  if (lock) {
    is = {lock->fence, lock->holder.name, lock->holder.connection.empty() ? "http" : "socket"};
    held_[key] = is;
  } else {
    held_.erase(before);
  }
  last_ns_ = now_ns;
  if (lines_.size() >= kMaxLines) {
    ++omitted_[room.name];
    return;
  }
  const auto text = [](const std::string& name) {
    return name.empty() ? ""
                        : nlohmann::json(name).dump(-1, ' ', false,
                                                    nlohmann::json::error_handler_t::replace);
  };
  const Held& by = lock ? is : was;
  lines_.emplace_back(room.name, AuditText({.time_ns = now_ns,
                                            .actor = by.holder,
                                            .origin = by.origin,
                                            .room = room.name,
                                            .scope = "lock",
                                            .target = target.ToString(),
                                            .key = lock ? "acquired" : "ended",
                                            .old_value = text(was.holder),
                                            .new_value = text(is.holder)}));
}

Result<> LockAudit::Flush(Store& store, int64_t now_ms, bool now) {
  std::vector<std::pair<std::string, std::string>> lines;
  {
    const std::lock_guard guard(mutex_);
    if (lines_.empty() || (!now && now_ms - flushed_ms_ < kFlushEveryMs)) return {};
    flushed_ms_ = now_ms;
    lines = std::exchange(lines_, {});
    for (const auto& [room, count] : omitted_)
      lines.emplace_back(room,
                         AuditText({.time_ns = last_ns_,
                                    .room = room,
                                    .scope = "lock",
                                    .key = "more",
                                    .new_value = "{\"omitted\":" + std::to_string(count) + "}"}));
    omitted_.clear();
  }
  return store.Update([&](RecordTransaction& records) -> Result<> {
    for (const auto& [room, line] : lines) ZN_RETURN_IF_ERROR(records.AppendAudit(room, line));
    return {};
  });
}

}  // namespace zn::server
