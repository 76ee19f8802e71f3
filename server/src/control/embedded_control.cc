#include "control/embedded_control.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "control/secrets.h"
#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

constexpr int64_t kMinLookMs = 50;

Problem LockLost(LockTarget target) {
  return {409, "lock-lost",
          "the lock token does not hold " + target.ToString() +
              " (any more): it expired, was released or was taken over; get a new lock and read again"};
}

std::string Json(std::string_view text) {
  std::string out;
  formats::AppendJsonString(text, out);
  return out;
}

Problem WithRetry(Problem problem, int64_t in_ms) {
  problem.headers += "Retry-After: " + std::to_string(std::max<int64_t>(1, (in_ms + 999) / 1000)) + "\r\n";
  problem.extra.emplace_back("retry_after", std::to_string(std::max<int64_t>(1, (in_ms + 999) / 1000)));
  problem.extra.emplace_back("retry_after_ms", std::to_string(in_ms));
  return problem;
}

/// The guard of one write.
class EmbeddedGuard final : public WriteGuard {
 public:
  EmbeddedGuard(EmbeddedControl& control, RoomKey room, EmbeddedControl::Touched touched, std::string token, bool force,
                std::vector<EmbeddedControl::Held> held)
      : control_(control), room_(std::move(room)), touched_(std::move(touched)), token_(std::move(token)), force_(force),
        held_(std::move(held)) {}

  bool holds() const override { return !held_.empty(); }
  std::optional<uint32_t> base(FrameId frame) const override {
    for (const auto& held : held_)
      if (held.target == LockTarget::Frame(frame)) return held.version;
    return std::nullopt;
  }
  Result<> Commit(RecordTransaction& records, const CommitInfo& draft) override {
    auto held = control_.Check(room_, touched_, token_, force_);
    if (!held) return Refuse(std::move(held).error());
    for (const auto& lock : *held) {
      const std::string key = FenceKey(room_.incarnation, lock.target);
      ZN_ASSIGN_OR_RETURN(const auto highest, records.Get(key));
      if (highest && *highest > lock.fence) return Refuse(LockLost(lock.target));
      if (!highest || *highest < lock.fence) ZN_RETURN_IF_ERROR(records.Put(key, lock.fence));
    }
    for (size_t i = 0; i < draft.ids.size() && i < draft.versions.size(); ++i) {
      for (const auto& lock : *held)
        if (lock.target.frame == draft.ids[i]) control_.SetBase(room_, lock.target, lock.fence, draft.versions[i]);
    }
    return {};
  }
  Problem Explain(const Error& error) const override { return refusal_ ? *refusal_ : Problem(error); }
  void Release() override {
    // What is lost by now needs no release.
    for (const auto& held : held_) (void)control_.Release(room_, held.target, token_, false);
  }

 private:
  Error Refuse(Problem problem) {
    refusal_ = std::move(problem);
    return Error{ErrorCode::kConflict, refusal_->detail};
  }

  EmbeddedControl& control_;
  const RoomKey room_;
  const EmbeddedControl::Touched touched_;
  const std::string token_;
  const bool force_;
  const std::vector<EmbeddedControl::Held> held_;
  std::optional<Problem> refusal_;
};

}  // namespace

std::string LockTarget::ToString() const {
  return is_meta() ? "trajectory:meta" : "frame:id:" + std::to_string(frame);
}

ControlClock ControlClock::System() {
  using namespace std::chrono;
  return {[] { return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count(); },
          [] { return duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count(); }};
}

std::unique_ptr<ControlState> MakeEmbeddedControl(uint64_t epoch, ControlClock clock) {
  return std::make_unique<EmbeddedControl>(epoch, std::move(clock));
}

std::string FenceKey(uint64_t incarnation, LockTarget target) {
  char room[17];
  std::snprintf(room, sizeof room, "%016llx", static_cast<unsigned long long>(incarnation));
  return std::string("fence") + '\0' + room + '\0' + target.ToString();
}

void EmbeddedControl::SetListener(ControlListener listener) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

std::string EmbeddedControl::NextFence() {
  char text[40];
  std::snprintf(text, sizeof text, "%08llx.%016llx", static_cast<unsigned long long>(epoch_),
                static_cast<unsigned long long>(++fences_));
  return text;
}

EmbeddedControl::RoomState& EmbeddedControl::StateOf(const RoomKey& room) {
  RoomState& state = rooms_[room.incarnation];
  if (state.key.incarnation == 0) state.key = room;
  return state;
}

