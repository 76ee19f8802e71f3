// What is left of a log after every kind of accident.
#include "log/recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "engine/log/log_support.h"
#include "log/memory_log.h"

namespace zn::test {
namespace {

using Crash = MemoryFileSystem::Crash;

LogOptions Options(int64_t max_file_bytes = 24 << 10) {
  LogOptions options;
  options.salt = kSalt;
  options.max_file_bytes = max_file_bytes;
  return options;
}

/// Uses a log as the store does: commits of several records, numbered 1, 2, ..., and checkpoints
/// that list the numbers until then.
class Ledger {
 public:
  /// Opens and replays; `state` is then what survived.
  Result<> Open(std::shared_ptr<MemoryFileSystem> disk, const LogOptions& options = Options()) {
    ZN_ASSIGN_OR_RETURN(log_, OpenMemoryLog(std::move(disk), options));
    state_.clear();
    parts_.clear();
    ZN_RETURN_IF_ERROR(log_->Replay([&](uint64_t, const LoggedRecord& record) -> Result<> {
      ByteReader reader(record.payload);
      if (record.type == RecordType::kCheckpoint) {
        state_.clear();
        while (reader.remaining() > 0) state_.push_back(reader.Get<uint64_t>());
        return {};
      }
      uint64_t number = reader.Get<uint64_t>();
      uint32_t part = reader.Get<uint32_t>();
      uint32_t parts = reader.Get<uint32_t>();
      EXPECT_TRUE(reader.ok());
      // Wholly there or absent: parts come together and in order.
      EXPECT_EQ(part, parts_.size());
      parts_.push_back(number);
      EXPECT_EQ(std::count(parts_.begin(), parts_.end(), number), part + 1);
      if (part + 1 == parts) {
        state_.push_back(number);
        parts_.clear();
      }
      return {};
    }));
    EXPECT_TRUE(parts_.empty());
    log_->SetCheckpointWriter([this] {
      ByteWriter writer;
      for (uint64_t number : state_) writer.Put(number);
      return writer.Take();
    });
    return {};
  }

  static std::vector<std::byte> PartOf(uint64_t number, uint32_t part, uint32_t parts) {
    ByteWriter writer;
    writer.Put(number);
    writer.Put(part);
    writer.Put(parts);
    writer.PutBytes(Payload(number * 977 % 3000, number + part));
    return writer.Take();
  }

  Result<Ticket> Append(uint64_t number, std::vector<RecordRef>* refs = nullptr) {
    const uint32_t parts = static_cast<uint32_t>(1 + number % 4);
    return log_->Append([&](const Log::AppendRecord& append) -> Result<> {
      for (uint32_t part = 0; part < parts; ++part) {
        RecordRef ref = append(RecordType::kNode, PartOf(number, part, parts));
        if (refs != nullptr) refs->push_back(ref);
      }
      state_.push_back(number);
      return {};
    });
  }

  Result<> Commit(uint64_t number, std::vector<RecordRef>* refs = nullptr) {
    ZN_ASSIGN_OR_RETURN(Ticket ticket, Append(number, refs));
    return log_->Wait(ticket);
  }

  void ExpectReadable(uint64_t number, const std::vector<RecordRef>& refs) const {
    for (size_t part = 0; part < refs.size(); ++part) {
      auto read = log_->Read(refs[part]);
      ASSERT_TRUE(read) << "commit " << number << ": " << read.error().message;
      EXPECT_EQ(ToVector(*read),
                PartOf(number, static_cast<uint32_t>(part), static_cast<uint32_t>(refs.size())));
    }
  }

  Log& log() { return *log_; }
  const std::vector<uint64_t>& state() const { return state_; }

