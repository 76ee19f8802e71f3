#include "events/control_events.h"

#include <nlohmann/json.hpp>

#include "api/locks.h"
#include "api/service.h"
#include "api/state.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr size_t kMaxEventValue = 4096;  // bytes of JSON; larger values are asked for

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

ControlEvents::ControlEvents(Service* service) : service_(service), thread_([this] { Run(); }) {}

ControlEvents::~ControlEvents() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

ControlListener ControlEvents::Listener() {
  ControlListener listener;
  listener.on_lock = [this](const RoomKey& room, LockTarget target, const LockInfo* lock) {
    service_->lock_audit.Note(room, target, lock, service_->clock.wall_ns());
    Add([this, room, target, info = lock ? std::optional(*lock) : std::nullopt] {
      PublishLock(room, target, info);
    });
  };
  listener.on_presenter = [this](const RoomKey& room, const PresenterInfo*) {
    Add([this, room] {
      service_->events->PublishToBoth(
          room.name, "room:update",
          Dump({{"roomId", room.name}, {"presenterSid", PresenterJson(*service_, room)}}));
    });
  };
  listener.on_presence = [this](const RoomKey& room, const PresenceCounts& counts) {
    Add([this, room, counts] {
      service_->events->PublishVolatile(room.name, "presence",
                                        Dump({{"roomId", room.name},
                                              {"viewers", counts.viewers},
                                              {"editors", counts.editors},
                                              {"updated_at", TimeText(counts.updated_at_ns)}}));
    });
  };
  return listener;
}

StateRecords::Listener ControlEvents::StateListener() {
  return [this](const RoomKey& room, const StateRecord& record) {
    Add([this, room, record] { PublishState(room, record); });
  };
}

std::optional<Snapshot> ControlEvents::HeadOf(const RoomKey& room) const {
  auto found = service_->store->OpenRoom(room.name);
  if (!found) return std::nullopt;
  auto head = (*found)->HeadOrError();
  if (!head || head->incarnation() != room.incarnation) return std::nullopt;
  return *head;
}

void ControlEvents::PublishState(const RoomKey& room, const StateRecord& record) {
  const auto head = HeadOf(room);
  if (!head) return;  // the room is gone, and its records
  json event = StateJson(*head, record);
  if (record.value.size() > kMaxEventValue) event.erase("value");
  event["deleted"] = record.deleted;
  event["roomId"] = room.name;
  service_->events->Publish(room.name, "state:update", Dump(event));
}

void ControlEvents::PublishLock(const RoomKey& room, LockTarget target,
                                const std::optional<LockInfo>& lock) {
  const auto head = HeadOf(room);
  if (!head) return;  // room:delete said so
  json event;
  if (lock) {
    event = LockJson(*head, *lock);
    event.erase("fence");
  } else {
    event = {{"target", LockTargetText(*head, target)},
             {"id", target.is_meta() ? json() : json(target.frame)},
             {"holder", nullptr},
             {"expires_in_ms", nullptr}};
  }
  event["roomId"] = room.name;
  service_->events->Publish(room.name, "lock:update", Dump(event));
  if (!target.is_meta()) return;
  service_->events->PublishToBoth(
      room.name, "room:update",
      Dump({{"roomId", room.name}, {"metadataLocked", MetadataLockJson(*service_, room)}}));
}

void ControlEvents::Add(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(task));
  }
  changed_.notify_all();
}

void ControlEvents::Flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !busy_; });
}

void ControlEvents::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    auto tasks = std::exchange(waiting_, {});
    busy_ = true;
    lock.unlock();
    for (auto& task : tasks) task();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace zn::server