EmbeddedControl::RoomState* EmbeddedControl::FindState(const RoomKey& room) {
  const auto at = rooms_.find(room.incarnation);
  return at == rooms_.end() ? nullptr : &at->second;
}

void EmbeddedControl::LookAt(RoomState& room, int64_t at_ms) {
  if (at_ms >= room.looked_at_ms) return;
  room.looked_at_ms = at_ms;
  due_.emplace(at_ms, room.key.incarnation);
}

void EmbeddedControl::Remember(const RoomState& room, const std::string& connection) {
  if (!connection.empty()) connections_[connection].insert(room.key.incarnation);
}

LockInfo EmbeddedControl::InfoOf(LockTarget target, const Lock& lock) const {
  return {target, lock.holder, lock.message, lock.message_time_ns, std::max<int64_t>(0, lock.ends_ms - clock_.steady_ms()),
          lock.fence, lock.version};
}

Problem EmbeddedControl::LockedBy(LockTarget target, const Lock& lock) const {
  const LockInfo info = InfoOf(target, lock);
  Problem problem(423, "locked",
                  target.ToString() + " is locked by " + (lock.holder.name.empty() ? "somebody" : lock.holder.name) +
                      " for at most " + std::to_string(info.expires_in_ms) + " ms more");
  problem.extra.emplace_back("holder", Json(lock.holder.name));
  problem.extra.emplace_back("target", Json(target.ToString()));
  return WithRetry(std::move(problem), info.expires_in_ms);
}

void EmbeddedControl::TellLock(const RoomState& room, LockTarget target, const Lock& lock) {
  if (!listener_.on_lock) return;
  const LockInfo info = InfoOf(target, lock);
  listener_.on_lock(room.key, target, &info);
}

void EmbeddedControl::EndLock(RoomState& room, std::map<LockTarget, Lock>::iterator lock) {
  const LockTarget target = lock->first;
  room.locks.erase(lock);
  if (listener_.on_lock) listener_.on_lock(room.key, target, nullptr);
}

EmbeddedControl::Lock* EmbeddedControl::Live(RoomState& room, LockTarget target) {
  const auto at = room.locks.find(target);
  if (at == room.locks.end()) return nullptr;
  if (at->second.ends_ms > clock_.steady_ms()) return &at->second;
  EndLock(room, at);
  return nullptr;
}

Answer<LockGrant> EmbeddedControl::Acquire(const RoomKey& key, LockTarget target, const Owner& owner,
                                           const AcquireOptions& options) {
  const int64_t ttl = options.ttl_ms.value_or(kDefaultLockTtlMs);
  if (ttl < 1 || ttl > kMaxLockTtlMs)
    return BadRequest("ttl_ms: a lock lasts 1 to " + std::to_string(kMaxLockTtlMs) + " ms, not " + std::to_string(ttl));
  if (options.message.size() > kMaxLockMessage)
    return BadRequest("msg: a lock's message has at most 4096 bytes as JSON");
  const std::string token = RandomToken();
  const std::lock_guard lock(mutex_);
  RoomState& room = StateOf(key);
  if (const Lock* held = Live(room, target)) {
    const bool own = !owner.connection.empty() && held->holder.connection == owner.connection;
    if (!own && !options.force) return LockedBy(target, *held);
  } else if (room.locks.size() >= kMaxLocksPerRoom) {
    return Problem(429, "too-many-locks", "the room has " + std::to_string(room.locks.size()) + " locks; release some");
  }
  Lock& granted = room.locks[target];
  granted = {owner, token, NextFence(), options.message, clock_.wall_ns(),
             clock_.steady_ms() + ttl, std::nullopt};
  Remember(room, owner.connection);
  LookAt(room, granted.ends_ms);
  TellLock(room, target, granted);
  return LockGrant{token, granted.fence, ttl};
}