 private:
  std::unique_ptr<Log> log_;
  std::vector<uint64_t> state_;
  std::vector<uint64_t> parts_;
};

struct Outcome {
  std::vector<uint64_t> appended;  // in order
  std::set<uint64_t> acknowledged;
  std::map<uint64_t, std::vector<RecordRef>> refs;
};

/// Commits alone, in pairs that share a group, and checkpoints, until something fails.
void Work(Ledger& ledger, uint64_t first, uint64_t count, uint64_t seed, Outcome& outcome) {
  std::mt19937_64 random(seed);
  for (uint64_t number = first; number < first + count; ++number) {
    outcome.appended.push_back(number);
    auto ticket = ledger.Append(number, &outcome.refs[number]);
    std::vector<uint64_t> group{number};
    if (random() % 3 == 0) {
      ++number;
      outcome.appended.push_back(number);
      ticket = ledger.Append(number, &outcome.refs[number]);
      group.push_back(number);
    }
    if (!ticket || !ledger.log().Wait(*ticket)) return;
    outcome.acknowledged.insert(group.begin(), group.end());
    if (random() % 9 == 0 && !ledger.log().Checkpoint()) return;
  }
}

void ExpectSurvival(const Ledger& ledger, const Outcome& outcome) {
  // A prefix of what was appended, with all that was acknowledged.
  ASSERT_LE(ledger.state().size(), outcome.appended.size());
  EXPECT_TRUE(std::equal(ledger.state().begin(), ledger.state().end(), outcome.appended.begin()));
  EXPECT_GE(ledger.state().size(), outcome.acknowledged.size());
  for (uint64_t number : ledger.state()) {
    ledger.ExpectReadable(number, outcome.refs.at(number));
  }
}

// An acknowledged commit is gone, or half of one is there, after a power failure at an unlucky
// moment.
TEST(LogRecovery, SurvivesACrashAtEveryOperation) {
  constexpr uint64_t kCommits = 30;
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    for (int64_t fail = 0;; ++fail) {
      auto disk = std::make_shared<MemoryFileSystem>();
      Outcome outcome;
      {
        Ledger ledger;
        ASSERT_TRUE(ledger.Open(disk));
        disk->FailFrom(fail);
        Work(ledger, 1, kCommits, seed, outcome);
      }
      for (Crash crash : {Crash::kRestart, Crash::kLost, Crash::kTorn, Crash::kReordered}) {
        SCOPED_TRACE(::testing::Message() << "seed " << seed << ", operation " << fail << ", crash "
                                          << static_cast<int>(crash));
        auto after = disk->AfterCrash(crash, seed * 1000 + static_cast<uint64_t>(fail));
        Outcome second = outcome;
        {
          Ledger ledger;
          auto opened = ledger.Open(after);
          ASSERT_TRUE(opened) << opened.error().message;
          ExpectSurvival(ledger, outcome);
          if (::testing::Test::HasFatalFailure()) return;
          // What a recovered log shows is durable from then on.
          second.appended = ledger.state();
          second.acknowledged = {ledger.state().begin(), ledger.state().end()};
          after->FailFrom(fail % 13 + 3);
          Work(ledger, 100, 8, seed, second);
        }
        for (Crash again : {Crash::kLost, Crash::kReordered}) {
          auto last = after->AfterCrash(again, static_cast<uint64_t>(fail));
          Ledger ledger;
          auto opened = ledger.Open(last);
          ASSERT_TRUE(opened) << opened.error().message;
          ExpectSurvival(ledger, second);
          ASSERT_TRUE(ledger.Commit(500));
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
      if (fail >= disk->operations()) break;
    }
  }
}

// The crash comes while recovery itself writes.
TEST(LogRecovery, SurvivesACrashDuringRecovery) {
  auto disk = std::make_shared<MemoryFileSystem>();
  Outcome outcome;
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(disk));
    Work(ledger, 1, 12, 1, outcome);
    disk->FailOnce(MemoryFileSystem::Operation::kSync, 0);
    Work(ledger, 50, 1, 1, outcome);
  }
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (Crash crash : {Crash::kRestart, Crash::kTorn, Crash::kReordered}) {
      for (int64_t fail = 0; fail < 8; ++fail) {
        auto first = disk->AfterCrash(crash, seed);
        {
          first->FailFrom(fail);
          Ledger ledger;
          if (ledger.Open(first)) ExpectSurvival(ledger, outcome);
        }
        auto second = first->AfterCrash(crash, seed + 100);
        Ledger ledger;
        auto opened = ledger.Open(second);
        ASSERT_TRUE(opened) << opened.error().message;
        ExpectSurvival(ledger, outcome);
      }
    }
  }
}

