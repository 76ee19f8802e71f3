#include "events/hub.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <thread>

#include "server/support/fake_loop.h"

namespace zn::server {
namespace {

struct Seen final : Follower {
  std::vector<EventRef> events;
  std::function<void(const EventRef&)> then;
  void OnEvent(const EventRef& event) override {
    events.push_back(event);
    if (then) then(event);
  }
  std::vector<uint64_t> Sequences() const {
    std::vector<uint64_t> out;
    for (const EventRef& event : events) out.push_back(event->sequence());
    return out;
  }
};

using Sequence = std::vector<uint64_t>;

void PublishN(EventHub& hub, std::string_view room, int n) {
  for (int i = 0; i < n; ++i) hub.Publish(room, "e", "{\"n\":" + std::to_string(i) + "}");
}

TEST(EventPosition, ReadsBackWhatItPrints) {
  EXPECT_EQ(EventPosition::Parse("7:19"), (EventPosition{7, 19}));
  EXPECT_EQ((EventPosition{7, 19}).ToString(), "7:19");
  for (const char* bad :
       {"", ":", "7", "7:", ":1", "7:1x", "-1:2", "7:1:2", "99999999999999999999:1"})
    EXPECT_FALSE(EventPosition::Parse(bad)) << bad;
}

TEST(EventHub, EventsCarryTheirPosition) {
  EventHub hub({42});
  FakeLoop loop;
  Seen seen;
  (void)hub.Follow(loop, "md", std::nullopt, &seen);
  hub.Publish("md", "lock:update", "{\"roomId\":\"md\"}");
  hub.Publish("md", "empty", "{}");
  loop.Run();
  hub.Publish("md", "queue:update", "{\"position\":3}");
  loop.Run();
  ASSERT_EQ(seen.events.size(), 3u);
  EXPECT_EQ(seen.events[2]->data(), "{\"position\":3,\"eventPosition\":\"42:3\"}");
  EXPECT_EQ(seen.events[0]->data(), "{\"roomId\":\"md\",\"position\":\"42:1\"}");
  EXPECT_EQ(seen.events[1]->data(), "{\"position\":\"42:2\"}");
}

// Who reads Zn-Position and then follows from there must see every later event once.
TEST(EventHub, FollowingFromAPositionMissesNothingAndRepeatsNothing) {
  EventHub hub;
  FakeLoop loop;
  PublishN(hub, "md", 3);
  const EventPosition position = hub.position("md");
  PublishN(hub, "md", 2);
  Seen seen;
  auto followed = hub.Follow(loop, "md", position, &seen);
  EXPECT_FALSE(followed.resync);
  EXPECT_EQ(followed.position.sequence, 5u);
  EXPECT_EQ(seen.Sequences(), (Sequence{4, 5})) << "what was missed comes at once";
  PublishN(hub, "md", 1);
  loop.Run();
  EXPECT_EQ(seen.Sequences(), (Sequence{4, 5, 6}));
}

// An event that waits in the loop's queue when somebody joins is in the replay, or behind it, not
// both.
TEST(EventHub, EventsOnTheirWayAreNotRepeated) {
  EventHub hub;
  FakeLoop loop;
  Seen first, second;
  (void)hub.Follow(loop, "md", std::nullopt, &first);
  PublishN(hub, "md", 2);  // posted to the loop, not yet handed out
  (void)hub.Follow(loop, "md", EventPosition{1, 1}, &second);
  loop.Run();
  EXPECT_EQ(first.Sequences(), (Sequence{1, 2}));
  EXPECT_EQ(second.Sequences(), (Sequence{2}));
}

TEST(EventHub, AsksForAResyncWhenItCannotTell) {
  HubOptions options;
  options.events_per_topic = 3;
  EventHub hub(options);
  FakeLoop loop;
  PublishN(hub, "md", 5);
  Seen seen;
  EXPECT_TRUE(hub.Follow(loop, "md", EventPosition{1, 1}, &seen).resync) << "too old";
  EXPECT_TRUE(hub.Follow(loop, "md", EventPosition{1, 6}, &seen).resync) << "from the future";
  EXPECT_TRUE(hub.Follow(loop, "md", EventPosition{2, 5}, &seen).resync) << "another epoch";
  EXPECT_TRUE(seen.events.empty());
  EXPECT_FALSE(hub.Follow(loop, "md", EventPosition{1, 2}, &seen).resync) << "just kept";
  EXPECT_EQ(seen.Sequences(), (Sequence{3, 4, 5}));
  EXPECT_EQ(hub.stats().resyncs, 3u);
}

// A replay that does not fit into what may wait for a client would get it dropped each time it comes back.
TEST(EventHub, LongReplaysBecomeAResync) {
  HubOptions options;
  options.max_replay = 5000;
  EventHub hub(options);
  FakeLoop loop;
  Seen seen;
  for (int i = 0; i < 4; ++i) hub.Publish("md", "e", "{\"text\":\"" + std::string(2000, 'x') + "\"}");
  EXPECT_TRUE(hub.Follow(loop, "md", EventPosition{1, 0}, &seen).resync);
  EXPECT_FALSE(hub.Follow(loop, "md", EventPosition{1, 2}, &seen).resync);
  EXPECT_EQ(seen.Sequences(), (Sequence{3, 4}));
}

TEST(EventHub, HistoriesTogetherAreBoundedInBytes) {
  HubOptions options;
  options.max_bytes = 20'000;
  EventHub hub(options);
  FakeLoop loop;
  for (int round = 0; round < 100; ++round)
    for (const char* room : {"a", "b", "c"}) PublishN(hub, room, 1 + round % 3);
  EXPECT_LE(hub.stats().kept_bytes, options.max_bytes);
  EXPECT_GT(hub.stats().kept_events, 10u);
  // What is left is the newest of each, without a gap.
  for (const char* room : {"a", "b", "c"}) {
    const uint64_t now = hub.position(room).sequence;
    Seen seen;
    uint64_t since = now;
    while (since > 0 && !hub.Follow(loop, room, EventPosition{1, since - 1}, &seen).resync) {
      hub.Unfollow(loop, room, &seen);
      --since;
    }
    EXPECT_LT(since, now) << room;
    EXPECT_GT(since, 0u) << room;
  }
}

TEST(EventHub, RoomUpdatesGoToTheRoomAndTheOverview) {
  EventHub hub;
  FakeLoop loop;
  Seen room, overview;
  (void)hub.Follow(loop, "md", std::nullopt, &room);
  (void)hub.Follow(loop, kOverview, std::nullopt, &overview);
  hub.PublishToBoth("md", "room:update", "{\"roomId\":\"md\"}");
  hub.PublishToBoth("other", "room:update", "{\"roomId\":\"other\"}");
  loop.Run();
  EXPECT_EQ(room.Sequences(), (Sequence{1}));
  ASSERT_EQ(overview.Sequences(), (Sequence{1, 2}));
  EXPECT_EQ(overview.events[1]->room(), "other");
}

TEST(EventHub, VolatileEventsAreNotKept) {
  EventHub hub;
  FakeLoop loop;
  Seen now, later;
  (void)hub.Follow(loop, "md", std::nullopt, &now);
  hub.PublishVolatile("md", "presence", "{}");
  (void)hub.Follow(loop, "md", EventPosition{1, 0}, &later);
  loop.Run();
  EXPECT_EQ(now.events.size(), 1u);
  EXPECT_EQ(hub.position("md").sequence, 0u);
}

TEST(EventHub, FollowersMayLeaveAndJoinWhileTheyAreCalled) {
  EventHub hub;
  FakeLoop loop;
  Seen a, b, c;
  a.then = [&](const EventRef&) { hub.Unfollow(loop, "md", &b); };
  c.then = [&](const EventRef& event) {
    if (event->sequence() == 1) {
      hub.Unfollow(loop, "md", &c);
      (void)hub.Follow(loop, "md", EventPosition{1, 1}, &c);
    }
  };
  for (Seen* seen : {&a, &b, &c}) (void)hub.Follow(loop, "md", std::nullopt, seen);
  PublishN(hub, "md", 3);
  loop.Run();
  EXPECT_EQ(a.Sequences(), (Sequence{1, 2, 3}));
  a.then = nullptr;
  EXPECT_EQ(b.Sequences(), Sequence{}) << "it had left before its turn";
  EXPECT_EQ(c.Sequences(), (Sequence{1, 2, 3}));
  hub.Unfollow(loop, "md", &a);
  hub.Unfollow(loop, "md", &c);
  EXPECT_EQ(hub.stats().followers, 0u);
}

// Whatever is published, kept, joined and left: a follower that never resyncs sees 1, 2, 3, ...
RC_GTEST_PROP(EventHub, EveryFollowerSeesARunWithoutGaps, ()) {
  HubOptions options;
  options.events_per_topic = *rc::gen::inRange<size_t>(1, 6);
  EventHub hub(options);
  FakeLoop loop;
  struct Client {
    Seen seen;
    bool following = false;
    EventPosition last;
  };
  std::array<Client, 4> clients;
  for (int step = 0; step < 60; ++step) {
    const int what = *rc::gen::inRange(0, 5);
    Client& client = clients[*rc::gen::inRange<size_t>(0, 4)];
    if (what <= 1) {
      PublishN(hub, "md", *rc::gen::inRange(1, 4));
    } else if (what == 2) {
      loop.Run();
    } else if (client.following) {
      hub.Unfollow(loop, "md", &client.seen);
      client.following = false;
      if (!client.seen.events.empty()) client.last = {1, client.seen.events.back()->sequence()};
    } else {
      if (client.last.epoch == 0) client.last = hub.position("md");
      auto followed = hub.Follow(loop, "md", client.last, &client.seen);
      RC_ASSERT(followed.resync ==
                (hub.position("md").sequence - client.last.sequence > options.events_per_topic));
      if (followed.resync) {  // looks at the room afresh
        client.seen.events.clear();
        client.last = followed.position;
      }
      client.following = !followed.resync;
    }
  }
  loop.Run();
  for (Client& client : clients) {
    const Sequence seen = client.seen.Sequences();
    for (size_t i = 1; i < seen.size(); ++i) RC_ASSERT(seen[i] == seen[i - 1] + 1);
    if (client.following && !seen.empty()) RC_ASSERT(seen.back() == hub.position("md").sequence);
    if (client.following) hub.Unfollow(loop, "md", &client.seen);
  }
}

// The position that a reader loads without a lock never runs ahead of what following gives.
TEST(EventHub, PublishingFromManyThreadsKeepsOneOrder) {
  HubOptions options;
  options.events_per_topic = 100'000;
  options.max_replay = 8 << 20;
  EventHub hub(options);
  const TopicSequence* sequence = hub.sequence("md");
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w)
    writers.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        const uint64_t before = sequence->load();
        hub.Publish("md", "e", "{}");
        EXPECT_GT(sequence->load(), before);
      }
    });
  for (std::thread& writer : writers) writer.join();
  FakeLoop loop;
  Seen seen;
  (void)hub.Follow(loop, "md", EventPosition{1, 0}, &seen);
  ASSERT_EQ(seen.events.size(), 8000u);
  for (size_t i = 0; i < seen.events.size(); ++i) EXPECT_EQ(seen.events[i]->sequence(), i + 1);
}

}  // namespace
}  // namespace zn::server