Answer<LockGrant> EmbeddedControl::Refresh(const RoomKey& key, LockTarget target, std::string_view token,
                                           std::optional<int64_t> ttl_ms, std::optional<std::string> message) {
  const int64_t ttl = ttl_ms.value_or(kDefaultLockTtlMs);
  if (ttl < 1 || ttl > kMaxLockTtlMs)
    return BadRequest("ttl_ms: a lock lasts 1 to " + std::to_string(kMaxLockTtlMs) + " ms, not " + std::to_string(ttl));
  if (message && message->size() > kMaxLockMessage)
    return BadRequest("msg: a lock's message has at most 4096 bytes as JSON");
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  Lock* held = room ? Live(*room, target) : nullptr;
  if (!held || !EqualInConstantTime(held->token, token)) return LockLost(target);
  held->ends_ms = clock_.steady_ms() + ttl;
  if (message) {
    held->message = std::move(*message);
    held->message_time_ns = clock_.wall_ns();
  }
  LookAt(*room, held->ends_ms);
  TellLock(*room, target, *held);
  return LockGrant{held->token, held->fence, ttl};
}

Answer<bool> EmbeddedControl::Release(const RoomKey& key, LockTarget target, std::string_view token, bool force) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  const Lock* held = room ? Live(*room, target) : nullptr;
  if (!held || (!force && !EqualInConstantTime(held->token, token))) return LockLost(target);
  EndLock(*room, room->locks.find(target));
  return true;
}

std::optional<LockInfo> EmbeddedControl::Find(const RoomKey& key, LockTarget target) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  const Lock* held = room ? Live(*room, target) : nullptr;
  if (!held) return std::nullopt;
  return InfoOf(target, *held);
}

std::vector<LockInfo> EmbeddedControl::List(const RoomKey& key) {
  const std::lock_guard lock(mutex_);
  std::vector<LockInfo> list;
  RoomState* room = FindState(key);
  if (!room) return list;
  const int64_t now = clock_.steady_ms();
  for (const auto& [target, held] : room->locks)
    if (held.ends_ms > now) list.push_back(InfoOf(target, held));
  return list;
}

Answer<std::vector<EmbeddedControl::Held>> EmbeddedControl::Check(const RoomKey& key, const Touched& touched,
                                                                  const std::string& token, bool force) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  std::vector<Held> held;
  std::optional<Problem> locked;
  const auto look = [&](LockTarget target) {
    const Lock* found = Live(*room, target);
    if (!found) return;
    if (!token.empty() && EqualInConstantTime(found->token, token)) {
      held.push_back({target, found->fence, found->version});
    } else if (!force && !locked) {
      locked = LockedBy(target, *found);
    }
  };
  if (room) {
    if (touched.meta) look(LockTarget::Meta());
    if (touched.all_frames || touched.frames.size() > room->locks.size()) {
      std::vector<LockTarget> frames;
      for (const auto& [target, unused] : room->locks) {
        if (!target.is_meta() && (touched.all_frames || std::binary_search(touched.frames.begin(), touched.frames.end(),
                                                                           target.frame)))
          frames.push_back(target);
      }
      for (const LockTarget target : frames) look(target);
    } else {
      for (const FrameId frame : touched.frames) look(LockTarget::Frame(frame));
    }
  }
  if (!token.empty() && held.empty())
    return LockLost(touched.frames.size() == 1 ? LockTarget::Frame(touched.frames.front()) : LockTarget::Meta());
  if (locked) return std::move(*locked);
  return held;
}

void EmbeddedControl::SetBase(const RoomKey& key, LockTarget target, std::string_view fence, uint32_t version) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  if (!room) return;
  const auto at = room->locks.find(target);
  if (at != room->locks.end() && at->second.fence == fence) at->second.version = version;
}

Answer<std::unique_ptr<WriteGuard>> EmbeddedControl::Guard(const RoomKey& room, const WriteTargets& targets,
                                                           std::string_view token, bool force) {
  Touched touched{{targets.frames.begin(), targets.frames.end()}, targets.meta, targets.all_frames};
  std::sort(touched.frames.begin(), touched.frames.end());
  const std::string text(token);
  ZN_ASSIGN_OR_RETURN(auto held, Check(room, touched, text, force));
  return std::unique_ptr<WriteGuard>(
      std::make_unique<EmbeddedGuard>(*this, room, std::move(touched), text, force, std::move(held)));
}

void EmbeddedControl::TellPresenter(const RoomState& room) {
  if (!listener_.on_presenter) return;
  if (!room.presenter) return listener_.on_presenter(room.key, nullptr);
  const PresenterInfo info{room.presenter->holder, room.presenter->ends_ms - clock_.steady_ms()};
  listener_.on_presenter(room.key, &info);
}

EmbeddedControl::PresenterToken* EmbeddedControl::LivePresenter(RoomState& room) {
  if (room.presenter && room.presenter->ends_ms <= clock_.steady_ms()) EndPresenter(room);
  return room.presenter ? &*room.presenter : nullptr;
}