// After a failed fdatasync the system takes the lost pages for clean; what a reopened store showed
// must not vanish later.
TEST(LogRecovery, WritesAgainWhatAFailedSyncLeft) {
  auto disk = std::make_shared<MemoryFileSystem>();
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(disk));
    ASSERT_TRUE(ledger.Commit(1));
    disk->FailOnce(MemoryFileSystem::Operation::kSync, 0);
    ASSERT_FALSE(ledger.Commit(2));
  }
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(disk));
    EXPECT_EQ(ledger.state(), (std::vector<uint64_t>{1, 2}));
  }
  Ledger ledger;
  ASSERT_TRUE(ledger.Open(disk->AfterCrash(Crash::kLost, 1)));
  EXPECT_EQ(ledger.state(), (std::vector<uint64_t>{1, 2}));
}

TEST(LogRecovery, FailureStopsWritingUntilReopened) {
  for (auto operation : {MemoryFileSystem::Operation::kWrite, MemoryFileSystem::Operation::kSync}) {
    for (ErrorCode code : {ErrorCode::kIo, ErrorCode::kNoSpace}) {
      auto disk = std::make_shared<MemoryFileSystem>();
      Ledger ledger;
      ASSERT_TRUE(ledger.Open(disk));
      std::vector<RecordRef> refs;
      ASSERT_TRUE(ledger.Commit(1, &refs));
      disk->FailOnce(operation, 0, code);
      auto failed = ledger.Commit(2);
      ASSERT_FALSE(failed);
      EXPECT_EQ(failed.error().code, code == ErrorCode::kNoSpace ? code : ErrorCode::kUnavailable);
      EXPECT_NE(failed.error().message.find("injected fault"), std::string::npos);
      auto later = ledger.Append(3);
      ASSERT_FALSE(later);
      EXPECT_EQ(later.error().code, ErrorCode::kUnavailable);
      EXPECT_EQ(ledger.log().Checkpoint().error().code, ErrorCode::kUnavailable);
      ledger.ExpectReadable(1, refs);
      Ledger reopened;
      ASSERT_TRUE(reopened.Open(disk));
      ASSERT_TRUE(reopened.Commit(4));
      EXPECT_EQ(reopened.state().front(), 1u);
      EXPECT_EQ(reopened.state().back(), 4u);
    }
  }
}

/// A log of one file with commits 1 to 8.
std::shared_ptr<MemoryFileSystem> EightCommits(std::map<uint64_t, std::vector<RecordRef>>* refs) {
  auto disk = std::make_shared<MemoryFileSystem>();
  Ledger ledger;
  EXPECT_TRUE(ledger.Open(disk, Options(1 << 20)));
  for (uint64_t number = 1; number <= 8; ++number) {
    EXPECT_TRUE(ledger.Commit(number, &(*refs)[number]));
  }
  return disk;
}

std::vector<uint64_t> GroupOffsets(const std::vector<std::byte>& file) {
  std::vector<uint64_t> offsets;
  for (uint64_t at = 0; at < file.size(); at += kGroupAlignment) {
    if (DecodeGroupHeader(std::span(file).subspan(at), {1, at}, kSalt)) offsets.push_back(at);
  }
  offsets.push_back(file.size());
  return offsets;
}

