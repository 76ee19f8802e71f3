// Control records of a store: if these fail, a stale lock's fence gets in, a retried request writes twice, or a label that
// was acknowledged is gone after a restart.

#include "zn/engine/records.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "base/memory_file_system.h"
#include "engine/room/room_model.h"
#include "room/open_store.h"
#include "support/temp_dir.h"
#include "zn/engine/store.h"

namespace zn {
namespace {

using Crash = MemoryFileSystem::Crash;
using Map = std::map<std::string, std::string>;

StoreOptions Options() {
  StoreOptions options;
  options.create = true;
  options.threads = 1;
  options.background_maintenance = false;
  options.audit_lines = 50;
  return options;
}

std::unique_ptr<Store> Open(const std::shared_ptr<MemoryFileSystem>& disk, const TempDir& dir,
                            const StoreOptions& options = Options()) {
  auto store = internal::OpenStoreOn(disk, dir.path() + "/s", options);
  EXPECT_TRUE(store) << store.error().message;
  return store ? std::move(*store) : nullptr;
}

Map All(const RecordReader& records) {
  Map map;
  const auto found = records.Scan("", "", SIZE_MAX);
  EXPECT_TRUE(found) << found.error().message;
  if (found)
    for (const Record& record : *found) map[record.key] = record.value;
  return map;
}

FrameBatch OneFrame(char c) { return model::ToBatch({model::Content{1, {{"calc.energy", std::string(8, c)}}}}); }

RecordChanges Puts(const std::string& key, const std::string& value) {
  return [=](RecordTransaction& t) { return t.Put(key, value); };
}

TEST(Records, WhatWasPutIsThereAfterReopening) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  ASSERT_TRUE(store);
  const std::string large(100'000, 'L');
  ASSERT_TRUE((*store)->Update([&](RecordTransaction& t) -> Result<> {
    ZN_RETURN_IF_ERROR(t.Put("small", "1"));
    ZN_RETURN_IF_ERROR(t.Put("large", large));
    ZN_RETURN_IF_ERROR(t.Put(std::string("zero\0byte", 9), std::string("\0\xff", 2)));
    ZN_RETURN_IF_ERROR(t.Put("gone", "x"));
    return t.Erase("gone");
  }));
  const RecordView before = (*store)->records();
  ASSERT_TRUE((*store)->Update(Puts("small", "2")));
  EXPECT_EQ(**before.Get("small"), "1") << "a view does not change";
  store->reset();
  store = Store::Open(dir.path() + "/s", Options());
  ASSERT_TRUE(store);
  const RecordView records = (*store)->records();
  EXPECT_EQ(**records.Get("small"), "2");
  EXPECT_EQ(**records.Get("large"), large);
  EXPECT_EQ(**records.Get(std::string("zero\0byte", 9)), std::string("\0\xff", 2));
  EXPECT_FALSE(records.Get("gone")->has_value());
}

TEST(Records, ScansGoByPrefixAndPage) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  ASSERT_TRUE((*store)->Update([](RecordTransaction& t) -> Result<> {
    for (const char* key : {"a", "b", "b/1", "b/2", "b/3", "b0", "c", "\xff\xff", "\xff\xff\x01"})
      ZN_RETURN_IF_ERROR(t.Put(key, key));
    return {};
  }));
  const RecordView records = (*store)->records();
  const auto keys = [](const Result<std::vector<Record>>& found) {
    std::vector<std::string> names;
    for (const Record& record : *found) names.push_back(record.key);
    return names;
  };
  EXPECT_EQ(keys(records.ScanPrefix("b/", 10)), (std::vector<std::string>{"b/1", "b/2", "b/3"}));
  EXPECT_EQ(keys(records.ScanPrefix("b/", 1, "b/1")), (std::vector<std::string>{"b/2"}));
  EXPECT_EQ(keys(records.ScanPrefix("\xff\xff", 10)), (std::vector<std::string>{"\xff\xff", "\xff\xff\x01"}));
  EXPECT_EQ(keys(records.Scan("b0", "", 2)), (std::vector<std::string>{"b0", "c"}));
}

TEST(Records, AnErrorRefusesTheWholeTransaction) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  ASSERT_TRUE((*store)->Update(Puts("k", "1")));
  const auto refused = (*store)->Update([](RecordTransaction& t) -> Result<> {
    ZN_RETURN_IF_ERROR(t.Put("k", "2"));
    EXPECT_EQ(**t.Get("k"), "2") << "a transaction sees its own changes";
    ZN_RETURN_IF_ERROR(t.Put("large", std::string(5000, 'x')));
    return Error{ErrorCode::kConflict, "no"};
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ(All((*store)->records()), (Map{{"k", "1"}}));
  EXPECT_FALSE((*store)->Update(Puts("", "x")));
  EXPECT_FALSE((*store)->Update(Puts(std::string(kMaxRecordKey + 1, 'k'), "x")));
  EXPECT_FALSE((*store)->Update(Puts("k", std::string(kMaxRecordValue + 1, 'k'))));
  EXPECT_FALSE((*store)->Update(Puts(std::string("audit\0r", 7), "x")));
  EXPECT_EQ(All((*store)->records()), (Map{{"k", "1"}}));
}

TEST(Records, ComeWithTheirCommitOrNotAtAll) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  CommitContext context;
  CommitInfo seen;
  bool refuse = false;
  context.also = [&](RecordTransaction& t, const CommitInfo& draft) -> Result<> {
    seen = draft;
    ZN_RETURN_IF_ERROR(t.Put("last", draft.commit.ToString()));
    return refuse ? Result<>(ErrorCode::kConflict, "a stale fence") : Result<>();
  };
  auto room = (*store)->CreateRoom("r", {}, context);
  ASSERT_TRUE(room);
  const auto last = [&] { return **(*store)->records().Get("last"); };
  EXPECT_EQ(last(), (*room)->Head().commit().ToString());
  const auto appended = (*room)->Append(OneFrame('a'), context);
  ASSERT_TRUE(appended);
  EXPECT_EQ(seen.ids, appended->ids);
  EXPECT_EQ(seen.versions, appended->versions);
  EXPECT_EQ(seen.frames, 1);
  EXPECT_EQ(last(), appended->commit.ToString());

  refuse = true;
  const auto refused = (*room)->Edit(0, OneFrame('b'), {}, context);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_EQ((*room)->Head().commit(), appended->commit);
  EXPECT_EQ(last(), appended->commit.ToString());
  EXPECT_FALSE((*store)->DeleteRoom("r", context));
  EXPECT_FALSE((*room)->SetModel({"new", false, false, ""}, context));
  EXPECT_FALSE((*store)->CreateRoom("other", {}, context));
  EXPECT_FALSE((*store)->ForkRoom("r", {}, "other", context));
  EXPECT_EQ((*room)->info().model.description, "");

  refuse = false;
  const auto edited = (*room)->Edit(0, OneFrame('b'), {}, context);
  ASSERT_TRUE(edited) << "what was refused left nothing behind";
  EXPECT_EQ(edited->versions.at(0), 2u);
  ASSERT_TRUE((*store)->CreateRoom("other", {}, context));
}

TEST(Records, AChangeThatChangesNothingKeepsItsRecords) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  auto room = (*store)->CreateRoom("r", {}, {});
  ASSERT_TRUE((*room)->Append(OneFrame('a'), {}));
  CommitContext context;
  bool refuse = false;
  context.also = [&](RecordTransaction& t, const CommitInfo& draft) -> Result<> {
    EXPECT_FALSE(draft.changed);
    ZN_RETURN_IF_ERROR(t.Put("result", std::to_string(draft.versions.at(0))));
    return refuse ? Result<>(ErrorCode::kConflict, "a stale fence") : Result<>();
  };
  const auto same = (*room)->Edit(0, OneFrame('a'), {}, context);
  ASSERT_TRUE(same);
  EXPECT_FALSE(same->changed);
  EXPECT_EQ(**(*store)->records().Get("result"), "1");
  refuse = true;
  EXPECT_FALSE((*room)->Edit(0, OneFrame('a'), {}, context));
}