void EmbeddedControl::EndPresenter(RoomState& room) {
  room.presenter.reset();
  TellPresenter(room);
}

Answer<PresenterGrant> EmbeddedControl::RequestPresenter(const RoomKey& key, const Owner& owner, bool force) {
  const std::string token = RandomToken();
  const std::lock_guard lock(mutex_);
  RoomState& room = StateOf(key);
  if (const PresenterToken* now = LivePresenter(room)) {
    const bool own = !owner.connection.empty() && now->holder.connection == owner.connection;
    if (!own && !force) {
      const int64_t left = now->ends_ms - clock_.steady_ms();
      Problem problem(423, "locked", "the room is presented by " + now->holder.name);
      problem.extra.emplace_back("holder", Json(now->holder.name));
      return WithRetry(std::move(problem), left);
    }
  }
  room.presenter = {owner, token, clock_.steady_ms() + kPresenterTtlMs};
  Remember(room, owner.connection);
  LookAt(room, room.presenter->ends_ms);
  TellPresenter(room);
  return PresenterGrant{token, kPresenterTtlMs};
}

Answer<PresenterGrant> EmbeddedControl::RenewPresenter(const RoomKey& key, std::string_view token) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  PresenterToken* now = room ? LivePresenter(*room) : nullptr;
  if (!now || !EqualInConstantTime(now->token, token))
    return Problem(409, "lock-lost", "the presenter token expired, was released or was taken over: request it again");
  now->ends_ms = clock_.steady_ms() + kPresenterTtlMs;  // nobody needs to be told
  LookAt(*room, now->ends_ms);
  return PresenterGrant{now->token, kPresenterTtlMs};
}

Answer<bool> EmbeddedControl::ReleasePresenter(const RoomKey& key, std::string_view token, bool force) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  const PresenterToken* now = room ? LivePresenter(*room) : nullptr;
  if (!now || (!force && !EqualInConstantTime(now->token, token)))
    return Problem(409, "lock-lost", "the presenter token expired, was released or was taken over");
  EndPresenter(*room);
  return true;
}

std::optional<PresenterInfo> EmbeddedControl::Presenter(const RoomKey& key) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  const PresenterToken* now = room ? LivePresenter(*room) : nullptr;
  if (!now) return std::nullopt;
  return PresenterInfo{now->holder, now->ends_ms - clock_.steady_ms()};
}

bool EmbeddedControl::IsPresenter(const RoomKey& key, std::string_view connection, std::string_view token) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  const PresenterToken* now = room ? LivePresenter(*room) : nullptr;
  if (!now) return false;
  return (!connection.empty() && now->holder.connection == connection) ||
         (!token.empty() && EqualInConstantTime(now->token, token));
}

void EmbeddedControl::Recount(RoomState& room) {
  PresenceCounts counts;
  for (const auto& [name, client] : room.clients) ++(client.activity == Activity::kEditing ? counts.editors : counts.viewers);
  if (counts.viewers == room.counts.viewers && counts.editors == room.counts.editors) return;
  counts.updated_at_ns = clock_.wall_ns();
  room.counts = counts;
  if (listener_.on_presence) listener_.on_presence(room.key, counts);
}

PresenceCounts EmbeddedControl::Touch(const RoomKey& key, std::string_view client, Activity activity,
                                      std::string_view connection) {
  const std::lock_guard lock(mutex_);
  RoomState& room = StateOf(key);
  if (room.clients.size() >= kMaxClientsPerRoom && room.clients.count(std::string(client)) == 0) return room.counts;
  Client& there = room.clients[std::string(client)];
  there = {activity, std::string(connection), clock_.steady_ms() + kPresenceTtlMs};
  Remember(room, there.connection);
  LookAt(room, there.ends_ms);
  Recount(room);
  return room.counts;
}

void EmbeddedControl::Leave(const RoomKey& key, std::string_view client) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  if (room && room->clients.erase(std::string(client)) != 0) Recount(*room);
}

PresenceCounts EmbeddedControl::Presence(const RoomKey& key) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  if (!room) return {};
  const int64_t now = clock_.steady_ms();
  std::erase_if(room->clients, [&](const auto& item) { return item.second.ends_ms <= now; });
  Recount(*room);
  return room->counts;
}