// Damage to what was acknowledged is reported, never passed over; damage that could be a crash's
// costs the last group only.
TEST(LogRecovery, FlippedBitsAreRefusedOrCostTheLastGroup) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  auto disk = EightCommits(&refs);
  auto file = *disk->Contents("log/000001.log");
  auto groups = GroupOffsets(file);
  ASSERT_EQ(groups.size(), 9u);
  int refused = 0, lost = 0, harmless = 0;
  for (bool with_head : {true, false}) {
    for (size_t at = 0; at < file.size(); at += 37) {
      auto damaged = disk->AfterCrash(Crash::kLost, 1);
      if (!with_head) {
        ASSERT_TRUE(damaged->Remove("head"));
      }
      std::byte flipped[] = {file[at] ^ static_cast<std::byte>(1 << at % 8)};
      ASSERT_TRUE(damaged->Damage("log/000001.log", static_cast<int64_t>(at), flipped));
      Ledger ledger;
      auto opened = ledger.Open(damaged, Options(1 << 20));
      const bool last_group = at >= groups[7];
      if (!opened) {
        ++refused;
        EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
        EXPECT_NE(opened.error().message.find("log/000001.log at offset"), std::string::npos)
            << opened.error().message;
        EXPECT_NE(opened.error().message.find("zn-fsck"), std::string::npos);
        EXPECT_TRUE(with_head || !last_group);
      } else if (ledger.state().size() == 8) {
        ++harmless;  // in padding
      } else {
        ++lost;
        EXPECT_TRUE(!with_head && last_group) << "at " << at;
        EXPECT_EQ(ledger.state().size(), 7u);
        EXPECT_EQ(damaged->List("quarantine")->size(), 1u);
      }
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(lost, 10);
  EXPECT_GT(harmless, 10);
}

TEST(LogRecovery, CutFileIsATornTailOrRefused) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  auto disk = EightCommits(&refs);
  auto file = *disk->Contents("log/000001.log");
  auto groups = GroupOffsets(file);
  for (size_t size = 0; size < file.size(); size += 512) {
    auto cut = disk->AfterCrash(Crash::kLost, 1);
    ASSERT_TRUE(cut->Cut("log/000001.log", static_cast<int64_t>(size)));
    Ledger with_head;
    auto opened = with_head.Open(cut, Options(1 << 20));
    ASSERT_FALSE(opened) << "at " << size;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);

    ASSERT_TRUE(cut->Remove("head"));
    Ledger ledger;
    opened = ledger.Open(cut, Options(1 << 20));
    ASSERT_TRUE(opened) << "at " << size << ": " << opened.error().message;
    uint64_t whole = 0;
    while (whole + 1 < groups.size() && groups[whole + 1] <= size) ++whole;
    ASSERT_EQ(ledger.state().size(), whole) << "at " << size;
    for (uint64_t number = 1; number <= whole; ++number) {
      ledger.ExpectReadable(number, refs[number]);
    }
    // And the log goes on.
    ASSERT_TRUE(ledger.Commit(9));
    Ledger again;
    ASSERT_TRUE(again.Open(cut->AfterCrash(Crash::kLost, 1), Options(1 << 20)));
    EXPECT_EQ(again.state().size(), whole + 1);
  }
}

// The tail's bytes are kept for whoever wants to look, and the file itself is left as it is for
// those who have it mapped.
TEST(LogRecovery, TornTailIsCopiedAndTheFileLeft) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  auto disk = EightCommits(&refs);
  ASSERT_TRUE(disk->Remove("head"));
  auto file = *disk->Contents("log/000001.log");
  uint64_t torn = GroupOffsets(file)[7];
  std::byte zero[64] = {};
  ASSERT_TRUE(disk->Damage("log/000001.log", static_cast<int64_t>(torn) + 64, zero));
  auto damaged = *disk->Contents("log/000001.log");
  Ledger ledger;
  ASSERT_TRUE(ledger.Open(disk, Options(1 << 20)));
  ASSERT_TRUE(ledger.Commit(9));
  EXPECT_EQ(*disk->Contents("log/000001.log"), damaged);
  auto kept = disk->Contents("quarantine/000001.log.at-" + std::to_string(torn));
  ASSERT_TRUE(kept);
  EXPECT_TRUE(std::equal(kept->begin(), kept->end(), damaged.begin() + static_cast<long>(torn),
                         damaged.end()));
  // A reader that starts from the old file's checkpoint passes the dead tail by.
  LogOptions options = Options(1 << 20);
  options.read_only = true;
  auto reader = OpenMemoryLog(disk, options);
  ASSERT_TRUE(reader);
  EXPECT_EQ(ReplayAll(**reader).size(), 3u);  // file 2: its checkpoint, and commit 9 of two records
}

