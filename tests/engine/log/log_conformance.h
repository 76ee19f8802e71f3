// What every Log must do, whatever it stands on. A fixture gives Open(), Reopen() and OpenReader(),
// all with files of at most kMaxFileBytes and kSalt.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/log/log_support.h"
#include "log/log.h"

namespace zn::test {

template <class Fixture>
class LogConformance : public Fixture {};
TYPED_TEST_SUITE_P(LogConformance);

TYPED_TEST_P(LogConformance, NewLogIsEmpty) {
  auto log = this->Open();
  EXPECT_TRUE(ReplayAll(*log).empty());
  EXPECT_EQ(log->durable_sequence(), 0u);
}

// A store would open without the commits that were acknowledged.
TYPED_TEST_P(LogConformance, WhatWasWaitedForIsThereAfterReopening) {
  std::vector<RecordRef> refs;
  {
    auto log = this->Open();
    for (uint64_t i = 0; i < 12; ++i) refs.push_back(CommitOne(*log, Payload(i * 37, i)));
    EXPECT_EQ(log->durable_sequence(), 12u);
  }
  auto log = this->Reopen();
  auto seen = ReplayAll(*log);
  ASSERT_EQ(seen.size(), 13u);  // the file's checkpoint first
  EXPECT_EQ(seen[0].type, RecordType::kCheckpoint);
  for (uint64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(seen[i + 1].payload, Payload(i * 37, i));
    EXPECT_EQ(seen[i + 1].ref, refs[i]);
    EXPECT_EQ(seen[i + 1].sequence, i + 1);
    auto read = log->Read(refs[i]);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(ToVector(*read), Payload(i * 37, i));
  }
  EXPECT_EQ(log->durable_sequence(), 12u);
}

// A commit refers to nodes of its own group, and the next commit reads them before they are on the
// disk.
TYPED_TEST_P(LogConformance, RecordsCanBeReadBeforeTheyAreDurable) {
  auto log = this->Open();
  RecordRef first, second;
  Buffer early;
  auto ticket = log->Append([&](const Log::AppendRecord& append) -> Result<> {
    first = append(RecordType::kNode, Payload(1000, 1));
    auto inside = log->Read(first);
    EXPECT_TRUE(inside);
    early = *inside;
    second = append(RecordType::kRoot, Payload(50, 2));
    return {};
  });
  ASSERT_TRUE(ticket);
  EXPECT_FALSE(log->ReadDurable(first));
  auto pending = log->Read(second);
  ASSERT_TRUE(pending);
  ASSERT_TRUE(log->Wait(*ticket));
  for (uint64_t i = 0; i < 10; ++i) CommitOne(*log, Payload(5000, i));
  EXPECT_EQ(ToVector(early), Payload(1000, 1));
  EXPECT_EQ(ToVector(*pending), Payload(50, 2));
  auto durable = log->ReadDurable(first);
  ASSERT_TRUE(durable);
  EXPECT_EQ(ToVector(Buffer(nullptr, *durable)), Payload(1000, 1));
}

TYPED_TEST_P(LogConformance, FailedBuildAppendsNothing) {
  auto log = this->Open();
  for (int round = 0; round < 2; ++round) {
    auto refused = log->Append([&](const Log::AppendRecord& append) -> Result<> {
      append(RecordType::kNode, Payload(100, 1));
      append(RecordType::kNode, Payload(100, 2));
      return Error{ErrorCode::kConflict, "not today"};
    });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
    if (round == 0) {
      ASSERT_TRUE(AppendOne(*log, Payload(10, 3)));  // shares the next one's group
    }
  }
  CommitOne(*log, Payload(10, 4));
  auto seen = ReplayAll(*this->Reopen(std::move(log)));
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[1].payload, Payload(10, 3));
  EXPECT_EQ(seen[2].payload, Payload(10, 4));
}

TYPED_TEST_P(LogConformance, EmptyBuildNeedsNoWriting) {
  auto log = this->Open();
  auto ticket = log->Append([](const Log::AppendRecord&) -> Result<> { return {}; });
  ASSERT_TRUE(ticket);
  EXPECT_TRUE(log->Wait(*ticket));
  EXPECT_EQ(log->stats().groups, 0);
}

TYPED_TEST_P(LogConformance, UnknownTicketIsRefused) {
  auto log = this->Open();
  auto waited = log->Wait(77);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::kInvalidArgument);
}

