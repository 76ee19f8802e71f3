#include "pack/pack_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <set>

#include "base/file.h"
#include "engine/pack/pack_conformance.h"
#include "pack/memory_pack_store.h"
#include "pack/pack_format.h"

namespace zn::test {
namespace {

class LocalFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "zn_pack_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    store_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(store_)); }

  std::unique_ptr<PackStore> OpenAs(bool read_only) {
    LocalPackStoreOptions options;
    options.directory = store_ + "/packs";
    options.quarantine = store_ + "/quarantine";
    options.salt = kSalt;
    options.read_only = read_only;
    options.seal_bytes = kSealBytes;
    auto store = OpenLocalPackStore(options);
    EXPECT_TRUE(store) << (store ? "" : store.error().message);
    return store ? std::move(*store) : nullptr;
  }
  std::unique_ptr<PackStore> Open() { return OpenAs(false); }
  std::unique_ptr<PackStore> OpenReader() { return OpenAs(true); }
  std::unique_ptr<PackStore> Reopen(std::unique_ptr<PackStore> store) {
    store.reset();
    return OpenAs(false);
  }

  std::string store_;
};

class MemoryFixture : public ::testing::Test {
 protected:
  std::unique_ptr<PackStore> OpenAs(bool read_only) {
    PackStoreOptions options;
    options.salt = kSalt;
    options.read_only = read_only;
    options.seal_bytes = kSealBytes;
    auto store = OpenMemoryPackStore(disk_, options);
    EXPECT_TRUE(store) << (store ? "" : store.error().message);
    return store ? std::move(*store) : nullptr;
  }
  std::unique_ptr<PackStore> Open() { return OpenAs(false); }
  std::unique_ptr<PackStore> OpenReader() { return OpenAs(true); }
  // After a clean close and a power failure.
  std::unique_ptr<PackStore> Reopen(std::unique_ptr<PackStore> store) {
    store.reset();
    disk_ = disk_->AfterCrash(MemoryFileSystem::Crash::kLost, 1);
    return OpenAs(false);
  }

