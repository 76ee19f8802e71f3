// Locks, fences and the presenter token by a clock of their own: if these fail, two people edit one frame at once and one
// of them loses what they made.

#include "control/locks.h"

#include <gtest/gtest.h>

#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn::server {
namespace {

class Locks : public testing::Test {
 protected:
  Locks() {
    StoreOptions options;
    options.create = true;
    options.threads = 1;
    options.background_maintenance = false;
    store_ = std::move(*Store::Open(directory_.path() + "/s", options));
    room_ = *store_->CreateRoom("r", {}, {});
    FrameBatch frames = Energy(1);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(room_->Append(frames, {}));
    key_ = {room_->Head().incarnation(), "r"};
    control_ = Control(store_->epoch());
    control_->SetListener({[this](const RoomKey&, LockTarget target, const LockInfo* lock) {
                             told_.push_back(target.ToString() + (lock ? " " + lock->holder.name : " free"));
                           },
                           [this](const RoomKey&, const PresenterInfo* presenter) {
                             told_.push_back(presenter ? "presenter " + presenter->holder.name : "no presenter");
                           },
                           [this](const RoomKey&, const PresenceCounts& counts) {
                             told_.push_back(std::to_string(counts.viewers) + "+" + std::to_string(counts.editors));
                           }});
  }

  std::unique_ptr<ControlState> Control(uint64_t epoch) {
    return MakeEmbeddedControl(epoch, {[this] { return now_ms_; }, [this] { return now_ms_ * 1'000'000; }});
  }
  static ControlState::AcquireOptions Options(std::optional<int64_t> ttl, bool force = false) {
    ControlState::AcquireOptions options;
    options.ttl_ms = ttl;
    options.force = force;
    return options;
  }
  LockGrant Take(LockTarget target, const std::string& name, const std::string& connection = "",
                 std::optional<int64_t> ttl = {}, bool force = false) {
    auto grant = control_->Acquire(key_, target, {name, connection}, Options(ttl, force));
    EXPECT_TRUE(grant) << grant.error().detail;
    return grant ? *grant : LockGrant();
  }
  int TakeStatus(LockTarget target, std::optional<int64_t> ttl = {}) {
    const auto answer = control_->Acquire(key_, target, {"ben", ""}, Options(ttl));
    return answer ? 200 : answer.error().status;
  }
  static WriteTargets Frames(std::span<const FrameId> frames, bool meta = false) {
    WriteTargets targets;
    targets.frames = frames;
    targets.meta = meta;
    return targets;
  }
  static WriteTargets Whole(bool all_frames) {
    WriteTargets targets;
    targets.meta = true;
    targets.all_frames = all_frames;
    return targets;
  }
  int Guarded(const WriteTargets& targets, const std::string& token = "", bool force = false) {
    auto guard = control_->Guard(key_, targets, token, force);
    return guard ? 200 : guard.error().status;
  }
  static FrameBatch Energy(double value) {
    FrameBatch frame;
    frame.n_atoms = {1};
    Column energy;
    energy.name = "calc.energy";
    energy.data = Buffer::Own(std::vector<double>{value});
    frame.columns = {energy};
    return frame;
  }
  /// An edit as a route makes it; its status.
  int Edit(WriteGuard& guard, double value) {
    CommitContext context;
    context.also = [&](RecordTransaction& t, const CommitInfo& made) { return guard.Commit(t, made); };
    const auto info = room_->Edit(kFrame, Energy(value), {}, context, {guard.base(kFrame)});
    return info ? 200 : guard.Explain(info.error()).status;
  }

  static constexpr FrameId kFrame = 1;
  const LockTarget frame_ = LockTarget::Frame(kFrame);
  const WriteTargets targets_ = Frames({&kFrame, 1});
  TempDir directory_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Room> room_;
  RoomKey key_;
  int64_t now_ms_ = 1000;
  std::unique_ptr<ControlState> control_;
  std::vector<std::string> told_;
};

TEST_F(Locks, ExcludeOthersUntilTheyEnd) {
  const LockGrant grant = Take(frame_, "ann");
  EXPECT_EQ(grant.token.size(), 64u);
  EXPECT_EQ(grant.expires_in_ms, 60'000);
  auto refused = control_->Acquire(key_, frame_, {"ben", ""}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 423);
  EXPECT_NE(refused.error().headers.find("Retry-After: 60\r\n"), std::string::npos);
  const std::string text = refused.error().ToJson("/x");
  EXPECT_NE(text.find("\"holder\":\"ann\""), std::string::npos) << text;
  EXPECT_EQ(text.find(grant.token), std::string::npos);
  Take(LockTarget::Frame(2), "ben");  // another frame is free
  now_ms_ += 59'999;
  EXPECT_EQ(TakeStatus(frame_), 423);
  now_ms_ += 1;
  const LockGrant next = Take(frame_, "ben");
  EXPECT_GT(next.fence, grant.fence);
  EXPECT_FALSE(control_->Refresh(key_, frame_, grant.token, {}, {})) << "its lock is another's now";
}

TEST_F(Locks, AreRefreshedReleasedAndListed) {
  const LockGrant grant = Take(frame_, "ann", "", 1000);
  now_ms_ += 900;
  ASSERT_TRUE(control_->Refresh(key_, frame_, grant.token, 2000, "\"busy\""));
  now_ms_ += 1900;
  const auto list = control_->List(key_);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].holder.name, "ann");
  EXPECT_EQ(list[0].message, "\"busy\"");
  EXPECT_EQ(list[0].expires_in_ms, 100);
  EXPECT_FALSE(control_->Release(key_, frame_, std::string(64, '0'), false));
  EXPECT_TRUE(control_->Release(key_, frame_, grant.token, false));
  EXPECT_FALSE(control_->Find(key_, frame_));
  EXPECT_FALSE(control_->Release(key_, frame_, grant.token, false));
  EXPECT_EQ(TakeStatus(frame_, kMaxLockTtlMs + 1), 400);
  EXPECT_EQ(TakeStatus(frame_, 0), 400);
}