// "Bytes written by a one-row edit: the row and 4 KiB."
TYPED_TEST_P(LogConformance, SmallGroupTakesOnePage) {
  auto log = this->Open();
  CommitOne(*log, Payload(10, 0));
  int64_t before = log->stats().bytes_written;
  auto ticket = log->Append([&](const Log::AppendRecord& append) -> Result<> {
    append(RecordType::kChunk, Payload(2400, 1));
    append(RecordType::kVersion, Payload(300, 2));
    append(RecordType::kCommit, Payload(700, 3));
    return {};
  });
  ASSERT_TRUE(ticket && log->Wait(*ticket));
  EXPECT_EQ(log->stats().bytes_written - before, 4096);
}

TYPED_TEST_P(LogConformance, FilesBeginWithACheckpointOfEverythingBefore) {
  std::vector<RecordRef> refs;
  auto log = this->Open();
  // The state is how many records were appended; callers count inside `build`.
  uint64_t state = 0;
  auto writer = [&] {
    std::vector<std::byte> payload(8);
    std::memcpy(payload.data(), &state, 8);
    return payload;
  };
  log->SetCheckpointWriter(writer);
  for (uint64_t i = 0; i < 100; ++i) {
    RecordRef ref;
    auto ticket = log->Append([&](const Log::AppendRecord& append) -> Result<> {
      ref = append(RecordType::kNode, Payload(3000, i));
      ++state;
      return {};
    });
    ASSERT_TRUE(ticket && log->Wait(*ticket));
    refs.push_back(ref);
  }
  EXPECT_GE(log->stats().files, 5);
  log = this->Reopen(std::move(log));
  auto seen = ReplayAll(*log);
  ASSERT_GE(seen.size(), 2u);
  ASSERT_EQ(seen[0].type, RecordType::kCheckpoint);
  ASSERT_EQ(seen[0].payload.size(), 8u);
  uint64_t counted = 0;
  std::memcpy(&counted, seen[0].payload.data(), 8);
  EXPECT_EQ(counted + seen.size() - 1, 100u);
  // What earlier files hold can be read without having been replayed.
  for (uint64_t i = 0; i < refs.size(); ++i) {
    auto read = log->Read(refs[i]);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(ToVector(*read), Payload(3000, i));
  }
}

TYPED_TEST_P(LogConformance, CheckpointIsAllThatIsReplayed) {
  auto log = this->Open();
  log->SetCheckpointWriter([] { return Payload(5000, 99); });
  for (uint64_t i = 0; i < 5; ++i) CommitOne(*log, Payload(100, i));
  ASSERT_TRUE(log->Checkpoint());
  int64_t groups = log->stats().groups;
  ASSERT_TRUE(log->Checkpoint());  // nothing happened since
  EXPECT_EQ(log->stats().groups, groups);
  log = this->Reopen(std::move(log));
  auto seen = ReplayAll(*log);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].payload, Payload(5000, 99));
  ASSERT_TRUE(log->Checkpoint());
  EXPECT_EQ(log->stats().groups, 0);
  CommitOne(*log, Payload(1, 1));
  EXPECT_EQ(ReplayAll(*log).size(), 1u);  // goes on behind what was replayed
}

// A checkpoint may share its group with records that were appended before and after it.
TYPED_TEST_P(LogConformance, CheckpointWithinAGroupHidesWhatIsBeforeIt) {
  auto log = this->Open();
  log->SetCheckpointWriter([] { return Payload(10, 7); });
  CommitOne(*log, Payload(10, 1));
  ASSERT_TRUE(AppendOne(*log, Payload(10, 2)));
  ASSERT_TRUE(log->Checkpoint());
  CommitOne(*log, Payload(10, 3));
  auto seen = ReplayAll(*this->Reopen(std::move(log)));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].payload, Payload(10, 7));
  EXPECT_EQ(seen[1].payload, Payload(10, 3));
}

TYPED_TEST_P(LogConformance, GroupMayBeLargerThanAFile) {
  auto log = this->Open();
  RecordRef big = CommitOne(*log, Payload(5 * kMaxFileBytes, 1));
  RecordRef small = CommitOne(*log, Payload(10, 2));
  EXPECT_NE(big.file, small.file);
  for (int round = 0; round < 2; ++round) {
    auto read = log->Read(big);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(ToVector(*read), Payload(5 * kMaxFileBytes, 1));
    log = this->Reopen(std::move(log));
    ReplayAll(*log);
  }
}

