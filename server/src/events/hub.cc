#include "events/hub.h"

#include <algorithm>
#include <utility>

#include "http/loop.h"

namespace zn::server {

struct EventHub::Topic {
  explicit Topic(std::string topic_name) : name(std::move(topic_name)) {}
  const std::string name;
  TopicSequence sequence{0};
  std::deque<EventRef> kept;                    // consecutive, the newest is `sequence`
  std::vector<std::pair<Desk*, size_t>> desks;  // and how many followers each has
};

// The followers on one loop.
struct EventHub::Desk {
  explicit Desk(Loop* owner) : loop(owner) {}
  Loop* const loop;

  // Guarded by the hub's mutex:
  std::vector<EventRef> inbox;
  bool woken = false;

  // Of the loop's thread:
  struct Place {
    Follower* follower;  // null: left while events were handed out
    uint64_t next;       // the first sequence that it has not seen
  };
  std::unordered_map<std::string, std::vector<Place>> places;
  bool handing_out = false;
};

EventHub::EventHub(const HubOptions& options) : options_(options) {}
EventHub::~EventHub() = default;

EventHub::Topic* EventHub::Find(std::string_view name) {
  std::string key(name);
  std::unique_ptr<Topic>& topic = topics_[key];
  if (!topic) topic = std::make_unique<Topic>(std::move(key));
  return topic.get();
}

EventHub::Desk* EventHub::DeskOf(Loop& loop) {
  for (const auto& desk : desks_)
    if (desk->loop == &loop) return desk.get();
  desks_.push_back(std::make_unique<Desk>(&loop));
  return desks_.back().get();
}

void EventHub::HandOut(Topic* topic, EventRef event, std::vector<Desk*>* wake) {
  ++published_;
  if (closed_) return;
  for (const auto& [desk, followers] : topic->desks) {
    desk->inbox.push_back(event);
    if (!std::exchange(desk->woken, true)) wake->push_back(desk);
  }
}

void EventHub::Append(Topic* topic, std::string_view room, std::string_view name, std::string data,
                      std::vector<Desk*>* wake) {
  const uint64_t sequence = topic->sequence.load(std::memory_order_relaxed) + 1;
  // {...} -> {...,"position":"epoch:sequence"}
  data.pop_back();
  if (data.size() > 1) data += ',';
  data += '"' + std::string(PositionMember(name)) + "\":\"";
  data += EventPosition{options_.epoch, sequence}.ToString() + "\"}";
  auto event = std::make_shared<const Event>(topic->name, std::string(room), std::string(name),
                                             std::move(data), sequence);
  topic->kept.push_back(event);
  oldest_.emplace_back(topic, sequence);
  ++kept_events_;
  kept_bytes_ += event->size();
  if (topic->kept.size() > options_.events_per_topic) {
    kept_bytes_ -= topic->kept.front()->size();
    --kept_events_;
    topic->kept.pop_front();
  }
  Forget();
  topic->sequence.store(sequence, std::memory_order_release);
  HandOut(topic, std::move(event), wake);
}

void EventHub::Forget() {
  auto forgotten = [](const std::pair<Topic*, uint64_t>& entry) {
    const auto& kept = entry.first->kept;
    return kept.empty() || kept.front()->sequence() > entry.second;
  };
  while (kept_bytes_ > options_.max_bytes && !oldest_.empty()) {
    Topic* topic = oldest_.front().first;
    if (!forgotten(oldest_.front())) {
      kept_bytes_ -= topic->kept.front()->size();
      --kept_events_;
      topic->kept.pop_front();
    }
    oldest_.pop_front();
  }
  // Rings that overflowed leave entries behind the first one that is still kept.
  if (oldest_.size() > 64 + 2 * kept_events_) std::erase_if(oldest_, forgotten);
}

void EventHub::Wake(const std::vector<Desk*>& desks) {
  for (Desk* desk : desks) desk->loop->Post([this, desk] { Deliver(this, desk); });
}

void EventHub::Publish(std::string_view room, std::string_view name, std::string data) {
  std::vector<Desk*> wake;
  std::lock_guard lock(mutex_);
  Append(Find(room), room, name, std::move(data), &wake);
  Wake(wake);
}

void EventHub::PublishToBoth(std::string_view room, std::string_view name,
                             const std::string& data) {
  std::vector<Desk*> wake;
  std::lock_guard lock(mutex_);
  Append(Find(room), room, name, data, &wake);
  Append(Find(kOverview), room, name, data, &wake);
  Wake(wake);
}

void EventHub::PublishVolatile(std::string_view topic, std::string_view name, std::string data) {
  std::vector<Desk*> wake;
  std::lock_guard lock(mutex_);
  Topic* found = Find(topic);
  if (found->desks.empty()) return;
  HandOut(found,
          std::make_shared<const Event>(found->name, found->name, std::string(name),
                                        std::move(data), 0),
          &wake);
  Wake(wake);
}

void EventHub::Deliver(EventHub* hub, Desk* desk) {
  std::vector<EventRef> events;
  {
    std::lock_guard lock(hub->mutex_);
    desk->woken = false;
    events.swap(desk->inbox);
  }
  uint64_t delivered = 0;
  desk->handing_out = true;
  for (const EventRef& event : events) {
    auto found = desk->places.find(event->topic());
    if (found == desk->places.end()) continue;
    // Node-based: the reference holds while others join other topics; the vector may grow.
    std::vector<Desk::Place>& places = found->second;
    for (size_t i = 0; i < places.size(); ++i) {
      if (!places[i].follower) continue;
      if (event->sequence() != 0) {
        if (event->sequence() < places[i].next) continue;
        places[i].next = event->sequence() + 1;
      }
      ++delivered;
      places[i].follower->OnEvent(event);
    }
  }
  desk->handing_out = false;
  for (auto topic = desk->places.begin(); topic != desk->places.end();) {
    std::erase_if(topic->second, [](const Desk::Place& place) { return !place.follower; });
    topic = topic->second.empty() ? desk->places.erase(topic) : std::next(topic);
  }
  hub->delivered_.fetch_add(delivered, std::memory_order_relaxed);
}

EventHub::Followed EventHub::Follow(Loop& loop, std::string_view topic,
                                    std::optional<EventPosition> since, Follower* follower) {
  std::vector<EventRef> missed;
  Desk* desk = nullptr;
  uint64_t now = 0;
  {
    std::lock_guard lock(mutex_);
    Topic* found = Find(topic);
    now = found->sequence.load(std::memory_order_relaxed);
    if (since) {
      if (since->epoch != options_.epoch || since->sequence > now ||
          now - since->sequence > found->kept.size()) {
        ++resyncs_;
        return {true, {options_.epoch, now}};
      }
      missed.assign(found->kept.end() - static_cast<std::ptrdiff_t>(now - since->sequence),
                    found->kept.end());
      size_t bytes = 0;
      for (const EventRef& event : missed) bytes += event->size();
      if (bytes > options_.max_replay) {
        ++resyncs_;
        return {true, {options_.epoch, now}};
      }
    }
    desk = DeskOf(loop);
    auto entry = std::find_if(found->desks.begin(), found->desks.end(),
                              [&](const auto& item) { return item.first == desk; });
    if (entry == found->desks.end()) {
      found->desks.emplace_back(desk, 1);
    } else {
      ++entry->second;
    }
    ++followers_;
  }
  // What is published from here on is in the desk's inbox, behind this task.
  desk->places[std::string(topic)].push_back({follower, now + 1});
  for (const EventRef& event : missed) follower->OnEvent(event);
  return {false, {options_.epoch, now}};
}

void EventHub::Unfollow(Loop& loop, std::string_view topic, Follower* follower) {
  Desk* desk = nullptr;
  {
    std::lock_guard lock(mutex_);
    desk = DeskOf(loop);
  }
  auto found = desk->places.find(std::string(topic));
  if (found == desk->places.end()) return;
  auto place = std::find_if(found->second.begin(), found->second.end(),
                            [&](const Desk::Place& p) { return p.follower == follower; });
  if (place == found->second.end()) return;
  if (desk->handing_out) {
    place->follower = nullptr;
  } else {
    *place = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) desk->places.erase(found);
  }
  std::lock_guard lock(mutex_);
  --followers_;
  auto& desks = Find(topic)->desks;
  auto entry = std::find_if(desks.begin(), desks.end(),
                            [&](const auto& item) { return item.first == desk; });
  if (--entry->second == 0) desks.erase(entry);
}

EventPosition EventHub::position(std::string_view topic) const {
  std::lock_guard lock(mutex_);
  auto found = topics_.find(std::string(topic));
  return {options_.epoch, found == topics_.end() ? 0 : found->second->sequence.load()};
}

const TopicSequence* EventHub::sequence(std::string_view topic) {
  std::lock_guard lock(mutex_);
  return &Find(topic)->sequence;
}

void EventHub::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

EventHub::Stats EventHub::stats() const {
  std::lock_guard lock(mutex_);
  return {published_,     delivered_.load(std::memory_order_relaxed),
          resyncs_,       dropped_.load(std::memory_order_relaxed),
          topics_.size(), followers_,
          kept_events_,   kept_bytes_};
}

}  // namespace zn::server
