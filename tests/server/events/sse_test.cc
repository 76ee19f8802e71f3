#include "events/sse.h"

#include <gtest/gtest.h>

#include "server/support/fake_channel.h"

namespace zn::server {
namespace {

class SseTest : public ::testing::Test {
 protected:
  std::shared_ptr<ChannelOwner> Open(SseRequest request) {
    request.topic = "md";
    if (!request.state)
      request.state = [this](const EventPosition& position) -> std::optional<std::string> {
        if (on_state) on_state();
        return "{\"position\":\"" + position.ToString() + "\"}";
      };
    FollowOptions options;
    options.max_unsent = 1000;
    options.heartbeat_ms = 100;
    auto owner = MakeSseStream(&hub_, options, std::move(request));
    owner->OnOpen(channel_);
    loop_.Run();
    return owner;
  }
  std::string Heard() { return std::exchange(channel_->text, {}); }

  EventHub hub_{{7}};
  FakeLoop loop_;
  std::shared_ptr<FakeChannel> channel_ = std::make_shared<FakeChannel>(&loop_);
  std::function<void()> on_state;
};

TEST_F(SseTest, StreamsEventsWithTheirIds) {
  auto owner = Open({});
  EXPECT_EQ(Heard(), "retry: 1000\nid: 7:0\n\n") << "a place to resume from, even before any event";
  hub_.Publish("md", "lock:update", "{\"target\":\"frame:3\"}");
  hub_.PublishVolatile("md", "frame_update", "{\"frame\":1}");
  hub_.Publish("other", "lock:update", "{}");
  loop_.Run();
  EXPECT_EQ(Heard(),
            "id: 7:1\nevent: lock:update\ndata: {\"target\":\"frame:3\",\"position\":\"7:1\"}\n\n"
            "event: frame_update\ndata: {\"frame\":1}\n\n");
  owner->OnClosed();
  hub_.Publish("md", "lock:update", "{}");
  loop_.Run();
  EXPECT_EQ(Heard(), "");
  EXPECT_EQ(hub_.stats().followers, 0u);
}

TEST_F(SseTest, EndsWithAReasonWhenItsCredentialsDo) {
  std::optional<std::string> over;
  SseRequest request;
  request.over = [&over] { return over; };
  auto owner = Open(std::move(request));
  loop_.Advance(5000);
  EXPECT_FALSE(channel_->ended);
  over = "the token was revoked";
  (void)Heard();
  loop_.Advance(1000);
  EXPECT_TRUE(channel_->ended);
  EXPECT_EQ(Heard(), "event: dropped\ndata: {\"reason\":\"the token was revoked\"}\n\n");
  hub_.Publish("md", "lock:update", "{}");
  loop_.Advance(5000);
  EXPECT_EQ(hub_.stats().followers, 0u);
  EXPECT_EQ(hub_.stats().dropped, 0u) << "which counts those that do not read";
  owner->OnClosed();
}

TEST_F(SseTest, AnEventWithAPositionOfItsOwnHasAnId) {
  auto owner = Open({});
  (void)Heard();
  hub_.Publish("md", "queue:update", "{\"position\":3}");
  loop_.Run();
  EXPECT_EQ(Heard(),
            "id: 7:1\nevent: queue:update\ndata: {\"position\":3,\"eventPosition\":\"7:1\"}\n\n");
  owner->OnClosed();
}

TEST_F(SseTest, ResumesWhereTheClientWas) {
  for (int i = 0; i < 3; ++i) hub_.Publish("md", "e", "{}");
  SseRequest request;
  request.since = EventPosition{7, 1};
  auto owner = Open(std::move(request));
  EXPECT_EQ(Heard(),
            "id: 7:2\nevent: e\ndata: {\"position\":\"7:2\"}\n\n"
            "id: 7:3\nevent: e\ndata: {\"position\":\"7:3\"}\n\n");
  owner->OnClosed();
}

// What happens while the state is read comes behind the resync: nothing falls between.
TEST_F(SseTest, ResyncTellsTheStateAndThenWhatCameAfter) {
  hub_.Publish("md", "e", "{}");
  on_state = [this] { hub_.Publish("md", "late", "{}"); };
  SseRequest request;
  request.since = EventPosition{6, 900};
  auto owner = Open(std::move(request));
  EXPECT_EQ(Heard(),
            "id: 7:1\nevent: resync\ndata: {\"position\":\"7:1\"}\n\n"
            "id: 7:2\nevent: late\ndata: {\"position\":\"7:2\"}\n\n");
  owner->OnClosed();
}

TEST_F(SseTest, ARoomThatIsGoneEndsTheStream) {
  SseRequest request;
  request.resync = true;
  request.state = [](const EventPosition&) { return std::nullopt; };
  auto owner = Open(std::move(request));
  EXPECT_TRUE(channel_->ended);
  owner->OnClosed();
}

TEST_F(SseTest, BeatsWhileNothingHappens) {
  auto owner = Open({});
  Heard();
  loop_.Advance(250);
  EXPECT_EQ(Heard(), ":\n\n:\n\n");
  owner->OnClosed();
  loop_.Advance(1000);
  EXPECT_EQ(Heard(), "");
}

TEST_F(SseTest, SlowClientsAreToldWhyAndDropped) {
  auto owner = Open({});
  channel_->waiting = 990;
  hub_.Publish("md", "e", "{}");
  loop_.Run();
  EXPECT_EQ(Heard(),
            "event: dropped\ndata: {\"reason\":\"more than 1000 bytes waited to be read\"}\n\n");
  EXPECT_TRUE(channel_->ended);
  EXPECT_EQ(hub_.stats().dropped, 1u);
  EXPECT_EQ(hub_.stats().followers, 0u);
  owner->OnClosed();
}

TEST_F(SseTest, HidesWhatTheClientMayNotSee) {
  SseRequest request;
  request.visible = [](const Event& event) { return event.name() != "secret"; };
  auto owner = Open(std::move(request));
  Heard();
  hub_.Publish("md", "secret", "{}");
  loop_.Run();
  EXPECT_EQ(Heard(), "");
  owner->OnClosed();
}

}  // namespace
}  // namespace zn::server