TYPED_TEST_P(LogConformance, WrongReferencesAreErrors) {
  auto log = this->Open();
  RecordRef good = CommitOne(*log, Payload(1000, 1));
  auto code = [&](RecordRef ref) {
    auto read = log->Read(ref);
    return read ? ErrorCode::kInternal : read.error().code;
  };
  RecordRef ref = good;
  ref.offset += 64;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.offset += 1;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.name.bytes[3] ^= std::byte{1};
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.length = UINT32_MAX;
  EXPECT_EQ(code(ref), ErrorCode::kNotFound);
  ref = good;
  ref.offset = UINT64_MAX - 63;
  EXPECT_EQ(code(ref), ErrorCode::kNotFound);
  ref = good;
  ref.offset = 64;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.file = RecordRef::kLogBit | 9;
  EXPECT_EQ(code(ref), ErrorCode::kNotFound);
  ref.file = RecordRef::kLogBit | 0x7fffffff;
  EXPECT_EQ(code(ref), ErrorCode::kNotFound);
  ref.file = 1;  // a pack
  EXPECT_NE(code(ref), ErrorCode::kInternal);
  EXPECT_NE(code(RecordRef{}), ErrorCode::kInternal);
  EXPECT_TRUE(log->Read(good));
}

// Another process sees exactly what is durable, across changes of file, and each thing once.
TYPED_TEST_P(LogConformance, ReaderFollows) {
  auto log = this->Open();
  CommitOne(*log, Payload(10, 0));
  auto reader = this->OpenReader();
  auto seen = ReplayAll(*reader);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_TRUE(ReplayAll(*reader).empty());
  auto pending = AppendOne(*log, Payload(10, 1));
  ASSERT_TRUE(pending);
  EXPECT_TRUE(ReplayAll(*reader).empty());
  ASSERT_TRUE(log->Wait(*pending));
  uint64_t next = 1;
  for (uint64_t i = 2; i < 60; ++i) {
    CommitOne(*log, Payload(3000, i));
    if (i % 7 != 0) continue;
    for (const Seen& record : ReplayAll(*reader)) {
      if (record.type == RecordType::kCheckpoint) continue;
      EXPECT_EQ(record.payload, Payload(next == 1 ? 10 : 3000, next));
      EXPECT_TRUE(reader->Read(record.ref));
      ++next;
    }
    EXPECT_EQ(next, i + 1);
    EXPECT_EQ(reader->durable_sequence(), log->durable_sequence());
  }
  auto refused = AppendOne(*reader, Payload(1, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kReadOnly);
}

TYPED_TEST_P(LogConformance, ReplayGoesOnWhereAVisitorFailed) {
  auto log = this->Open();
  for (uint64_t i = 0; i < 3; ++i) CommitOne(*log, Payload(10, i));
  log = this->Reopen(std::move(log));
  int calls = 0;
  auto failed = log->Replay([&](uint64_t sequence, const LoggedRecord&) -> Result<> {
    ++calls;
    if (sequence == 2) return Error{ErrorCode::kNoSpace, "later"};
    return {};
  });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kNoSpace);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(ReplayAll(*log).size(), 2u);
}

// Every thread's commits are there, in its own order, and groups are shared.
TYPED_TEST_P(LogConformance, ManyThreadsShareGroups) {
  constexpr uint64_t kThreads = 16, kEach = 50;
  auto log = this->Open();
  std::vector<std::vector<RecordRef>> refs(kThreads);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        RecordRef ref;
        auto ticket = AppendOne(*log, Payload(500 + t, t * 1000 + i), &ref);
        ASSERT_TRUE(ticket);
        auto early = log->Read(ref);
        ASSERT_TRUE(early) << early.error().message;
        ASSERT_TRUE(log->Wait(*ticket));
        EXPECT_GE(log->durable_sequence(), log->SequenceOf(*ticket));
        ASSERT_TRUE(log->ReadDurable(ref));
        if (i > 0) {
          ASSERT_TRUE(log->Read(refs[t][i / 2]));
        }
        refs[t].push_back(ref);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LT(log->stats().groups, static_cast<int64_t>(kThreads * kEach));
  log = this->Reopen(std::move(log));
  ReplayAll(*log);
  for (uint64_t t = 0; t < kThreads; ++t) {
    ASSERT_EQ(refs[t].size(), kEach);
    for (uint64_t i = 0; i < kEach; ++i) {
      auto read = log->Read(refs[t][i]);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(ToVector(*read), Payload(500 + t, t * 1000 + i));
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(LogConformance, NewLogIsEmpty, WhatWasWaitedForIsThereAfterReopening,
                            RecordsCanBeReadBeforeTheyAreDurable, FailedBuildAppendsNothing,
                            EmptyBuildNeedsNoWriting, UnknownTicketIsRefused,
                            SmallGroupTakesOnePage, FilesBeginWithACheckpointOfEverythingBefore,
                            CheckpointIsAllThatIsReplayed,
                            CheckpointWithinAGroupHidesWhatIsBeforeIt, GroupMayBeLargerThanAFile,
                            WrongReferencesAreErrors, ReaderFollows,
                            ReplayGoesOnWhereAVisitorFailed, ManyThreadsShareGroups);

}  // namespace zn::test