TEST(LogRecovery, UnfinishedFileIsPutAside) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  for (size_t size : {size_t{0}, size_t{100}, size_t{4096}}) {
    auto disk = EightCommits(&refs);
    auto file = disk->Create("log/000002.log");
    ASSERT_TRUE(file);
    auto garbage = Payload(size, 1);
    std::span<const std::byte> pieces[] = {garbage};
    ASSERT_TRUE((*file)->Write(0, pieces));
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(disk, Options(1 << 20)));
    EXPECT_EQ(ledger.state().size(), 8u);
    EXPECT_EQ(*disk->List("log"), std::vector<std::string>{"000001.log"});
    EXPECT_EQ(*disk->List("quarantine"), std::vector<std::string>{"000002.log"});
  }
}

// The next file gets the number of the one that was put aside. Reading from it what stood there once would be reading
// other bytes, or none at all.
TEST(LogRecovery, TheNumberOfAFilePutAsideNamesTheNextOne) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  auto disk = EightCommits(&refs);
  auto file = disk->Create("log/000002.log");
  ASSERT_TRUE(file);
  auto garbage = Payload(4096, 1);
  std::span<const std::byte> pieces[] = {garbage};
  ASSERT_TRUE((*file)->Write(0, pieces));
  Ledger ledger;
  ASSERT_TRUE(ledger.Open(disk, Options(1)));  // every group begins a file
  std::vector<RecordRef> written;
  ASSERT_TRUE(ledger.Commit(9, &written));
  EXPECT_EQ(disk->List("log")->back(), "000002.log");
  ledger.ExpectReadable(9, written);
}

TEST(LogRecovery, MissingFilesAreRefused) {
  auto disk = std::make_shared<MemoryFileSystem>();
  Outcome outcome;
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(disk));
    Work(ledger, 1, 40, 1, outcome);
    ASSERT_GE(ledger.log().stats().files, 3);
  }
  auto files = *disk->List("log");
  auto without_newest = disk->AfterCrash(Crash::kLost, 1);
  ASSERT_TRUE(without_newest->Remove("log/" + files.back()));
  Ledger ledger;
  EXPECT_EQ(ledger.Open(without_newest).error().code, ErrorCode::kCorrupt);
  auto without_last_but_one = disk->AfterCrash(Crash::kLost, 1);
  ASSERT_TRUE(without_last_but_one->Remove("log/" + files[files.size() - 2]));
  EXPECT_EQ(ledger.Open(without_last_but_one).error().code, ErrorCode::kCorrupt);
  auto shortened = disk->AfterCrash(Crash::kLost, 1);
  ASSERT_TRUE(shortened->Cut("log/" + files[files.size() - 2], 4096));
  EXPECT_EQ(ledger.Open(shortened).error().code, ErrorCode::kCorrupt);
}

// A log of another store, or with another salt, holds nothing that this one may take for its own.
TEST(LogRecovery, LogOfAnotherStoreIsNotRead) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  auto disk = EightCommits(&refs);
  LogOptions options = Options();
  options.salt = kSalt + 1;
  Ledger ledger;
  ASSERT_TRUE(ledger.Open(disk, options));
  EXPECT_TRUE(ledger.state().empty());
  EXPECT_EQ(disk->List("quarantine")->size(), 1u);
}

// head may be anything after a crash; it helps or is passed over.
TEST(LogRecovery, StaleOrDamagedHeadIsNoHarm) {
  auto disk = std::make_shared<MemoryFileSystem>();
  Outcome outcome;
  std::vector<std::vector<std::byte>> heads;
  {
    Ledger ledger;
    ASSERT_TRUE(ledger.Open(disk));
    for (uint64_t first = 1; first < 60; first += 3) {
      Work(ledger, first, 2, first, outcome);
      heads.push_back(*disk->Contents("head"));
    }
  }
  for (auto& head : heads) {
    for (size_t flip = 0; flip < 66; ++flip) {
      auto copy = disk->AfterCrash(Crash::kLost, 1);
      auto bytes = head;
      if (flip < 64) bytes[flip] ^= std::byte{0x21};
      ASSERT_TRUE(copy->Damage("head", 0, bytes));
      if (flip == 64) {
        ASSERT_TRUE(copy->Cut("head", 100));
      }
      Ledger ledger;
      auto opened = ledger.Open(copy);
      ASSERT_TRUE(opened) << opened.error().message;
      EXPECT_EQ(ledger.state(), outcome.appended);
    }
  }
}