  std::shared_ptr<MemoryFileSystem> disk_ = std::make_shared<MemoryFileSystem>();
};

INSTANTIATE_TYPED_TEST_SUITE_P(LocalPackStore, PackConformance, LocalFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(MemoryPackStore, PackConformance, MemoryFixture);

class PackStoreFaults : public MemoryFixture {};

// A chunk whose bytes rotted on the disk is reported, with its place, and not handed out.
TEST_F(PackStoreFaults, FlippedBitIsFoundOnFirstUse) {
  auto store = Open();
  RecordRef ref = PutOne(*store, Payload(1000, 1));
  ASSERT_TRUE(store->Sync());
  store = Reopen(std::move(store));
  std::byte flipped[] = {Payload(1000, 1)[500] ^ std::byte{4}};
  ASSERT_TRUE(disk_->Damage("packs/000001.pack", static_cast<int64_t>(ref.offset) + 500, flipped));
  auto read = store->Read(ref);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(read.error().message.find("packs/000001.pack at offset 128"), std::string::npos)
      << read.error().message;
  // Nobody deduplicates against it.
  EXPECT_FALSE(store->Find(ref.name));
}

// Only what a read touches is checked, and everything that it touches is.
TEST_F(PackStoreFaults, FlippedBitInAnyBlockIsFoundByTheReadThatTouchesIt) {
  constexpr size_t kSize = 5 * kCheckBlock + 100;
  const auto payload = Payload(kSize, 1);
  auto store = Open();
  const RecordRef ref = PutOne(*store, payload);
  ASSERT_TRUE(store->Sync());
  store.reset();
  const auto disk = disk_;
  for (size_t damaged = 0; damaged < 6; ++damaged) {
    disk_ = disk->AfterCrash(MemoryFileSystem::Crash::kLost, 1);
    const size_t at = damaged * kCheckBlock + 50;
    std::byte flipped[] = {payload[at] ^ std::byte{32}};
    ASSERT_TRUE(disk_->Damage("packs/000001.pack", static_cast<int64_t>(ref.offset + at), flipped));
    auto reader = OpenReader();
    // Twice: what was found sound at first must not vouch for its neighbours.
    for (int round = 0; round < 2; ++round) {
      for (size_t block = 0; block < 6; ++block) {
        auto source = reader->Open(ref);
        ASSERT_TRUE(source) << source.error().message;
        ASSERT_EQ((*source)->size(), kSize);
        const auto bytes = (*source)->Fetch(block * kCheckBlock + 60, 20);
        if (block == damaged) {
          ASSERT_FALSE(bytes) << "block " << block;
          EXPECT_EQ(bytes.error().code, ErrorCode::kCorrupt);
          EXPECT_NE(bytes.error().message.find("packs/000001.pack at offset"), std::string::npos);
        } else {
          ASSERT_TRUE(bytes) << bytes.error().message;
          EXPECT_TRUE(std::equal(bytes->begin(), bytes->end(), payload.begin() + static_cast<long>(block * kCheckBlock + 60)));
        }
      }
      auto source = reader->Open(ref);
      ASSERT_TRUE(source);
      EXPECT_FALSE((*source)->Fetch(0, kSize));
      EXPECT_FALSE(reader->Read(ref));
    }
  }
}

// The front of a record is remembered after its first read: what comes from there and what from the pack is the same.
TEST_F(PackStoreFaults, PartsAroundTheFrontOfARecord) {
  const auto payload = Payload(40000, 1);
  auto store = Open();
  const RecordRef ref = PutOne(*store, payload);
  for (int round = 0; round < 2; ++round) {
    for (const auto& [offset, count] : {std::pair<size_t, size_t>{0, 16}, {16, 304}, {0, 320}, {0, 321}, {319, 2},
                                        {320, 10}, {4090, 10}, {39999, 1}, {0, 40000}, {320, 0}}) {
      auto source = store->Open(ref);
      ASSERT_TRUE(source);
      for (int again = 0; again < 2; ++again) {
        const auto bytes = (*source)->Fetch(offset, count);
        ASSERT_TRUE(bytes) << bytes.error().message;
        ASSERT_EQ(bytes->size(), count);
        EXPECT_TRUE(std::equal(bytes->begin(), bytes->end(), payload.begin() + static_cast<long>(offset)));
      }
    }
  }
}

TEST_F(PackStoreFaults, ForgedReferenceIsRefusedInParts) {
  auto store = Open();
  RecordRef ref = PutOne(*store, Payload(20000, 1));
  RecordRef other = ref;
  other.name.bytes[0] ^= std::byte{1};
  RecordRef longer = ref;
  longer.length += 1;
  RecordRef beyond = ref;
  beyond.length = 1 << 30;
  for (const RecordRef& forged : {other, longer, beyond}) {
    auto source = store->Open(forged);
    if (source) EXPECT_FALSE((*source)->Fetch(100, 10));
  }
}

// A cut file must be an error, not a SIGBUS that takes the server down.
TEST_F(PackStoreFaults, CutPackIsAnError) {
  RecordRef first, last;
  {
    auto store = Open();
    first = PutOne(*store, Payload(1000, 1));
    last = PutOne(*store, Payload(20000, 2));
    ASSERT_TRUE(store->Sync());
  }
  disk_ = disk_->AfterCrash(MemoryFileSystem::Crash::kLost, 1);
  ASSERT_TRUE(disk_->Cut("packs/000001.pack", 5000));
  auto store = Open();
  ExpectReads(*store, first, Payload(1000, 1));
  auto read = store->Read(last);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
}

TEST_F(PackStoreFaults, PackOfAnotherStoreIsRefused) {
  RecordRef ref;
  {
    auto store = Open();
    ref = PutOne(*store, Payload(1000, 1));
  }
  PackStoreOptions options;
  options.salt = kSalt + 1;
  auto other = OpenMemoryPackStore(disk_, options);
  ASSERT_TRUE(other);
  auto read = (*other)->Read(ref);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE((*other)->Find(ref.name));
}

TEST_F(PackStoreFaults, DamagedIndexFindsNothingAndHarmsNothing) {
  RecordRef ref;
  {
    auto store = Open();
    ref = PutOne(*store, Payload(1000, 1));
  }
  auto bytes = disk_->Contents("packs/000001.idx");
  ASSERT_TRUE(bytes);
  for (size_t i = 0; i < bytes->size(); i += 5) {
    std::byte flipped[] = {(*bytes)[i] ^ std::byte{0x10}};
    ASSERT_TRUE(disk_->Damage("packs/000001.idx", static_cast<int64_t>(i), flipped));
    auto store = Open();
    auto found = store->Find(ref.name);
    if (found) {
      EXPECT_EQ(*found, ref);  // in a byte that Find does not look at
    }
    ExpectReads(*store, ref, Payload(1000, 1));
    std::byte original[] = {(*bytes)[i]};
    ASSERT_TRUE(disk_->Damage("packs/000001.idx", static_cast<int64_t>(i), original));
  }
}

TEST_F(PackStoreFaults, FailedWriteOrSyncStopsWriting) {
  for (bool write : {true, false}) {
    for (ErrorCode code : {ErrorCode::kIo, ErrorCode::kNoSpace}) {
      disk_ = std::make_shared<MemoryFileSystem>();
      auto store = Open();
      RecordRef before = PutOne(*store, Payload(100, 1));
      ASSERT_TRUE(store->Sync());
      if (write) {
        disk_->FailOnce(MemoryFileSystem::Operation::kWrite, 0, code);
        auto put = store->Put(RecordType::kChunk, Sha256{}, Payload(100, 2));
        ASSERT_FALSE(put);
        EXPECT_EQ(put.error().code, code);
      } else {
        PutOne(*store, Payload(100, 2));
        disk_->FailOnce(MemoryFileSystem::Operation::kSync, 0, code);
        auto synced = store->Sync();
        ASSERT_FALSE(synced);
        EXPECT_EQ(synced.error().code, code);
      }
      auto put = store->Put(RecordType::kChunk, Sha256{}, Payload(100, 3));
      ASSERT_FALSE(put);
      EXPECT_EQ(put.error().code, ErrorCode::kUnavailable);
      auto synced = store->Sync();
      ASSERT_FALSE(synced);
      EXPECT_EQ(synced.error().code, ErrorCode::kUnavailable);
      EXPECT_NE(synced.error().message.find("injected fault"), std::string::npos);
      ExpectReads(*store, before, Payload(100, 1));
    }
  }
}

// Every operation of a run fails once, with every kind of crash after it: what a Sync returned for
// is there.
TEST_F(PackStoreFaults, WhatWasSyncedSurvivesACrashAtEveryOperation) {
  using Crash = MemoryFileSystem::Crash;
  for (int64_t fail = 0;; ++fail) {
    disk_ = std::make_shared<MemoryFileSystem>();
    auto store = Open();
    disk_->FailFrom(fail);
    std::vector<std::pair<RecordRef, uint64_t>> put, synced;
    bool failed = false;
    for (uint64_t i = 0; i < 40 && !failed; ++i) {
      auto payload = Payload(200 * i, i);
      auto ref = store->Put(RecordType::kChunk, HashSha256(payload), payload);
      if (!ref) break;
      put.emplace_back(*ref, i);
      if (i % 6 == 5) {
        failed = !store->Sync();
        if (!failed) synced = put;
      }
    }
    store.reset();
    auto before = disk_;
    for (Crash crash : {Crash::kRestart, Crash::kLost, Crash::kTorn, Crash::kReordered}) {
      disk_ = before->AfterCrash(crash, static_cast<uint64_t>(fail));
      store = Open();
      for (const auto& [ref, i] : synced) ExpectReads(*store, ref, Payload(200 * i, i));
      for (const auto& [ref, i] : put) {
        // Whether or not the rest survived, it is never found as something else.
        if (auto found = store->Find(ref.name)) ExpectReads(*store, *found, Payload(200 * i, i));
      }
      RecordRef next = PutOne(*store, Payload(10, 1));
      EXPECT_TRUE(store->Sync());
      ExpectReads(*store, next, Payload(10, 1));
      for (const auto& [ref, i] : synced) EXPECT_NE(ref.file, next.file);
    }
    if (fail >= before->operations()) break;
  }
}

class PackStoreMoves : public MemoryFixture {
 protected:
  void WriteMoves(uint32_t pack, std::vector<Move> moves) {
    auto bytes = EncodeMoves(std::move(moves), kSalt);
    auto file = disk_->Create("packs/" + PackFileName(pack, ".moved"));
    ASSERT_TRUE(file);
    std::span<const std::byte> pieces[] = {bytes};
    ASSERT_TRUE((*file)->Write(0, pieces));
  }
};

// References in trees keep naming the collected pack.
TEST_F(PackStoreMoves, AReplacedPackIsReadWhereItWent) {
  RecordRef kept, dropped;
  {
    auto store = Open();
    kept = PutOne(*store, Payload(9000, 1));
    dropped = PutOne(*store, Payload(2000, 2));
  }
  auto store = Open();
  const auto before = store->Read(kept);  // a reader that still has the old place mapped
  ASSERT_TRUE(before);
  const auto closed = store->ListClosed();
  ASSERT_TRUE(closed);
  ASSERT_EQ(closed->size(), 1u);
  const auto scan = store->Scan(1);
  ASSERT_TRUE(scan);
  ASSERT_EQ(scan->entries.size(), 2u);
  const RecordRef moved = PutOne(*store, Payload(9000, 1));
  ASSERT_TRUE(store->Sync());
  ASSERT_TRUE(store->Replace(1, {{kept.offset, moved.offset, moved.file, moved.length}}));
  ExpectReads(*store, kept, Payload(9000, 1));
  EXPECT_EQ(store->Find(dropped.name), std::nullopt) << "what is about to go must not be found again";
  EXPECT_TRUE(store->ListClosed()->at(0).collected);
  ASSERT_TRUE(store->Remove(1));
  EXPECT_EQ(*store->ListMoved(), std::vector<uint32_t>{1});
  ExpectReads(*store, kept, Payload(9000, 1));
  EXPECT_EQ(ToVector(*before), Payload(9000, 1));
  EXPECT_EQ(store->Read(dropped).error().code, ErrorCode::kNotFound);
  std::vector<PackStore::Hop> hops;
  const auto now = store->Locate(kept, &hops);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->file, moved.file);
  EXPECT_EQ(hops, (std::vector<PackStore::Hop>{{1, kept.offset}}));
}

// The process ended between the table and the removal: the pack serves older readers, and nothing new.
TEST_F(PackStoreMoves, ACollectedPackIsNotFoundAgain) {
  RecordRef kept, dropped;
  {
    auto store = Open();
    kept = PutOne(*store, Payload(1000, 1));
    dropped = PutOne(*store, Payload(2000, 2));
  }
  {
    auto store = Open();
    const RecordRef moved = PutOne(*store, Payload(1000, 1));
    ASSERT_TRUE(store->Sync());
    ASSERT_TRUE(store->Replace(1, {{kept.offset, moved.offset, moved.file, moved.length}}));
  }
  auto store = Open();
  EXPECT_EQ(store->Find(dropped.name), std::nullopt);
  EXPECT_EQ(store->Locate(kept, nullptr)->file, 2u) << "or the next collection would take the copy for dead";
  ExpectReads(*OpenReader(), dropped, Payload(2000, 2));
  ASSERT_TRUE(store->ListClosed()->at(0).collected);
  ASSERT_TRUE(store->Remove(1));
  ExpectReads(*store, kept, Payload(1000, 1));
}

// A reader of another process has read a table that the writer has made shorter since.
TEST_F(PackStoreMoves, TablesAreReadAgainWhenTheyLeadNowhere) {
  RecordRef first;
  {
    auto store = Open();
    first = PutOne(*store, Payload(1000, 1));
  }
  auto writer = Open();
  const RecordRef second = PutOne(*writer, Payload(1000, 1));
  ASSERT_TRUE(writer->Sync());
  ASSERT_TRUE(writer->Replace(1, {{first.offset, second.offset, second.file, second.length}}));
  ASSERT_TRUE(writer->Remove(1));
  writer.reset();
  writer = Open();
  auto reader = OpenReader();
  // It knows the first table; where that leads it has not looked yet.
  ASSERT_TRUE(reader->Locate(first, nullptr));
  const RecordRef third = PutOne(*writer, Payload(1000, 1));
  ASSERT_TRUE(writer->Sync());
  ASSERT_TRUE(writer->Replace(2, {{second.offset, third.offset, third.file, third.length}}));
  ASSERT_TRUE(writer->Remove(2));
  ASSERT_TRUE(writer->Replace(1, {{first.offset, third.offset, third.file, third.length}}));
  ASSERT_TRUE(writer->RemoveMoves(2));
  auto late = OpenReader();
  ExpectReads(*late, first, Payload(1000, 1));
  ExpectReads(*reader, first, Payload(1000, 1));
}

TEST_F(PackStoreMoves, ReadFollowsMovedRecords) {
  RecordRef old_first, old_second, first, second;
  {
    auto store = Open();
    old_first = PutOne(*store, Payload(1000, 1));
    old_second = PutOne(*store, Payload(2000, 2));
  }
  {
    auto store = Open();
    second = PutOne(*store, Payload(2000, 2));
    first = PutOne(*store, Payload(1000, 1));
  }
  ASSERT_EQ(first.file, 2u);
  WriteMoves(1, {{old_second.offset, second.offset, 3, second.length}});
  WriteMoves(3, {{second.offset, second.offset, 2, second.length}});
  ASSERT_TRUE(disk_->Remove("packs/000001.pack"));
  ASSERT_TRUE(disk_->Remove("packs/000001.idx"));
  auto store = Open();
  ExpectReads(*store, old_second, Payload(2000, 2));
  EXPECT_EQ(store->Descriptor(old_second).error().code, ErrorCode::kNotFound);
  auto collected = store->Read(old_first);
  ASSERT_FALSE(collected);
  EXPECT_EQ(collected.error().code, ErrorCode::kNotFound);
  // Numbers are not used again, or old references would mean new records.
  EXPECT_EQ(PutOne(*store, Payload(10, 9)).file, 4u);
}

TEST_F(PackStoreMoves, CircleIsCorrupt) {
  RecordRef ref;
  {
    auto store = Open();
    ref = PutOne(*store, Payload(1000, 1));
  }
  WriteMoves(1, {{ref.offset, ref.offset, 2, ref.length}});
  WriteMoves(2, {{ref.offset, ref.offset, 1, ref.length}});
  ASSERT_TRUE(disk_->Remove("packs/000001.pack"));
  auto store = Open();
  auto read = store->Read(ref);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace zn::test