TEST_F(Locks, OthersAreToldOfEveryChangeAndOfTheEnd) {
  const LockGrant grant = Take(frame_, "ann", "", 1000);
  EXPECT_TRUE(control_->Refresh(key_, frame_, grant.token, 1000, {}));
  EXPECT_EQ(control_->Expire(10'000), 1000);
  now_ms_ += 1000;
  (void)control_->Expire(10'000);
  EXPECT_EQ(told_, (std::vector<std::string>{"frame:id:1 ann", "frame:id:1 ann", "frame:id:1 free"}));
  told_.clear();
  Take(frame_, "ann");
  control_->EndFrames(key_, std::vector<FrameId>{kFrame});
  Take(LockTarget::Meta(), "ben");
  control_->EndRoom(key_);
  EXPECT_EQ(told_, (std::vector<std::string>{"frame:id:1 ann", "frame:id:1 free", "trajectory:meta ben",
                                             "trajectory:meta free"}));
}

TEST_F(Locks, AnAdminTakesThemByForce) {
  const LockGrant first = Take(frame_, "ann");
  const LockGrant second = Take(frame_, "root", "", {}, true);
  EXPECT_GT(second.fence, first.fence);
  EXPECT_EQ(Guarded(targets_, first.token), 409);
  EXPECT_EQ(Guarded(targets_, second.token), 200);
  EXPECT_EQ(Guarded(targets_, "", true), 200);
  EXPECT_TRUE(control_->Release(key_, frame_, "", true));
}

TEST_F(Locks, AConnectionsOwnEndAfterItsGraceUnlessItComesBack) {
  Take(frame_, "ann", "c1");
  Take(LockTarget::Meta(), "ann");
  control_->OnConnectionGone("c1");
  now_ms_ += kConnectionGraceMs - 1;
  (void)control_->Expire(1000);
  EXPECT_TRUE(control_->Find(key_, frame_));
  control_->OnConnectionResumed("c1", "c2");
  now_ms_ += 10;
  (void)control_->Expire(1000);
  EXPECT_TRUE(control_->Find(key_, frame_)) << "it came back";
  control_->OnConnectionGone("c2");
  now_ms_ += kConnectionGraceMs;
  (void)control_->Expire(1000);
  EXPECT_FALSE(control_->Find(key_, frame_));
  EXPECT_TRUE(control_->Find(key_, LockTarget::Meta())) << "taken over HTTP: it ends by its TTL";
}

TEST_F(Locks, WritersLearnWhetherTheyMay) {
  EXPECT_EQ(Guarded(targets_), 200);
  EXPECT_EQ(Guarded(targets_, "unknown"), 409);
  const LockGrant grant = Take(frame_, "ann");
  EXPECT_EQ(Guarded(targets_), 423);
  EXPECT_EQ(Guarded(targets_, grant.token), 200);
  EXPECT_EQ(Guarded(Whole(false)), 200) << "appending concerns no frame that is locked";
  EXPECT_EQ(Guarded(Whole(true)), 423) << "restoring concerns all";
  Take(LockTarget::Meta(), "ben");
  EXPECT_EQ(Guarded(Whole(false)), 423);
  EXPECT_EQ(Guarded(Frames({&kFrame, 1}, true), grant.token), 423) << "own frame, another's trajectory";
  const std::vector<FrameId> many = {2, 1, 0};
  EXPECT_EQ(Guarded(Frames(many)), 423);
  now_ms_ += 60'000;
  EXPECT_EQ(Guarded(Frames(many)), 200);
  EXPECT_EQ(Guarded(targets_, grant.token), 409) << "expired";
}

TEST_F(Locks, AHoldersWritesAreBasedOnWhatItKnows) {
  const LockGrant grant = Take(frame_, "ann");
  control_->SetBase(key_, frame_, grant.fence, 1);
  for (uint32_t i = 0; i < 3; ++i) {
    auto guard = control_->Guard(key_, targets_, grant.token, false);
    ASSERT_TRUE(guard);
    EXPECT_TRUE((*guard)->holds());
    EXPECT_EQ((*guard)->base(kFrame), 1 + i) << "its own writes move it on";
    EXPECT_EQ(Edit(**guard, 10 + i), 200);
  }
  auto guard = control_->Guard(key_, targets_, grant.token, false);
  ASSERT_TRUE(guard);
  (*guard)->Release();
  EXPECT_FALSE(control_->Find(key_, frame_));
}

TEST_F(Locks, ALockTakenBetweenCheckAndCommitStopsTheCommit) {
  auto guard = control_->Guard(key_, targets_, "", false);
  ASSERT_TRUE(guard);
  Take(frame_, "ann");
  EXPECT_EQ(Edit(**guard, 7), 423);
  EXPECT_EQ(*room_->Head().VersionOf(kFrame), 1u);
}

TEST_F(Locks, TheStoreRefusesAnOldFence) {
  const LockGrant old = Take(frame_, "ann", "", 1000);
  auto slow = control_->Guard(key_, targets_, old.token, false);
  ASSERT_TRUE(slow);
  now_ms_ += 1000;  // the holder sleeps beyond its TTL
  const LockGrant fresh = Take(frame_, "ben");
  auto quick = control_->Guard(key_, targets_, fresh.token, false);
  ASSERT_TRUE(quick);
  EXPECT_EQ(Edit(**quick, 5), 200);
  EXPECT_EQ(Edit(**slow, 6), 409);
  EXPECT_EQ(**store_->records().Get(FenceKey(key_.incarnation, frame_)), fresh.fence);

  // A control state that knows nothing of the locks of the first, with an epoch that was not raised: only the fence in the
  // store is left to refuse it.
  auto amnesiac = Control(0);
  auto grant = amnesiac->Acquire(key_, frame_, {"eve", ""}, {});
  ASSERT_TRUE(grant);
  auto guard = amnesiac->Guard(key_, targets_, grant->token, false);
  ASSERT_TRUE(guard);
  EXPECT_EQ(Edit(**guard, 8), 409);
  // With the epoch of a new start it goes on.
  auto restarted = Control(store_->epoch() + 1);
  grant = restarted->Acquire(key_, frame_, {"eve", ""}, {});
  guard = restarted->Guard(key_, targets_, grant->token, false);
  EXPECT_EQ(Edit(**guard, 9), 200);
}

TEST_F(Locks, FencesSortAsTextAcrossCountersAndEpochs) {
  std::string last;
  for (const uint64_t epoch : {1, 9, 10, 255, 256, 100000}) {
    auto control = Control(epoch);
    for (int i = 0; i < 300; ++i) {
      auto grant = control->Acquire(key_, frame_, {"x", "c"}, {});
      ASSERT_TRUE(grant);
      ASSERT_GT(grant->fence, last);
      last = grant->fence;
    }
  }
}

TEST_F(Locks, APresenterIsOneAtATimeAndFreeAfterItsTtl) {
  const auto ann = control_->RequestPresenter(key_, {"ann", "c1"}, false);
  ASSERT_TRUE(ann);
  EXPECT_EQ(control_->RequestPresenter(key_, {"ben", "c2"}, false).error().status, 423);
  EXPECT_TRUE(control_->IsPresenter(key_, "c1", ""));
  EXPECT_TRUE(control_->IsPresenter(key_, "", ann->token));
  EXPECT_FALSE(control_->IsPresenter(key_, "c2", ""));
  now_ms_ += 4000;
  ASSERT_TRUE(control_->RenewPresenter(key_, ann->token));
  now_ms_ += 4000;
  EXPECT_TRUE(control_->Presenter(key_));
  now_ms_ += 1000;
  (void)control_->Expire(1000);
  EXPECT_FALSE(control_->IsPresenter(key_, "c1", ""));
  EXPECT_EQ(control_->RenewPresenter(key_, ann->token).error().status, 409);
  const auto ben = control_->RequestPresenter(key_, {"ben", "c2"}, false);
  ASSERT_TRUE(ben);
  ASSERT_TRUE(control_->ReleasePresenter(key_, ben->token, false));
  EXPECT_EQ(told_, (std::vector<std::string>{"presenter ann", "no presenter", "presenter ben", "no presenter"}));
}

TEST_F(Locks, PresenceCountsClientsWhileTheyAreHeardOf) {
  using Activity = ControlState::Activity;
  control_->Touch(key_, "a", Activity::kViewing, "");
  control_->Touch(key_, "b", Activity::kEditing, "");
  EXPECT_EQ(control_->Presence(key_).viewers, 1);
  now_ms_ += 10'000;
  control_->Touch(key_, "a", Activity::kEditing, "");
  now_ms_ += 5'000;
  (void)control_->Expire(1000);
  EXPECT_EQ(control_->Presence(key_).editors, 1) << "b is stale";
  control_->Leave(key_, "a");
  EXPECT_EQ(told_, (std::vector<std::string>{"1+0", "1+1", "0+2", "0+1", "0+0"}));
}

}  // namespace
}  // namespace zn::server