TEST(Records, AuditLinesAreKeptInOrderAndBounded) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  for (int i = 1; i <= 120; ++i) {
    ASSERT_TRUE((*store)->Update([&](RecordTransaction& t) -> Result<> {
      ZN_RETURN_IF_ERROR(t.AppendAudit("a", "line " + std::to_string(i)));
      return i <= 3 ? t.AppendAudit("aa", "other") : Result<>();
    }));
  }
  store->reset();
  store = Store::Open(dir.path() + "/s", Options());
  const RecordView records = (*store)->records();
  const auto lines = records.Audit("a", 0, 1000);
  ASSERT_TRUE(lines);
  ASSERT_EQ(lines->size(), 50u);
  for (size_t i = 0; i < 50; ++i) {
    EXPECT_EQ((*lines)[i].sequence, 71 + i);
    EXPECT_EQ((*lines)[i].line, "line " + std::to_string(71 + i));
  }
  EXPECT_EQ(records.Audit("a", 118, 1000)->size(), 2u);
  EXPECT_EQ(records.Audit("aa", 0, 1000)->size(), 3u);
  EXPECT_EQ(records.Audit("b", 0, 1000)->size(), 0u);
  // A smaller bound takes hold as lines are written.
  StoreOptions fewer = Options();
  fewer.audit_lines = 10;
  store->reset();
  store = Store::Open(dir.path() + "/s", fewer);
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE((*store)->Update([&](RecordTransaction& t) { return t.AppendAudit("a", "new"); }));
  EXPECT_EQ((*store)->records().Audit("a", 0, 1000)->size(), 10u);
}