// A reader of a store whose head is gone still reads, and continues.
TEST(LogRecovery, ReaderWithoutHeadScans) {
  std::map<uint64_t, std::vector<RecordRef>> refs;
  auto disk = EightCommits(&refs);
  ASSERT_TRUE(disk->Remove("head"));
  auto files_before = *disk->List("log");
  LogOptions options = Options(1 << 20);
  options.read_only = true;
  Ledger reader;
  ASSERT_TRUE(reader.Open(disk, options));
  EXPECT_EQ(reader.state().size(), 8u);
  EXPECT_TRUE(ReplayAll(reader.log()).empty());
  Ledger writer;
  ASSERT_TRUE(writer.Open(disk, Options(1 << 20)));
  ASSERT_TRUE(writer.Commit(9));
  EXPECT_EQ(ReplayAll(reader.log()).size(), 2u);
}

// After a power cut head is of another boot, and may be older than what was acknowledged: who only reads, before any
// writer has been there, sees all of it.
TEST(LogRecovery, ReaderAfterAPowerCutSeesWhatHeadDoesNotKnow) {
  auto disk = std::make_shared<MemoryFileSystem>();
  LogOptions writing = Options(1 << 20);
  writing.boot = 1;
  std::vector<std::byte> behind;
  {
    Ledger writer;
    ASSERT_TRUE(writer.Open(disk, writing));
    ASSERT_TRUE(writer.Commit(1));
    behind = *disk->Contents("head");
    ASSERT_TRUE(writer.Commit(2));
    ASSERT_TRUE(writer.Commit(3));
  }
  auto after = disk->AfterCrash(Crash::kLost, 1);
  ASSERT_TRUE(after->Damage("head", 0, behind));
  LogOptions reading = writing;
  reading.read_only = true;
  reading.boot = 2;
  Ledger reader;
  ASSERT_TRUE(reader.Open(after, reading));
  EXPECT_EQ(reader.state(), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_TRUE(ReplayAll(reader.log()).empty());
  // And follows the next writer.
  LogOptions next = writing;
  next.boot = 2;
  Ledger writer;
  ASSERT_TRUE(writer.Open(after, next));
  ASSERT_TRUE(writer.Commit(4));
  EXPECT_FALSE(ReplayAll(reader.log()).empty());
}

// Readers follow over a dead tail into the next file.
TEST(LogRecovery, ReaderPassesADeadTail) {
  auto disk = std::make_shared<MemoryFileSystem>();
  LogOptions options = Options(1 << 20);
  Ledger reader;
  {
    Ledger writer;
    ASSERT_TRUE(writer.Open(disk, options));
    ASSERT_TRUE(writer.Commit(1));
    LogOptions reading = options;
    reading.read_only = true;
    ASSERT_TRUE(reader.Open(disk, reading));
    EXPECT_EQ(reader.state().size(), 1u);
    disk->FailOnce(MemoryFileSystem::Operation::kWrite, 0);  // leaves half a group
    ASSERT_FALSE(writer.Commit(7));
  }
  Ledger writer;
  ASSERT_TRUE(writer.Open(disk, options));
  EXPECT_EQ(writer.state(), std::vector<uint64_t>{1});
  ASSERT_TRUE(writer.Commit(2));
  ASSERT_TRUE(writer.Commit(3));
  std::vector<uint64_t> seen;
  ASSERT_TRUE(reader.log().Replay([&](uint64_t sequence, const LoggedRecord&) -> Result<> {
    seen.push_back(sequence);
    return {};
  }));
  EXPECT_EQ(seen.front(), 2u);
  EXPECT_EQ(seen.back(), 3u);
}

}  // namespace
}  // namespace zn::test
