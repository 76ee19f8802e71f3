// The event hub: one ordered history for each room and one for the overview, and everyone who
// follows them.
//
// Histories live in memory: a bounded ring for each topic, and a bound on the bytes of all. A
// client that missed no more than the ring holds resumes exactly where it was; another learns that
// it has to look at the room afresh ("resync"). Epochs tell histories of different server runs
// apart.
//
// Publishing never waits for a follower. An event is appended under the hub's mutex and handed to
// the desks (one per I/O thread) that have followers of its topic, one task for any number of
// events; there each follower gets it on its own thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "events/event.h"

namespace zn::server {

class Loop;

struct HubOptions {
  uint64_t epoch = 1;  // another one at each start
  size_t events_per_topic = 1000;
  size_t max_bytes = 16 << 20;  // of all histories
  /// Who missed more bytes than this looks at the room afresh: a replay must fit into what may wait for a
  /// client (FollowOptions::max_unsent), or it would be dropped for it each time it came back.
  size_t max_replay = 512 << 10;
};

/// The sequence of a topic's newest event, to be read without a lock.
using TopicSequence = std::atomic<uint64_t>;

class Follower {
 public:
  virtual ~Follower() = default;
  /// On the loop that it follows on; may follow and unfollow.
  virtual void OnEvent(const EventRef& event) = 0;
};

class EventHub {
 public:
  explicit EventHub(const HubOptions& options = {});
  ~EventHub();
  EventHub(const EventHub&) = delete;

  // From any thread, in the order in which followers shall see it. `data` is a JSON object's text.

  void Publish(std::string_view room, std::string_view name, std::string data);
  /// To the room's history and to the overview's. Those who follow both get the room's copy only
  /// (Event::room tells).
  void PublishToBoth(std::string_view room, std::string_view name, const std::string& data);
  /// To those who follow now; not kept.
  void PublishVolatile(std::string_view topic, std::string_view name, std::string data);

  /// What stands behind a position that is read *before* the room's state is not in that state, or
  /// is there already: who follows from it misses nothing.
  EventPosition position(std::string_view topic) const;
  /// To be kept by who asks often, about topics that exist. Good as long as the hub.
  const TopicSequence* sequence(std::string_view topic);
  uint64_t epoch() const { return options_.epoch; }

  struct Followed {
    bool resync = false;  // `since` is too old, from the future or of another epoch: not followed
    EventPosition position;  // behind the last event that OnEvent was given, or now
  };
  /// On `loop`'s thread: from now on `follower` gets the topic's events there; those behind `since`
  /// are given to it before this returns. It must unfollow before it dies. Once per follower and
  /// topic.
  Followed Follow(Loop& loop, std::string_view topic, std::optional<EventPosition> since,
                  Follower* follower);
  void Unfollow(Loop& loop, std::string_view topic, Follower* follower);

  /// A follower was dropped for not reading.
  void CountDropped() { dropped_.fetch_add(1, std::memory_order_relaxed); }

  /// No event is handed to a loop from now on: before the loops end.
  void Close();

  struct Stats {
    uint64_t published = 0, delivered = 0, resyncs = 0, dropped = 0;
    size_t topics = 0, followers = 0, kept_events = 0, kept_bytes = 0;
  };
  Stats stats() const;

 private:
  struct Topic;
  struct Desk;

  Topic* Find(std::string_view name);  // REQUIRES: mutex_; made when there is none
  Desk* DeskOf(Loop& loop);            // REQUIRES: mutex_
  void Append(Topic* topic, std::string_view room, std::string_view name, std::string data,
              std::vector<Desk*>* wake);
  void HandOut(Topic* topic, EventRef event, std::vector<Desk*>* wake);
  void Forget();  // REQUIRES: mutex_; what is over max_bytes
  static void Deliver(EventHub* hub, Desk* desk);
  void Wake(const std::vector<Desk*>& desks);

  const HubOptions options_;
  mutable std::mutex mutex_;
  // Guarded by mutex_. Topics stay, so that a sequence never starts again.
  std::unordered_map<std::string, std::unique_ptr<Topic>> topics_;
  std::vector<std::unique_ptr<Desk>> desks_;
  std::deque<std::pair<Topic*, uint64_t>> oldest_;  // every kept event, and some forgotten ones
  size_t kept_events_ = 0, kept_bytes_ = 0, followers_ = 0;
  uint64_t published_ = 0, resyncs_ = 0;
  bool closed_ = false;
  std::atomic<uint64_t> delivered_{0}, dropped_{0};
};

}  // namespace zn::server