TEST(Records, FollowersSeeThem) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  ASSERT_TRUE((*store)->Update(Puts("k", "1")));
  StoreOptions reading;
  reading.read_only = true;
  auto reader = Store::Open(dir.path() + "/s", reading);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ(**(*reader)->records().Get("k"), "1");
  for (int i = 0; i < 1500; ++i) ASSERT_TRUE((*store)->Update(Puts("k" + std::to_string(i % 700), std::to_string(i))));
  ASSERT_TRUE((*reader)->Refresh());
  EXPECT_EQ(All((*reader)->records()), All((*store)->records()));
  EXPECT_FALSE((*reader)->Update(Puts("k", "2")));
}

/// Random transactions and commits with records on a disk that loses what was not synced, against a map.
TEST(Records, AgreeWithAMapThroughCrashes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    TempDir dir;
    auto disk = std::make_shared<MemoryFileSystem>();
    auto store = Open(disk, dir);
    ASSERT_TRUE(store);
    auto room = store->CreateRoom("r", {}, {});
    ASSERT_TRUE(room);
    Map model;
    for (int step = 0; step < 150; ++step) {
      Map next = model;
      const bool refuse = random() % 8 == 0;
      const auto changes = [&](RecordTransaction& t) -> Result<> {
        for (size_t i = random() % 30; i > 0; --i) {
          const std::string key = "key" + std::to_string(random() % 300) + std::string(random() % 40, '.');
          if (random() % 3 == 0) {
            ZN_RETURN_IF_ERROR(t.Erase(key));
            next.erase(key);
          } else {
            next[key] = std::string(random() % 20 == 0 ? random() % 3000 : random() % 50, static_cast<char>(random()));
            ZN_RETURN_IF_ERROR(t.Put(key, next[key]));
          }
        }
        return refuse ? Result<>(ErrorCode::kConflict, "no") : Result<>();
      };
      Result<> done;
      if (random() % 2 == 0) {
        done = store->Update(changes);
      } else {
        CommitContext context;
        context.also = [&](RecordTransaction& t, const CommitInfo&) { return changes(t); };
        if (auto info = (*room)->Append(OneFrame('x'), context); !info) done = std::move(info).error();
      }
      ASSERT_EQ(done.has_value(), !refuse);
      if (!refuse) model = next;
      if (random() % 25 == 0) {
        static constexpr Crash kCrashes[] = {Crash::kRestart, Crash::kLost, Crash::kTorn, Crash::kReordered};
        const bool clean = random() % 5 == 0;
        const auto after = disk->AfterCrash(kCrashes[random() % 4], random());
        room->reset();
        store.reset();
        if (!clean) disk = after;
        store = Open(disk, dir);
        ASSERT_TRUE(store);
        room = store->OpenRoom("r");
        ASSERT_TRUE(room);
        ASSERT_EQ(All(store->records()), model) << "after an opening at step " << step;
      }
    }
    ASSERT_EQ(All(store->records()), model);
  }
}

TEST(Records, WritersInTurnSeeEachOther) {
  TempDir dir;
  auto store = Store::Open(dir.path() + "/s", Options());
  auto room = (*store)->CreateRoom("r", {}, {});
  // A counter raised by several threads, alone and with commits: none is lost, as none reads what another is changing.
  const RecordChanges raise = [](RecordTransaction& t) -> Result<> {
    ZN_ASSIGN_OR_RETURN(const auto old, t.Get("counter"));
    return t.Put("counter", std::to_string(old ? std::stoi(*old) + 1 : 1));
  };
  std::vector<std::thread> threads;
  for (int n = 0; n < 8; ++n) {
    threads.emplace_back([&, n] {
      CommitContext context;
      context.also = [&](RecordTransaction& t, const CommitInfo&) { return raise(t); };
      for (int i = 0; i < 25; ++i) {
        if (n % 2 == 0) {
          EXPECT_TRUE((*store)->Update(raise));
        } else {
          EXPECT_TRUE((*room)->Append(OneFrame('x'), context));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(**(*store)->records().Get("counter"), "200");
}

}  // namespace
}  // namespace zn
