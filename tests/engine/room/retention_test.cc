#include <gtest/gtest.h>

#include "engine/room/room_model.h"
#include "room/records.h"
#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Retention, IsReadAndWrittenAsText) {
  EXPECT_TRUE(ParseRetention("all")->keeps_all());
  EXPECT_EQ(ParseRetention("100")->commits, 100);
  EXPECT_EQ(ParseRetention("36h")->nanoseconds, 36 * 3600 * kSecond);
  EXPECT_EQ(ParseRetention("2w")->nanoseconds, 14 * 86400 * kSecond);
  for (const char* text : {"all", "1", "100", "5s", "90m", "36h", "30d", "2w"})
    EXPECT_EQ(FormatRetention(*ParseRetention(text)), text);
  // A policy that is misread destroys history.
  for (const char* text : {"", "0", "-3", "3 d", "d", "10y", "all of it", "99999999999999999999",
                           "9223372036854775807w", "1.5d"})
    EXPECT_FALSE(ParseRetention(text)) << text;
}

TEST(RefRecord, SaysTheOldestCommitOnlyWhereThereIsABound) {
  RefRecord ref;
  ref.room = 3;
  ref.name = "r";
  const auto plain = EncodeRef(ref);
  EXPECT_EQ(static_cast<uint8_t>(plain[0]), 1)
      << "stores without retention stay readable for older programs";
  EXPECT_EQ(DecodeRef(plain)->oldest, 1u);
  ref.oldest = 40;
  const auto bounded = EncodeRef(ref);
  EXPECT_EQ(DecodeRef(bounded)->oldest, 40u);
  for (size_t cut = 0; cut < bounded.size(); ++cut)
    EXPECT_FALSE(DecodeRef(std::span(bounded).first(cut)));
}

TEST(RoomModel, CarriesItsRetention) {
  RoomModel model;
  model.description = "d";
  EXPECT_EQ(*DecodeModel(EncodeModel(model)), model);
  model.retention = Retention{0, 7 * kSecond};
  const auto bytes = EncodeModel(model);
  EXPECT_EQ(*DecodeModel(bytes), model);
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_FALSE(DecodeModel(std::span(bytes).first(cut)));
}

/// A room of one frame that was edited once a second.
class RoomWithAPast : public ::testing::Test {
 protected:
  void SetUp() override {
    StoreOptions options;
    options.create = true;
    options.threads = 1;
    options.background_maintenance = false;
    options.clock = [this] { return now_; };
    store_ = std::move(*Store::Open(dir_.path() + "/s", options));
    room_ = *store_->CreateRoom("r", {}, {});
    for (int i = 0; i < 10; ++i) {
      now_ += kSecond;
      const auto frame = model::ToBatch(
          {model::Content{0, {{"calc.energy", std::string(8, static_cast<char>('a' + i))}}}});
      const auto made = i == 0 ? room_->Append(frame, {}) : room_->Replace(0, frame, {});
      ASSERT_TRUE(made) << made.error().message;
      commits_.push_back(made->commit);
    }
  }
  void Keep(const Retention& retention) {
    RoomModel model = room_->info().model;
    model.retention = retention;
    ASSERT_TRUE(room_->SetModel(model, {}));
    const auto collected = store_->Collect({});
    ASSERT_TRUE(collected) << collected.error().message;
  }
  int Kept() const {
    int kept = 0;
    for (const CommitId& commit : commits_) {
      const auto at = room_->At(commit);
      if (at) ++kept;
      if (!at) {
        EXPECT_EQ(at.error().code, ErrorCode::kPruned);
      }
    }
    return kept;
  }

  TempDir dir_;
  int64_t now_ = 1000 * kSecond;
  std::unique_ptr<Store> store_;
  std::shared_ptr<Room> room_;
  std::vector<CommitId> commits_;
};

TEST_F(RoomWithAPast, KeepsEverythingUnlessToldOtherwise) {
  ASSERT_TRUE(store_->Collect({}));
  EXPECT_EQ(Kept(), 10);
}

TEST_F(RoomWithAPast, KeepsTheNewestCommits) {
  Keep({3, 0});
  EXPECT_EQ(Kept(), 3);
  EXPECT_EQ(room_->History({}, 100)->size(), 3u);
  EXPECT_EQ(room_->Head().Versions(0, 100)->size(), 3u);
}

// "The last three seconds" includes what the room was when they began.
TEST_F(RoomWithAPast, KeepsWhatItWasAtAnyMomentOfATime) {
  now_ += kSecond / 2;
  Keep({0, 3 * kSecond});
  EXPECT_EQ(Kept(), 4);
}

TEST_F(RoomWithAPast, KeepsItsHeadHoweverOld) {
  now_ += 1000 * kSecond;
  Keep({0, kSecond});
  EXPECT_EQ(Kept(), 1);
}

TEST_F(RoomWithAPast, UndoReachesTheOldestVersionAndNoFurther) {
  Keep({3, 0});
  ASSERT_TRUE(room_->Undo(0, {}));
  ASSERT_TRUE(room_->Undo(0, {}));
  const auto undone = room_->Undo(0, {});
  ASSERT_FALSE(undone);
  EXPECT_EQ(undone.error().code, ErrorCode::kPruned);
  ASSERT_TRUE(room_->Redo(0, {}));
}

TEST_F(RoomWithAPast, ABoundThatIsLiftedBringsNothingBack) {
  Keep({2, 0});
  Keep({});
  EXPECT_EQ(Kept(), 2);
}

TEST_F(RoomWithAPast, AForkKeepsWhatItSharedByItsOwnWill) {
  const auto fork = store_->ForkRoom("r", commits_[5], "fork", {});
  ASSERT_TRUE(fork);
  Keep({1, 0});
  EXPECT_EQ(Kept(), 1);
  for (size_t i = 0; i <= 5; ++i) EXPECT_TRUE((*fork)->At(commits_[i])) << i;
  // A fork of what is left begins there.
  const auto late = store_->ForkRoom("r", {}, "late", {});
  ASSERT_TRUE(late);
  EXPECT_EQ((*late)->At(commits_[8]).error().code, ErrorCode::kPruned);
  EXPECT_TRUE((*late)->At(commits_[9]));
}

TEST_F(RoomWithAPast, ADryRunTellsWithoutDoing) {
  CollectOptions options;
  options.dry_run = true;
  options.as_if["r"] = Retention{1, 0};
  const auto told = store_->Collect(options);
  ASSERT_TRUE(told) << told.error().message;
  EXPECT_GE(told->commits_pruned, 9);
  EXPECT_EQ(Kept(), 10);
}

}  // namespace
}  // namespace zn