void EmbeddedControl::OnConnectionGone(std::string_view connection) {
  const std::lock_guard lock(mutex_);
  if (connections_.count(std::string(connection)) != 0)
    gone_.emplace(clock_.steady_ms() + kConnectionGraceMs, std::string(connection));
}

void EmbeddedControl::OnConnectionResumed(std::string_view before, std::string_view now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(gone_, [&](const auto& item) { return item.second == before; });
  if (before == now) return;
  auto owned = connections_.extract(std::string(before));
  if (owned.empty()) return;
  for (const uint64_t incarnation : owned.mapped()) {
    const auto at = rooms_.find(incarnation);
    if (at == rooms_.end()) continue;
    const auto hand_over = [&](std::string& connection) {
      if (connection == before) connection = now;
    };
    for (auto& [target, held] : at->second.locks) hand_over(held.holder.connection);
    for (auto& [name, client] : at->second.clients) hand_over(client.connection);
    if (at->second.presenter) hand_over(at->second.presenter->holder.connection);
  }
  connections_[std::string(now)].merge(owned.mapped());
}

void EmbeddedControl::ReleaseConnection(const std::string& connection) {
  auto owned = connections_.extract(connection);
  if (owned.empty()) return;
  for (const uint64_t incarnation : owned.mapped()) {
    const auto at = rooms_.find(incarnation);
    if (at == rooms_.end()) continue;
    RoomState& room = at->second;
    for (auto held = room.locks.begin(); held != room.locks.end();) {
      const auto next = std::next(held);
      if (held->second.holder.connection == connection) EndLock(room, held);
      held = next;
    }
    if (room.presenter && room.presenter->holder.connection == connection) EndPresenter(room);
    std::erase_if(room.clients, [&](const auto& item) { return item.second.connection == connection; });
    Recount(room);
    if (room.idle()) rooms_.erase(at);
  }
}

void EmbeddedControl::EndFrames(const RoomKey& key, std::span<const FrameId> frames) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  if (!room || room->locks.empty()) return;
  for (const FrameId frame : frames) {
    const auto at = room->locks.find(LockTarget::Frame(frame));
    if (at != room->locks.end()) EndLock(*room, at);
  }
}

void EmbeddedControl::EndRoom(const RoomKey& key) {
  const std::lock_guard lock(mutex_);
  RoomState* room = FindState(key);
  if (!room) return;
  while (!room->locks.empty()) EndLock(*room, room->locks.begin());
  if (room->presenter) EndPresenter(*room);
  rooms_.erase(key.incarnation);
}

void EmbeddedControl::ExpireRoom(RoomState& room, int64_t now) {
  int64_t next = INT64_MAX;
  for (auto held = room.locks.begin(); held != room.locks.end();) {
    const auto following = std::next(held);
    if (held->second.ends_ms <= now) {
      EndLock(room, held);
    } else {
      next = std::min(next, held->second.ends_ms);
    }
    held = following;
  }
  if (LivePresenter(room)) next = std::min(next, room.presenter->ends_ms);
  std::erase_if(room.clients, [&](const auto& item) { return item.second.ends_ms <= now; });
  for (const auto& [name, client] : room.clients) next = std::min(next, client.ends_ms);
  Recount(room);
  room.looked_at_ms = INT64_MAX;
  // Not at every millisecond, should there be many: whoever asks meanwhile finds it over all the same.
  if (next != INT64_MAX) LookAt(room, std::max(next, now + kMinLookMs));
}

int64_t EmbeddedControl::Expire(int64_t at_most_ms) {
  const std::lock_guard lock(mutex_);
  const int64_t now = clock_.steady_ms();
  while (!gone_.empty() && gone_.begin()->first <= now) {
    const std::string connection = gone_.begin()->second;
    gone_.erase(gone_.begin());
    ReleaseConnection(connection);
  }
  while (!due_.empty() && due_.top().first <= now) {
    const Due due = due_.top();
    due_.pop();
    const auto at = rooms_.find(due.second);
    if (at == rooms_.end() || at->second.looked_at_ms != due.first) continue;  // it was looked at meanwhile
    ExpireRoom(at->second, now);
    if (at->second.idle()) rooms_.erase(at);
  }
  int64_t next = at_most_ms;
  if (!due_.empty()) next = std::min(next, due_.top().first - now);
  if (!gone_.empty()) next = std::min(next, gone_.begin()->first - now);
  return std::max<int64_t>(0, next);
}

}  // namespace zn::server
