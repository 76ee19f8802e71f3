// What every PackStore must do, whatever it stands on. A fixture gives Open(), Reopen() and
// OpenReader(), all sealing at kSealBytes and with kSalt.
#pragma once

#include <gtest/gtest.h>

#include <sys/types.h>
#include <unistd.h>

#include <random>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "pack/pack_store.h"

namespace zn::test {

inline constexpr int64_t kSealBytes = 64 << 10;
inline constexpr uint32_t kSalt = 0x5a17;

inline std::vector<std::byte> Payload(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

inline std::vector<std::byte> ToVector(const Buffer& buffer) {
  return {buffer.bytes().begin(), buffer.bytes().end()};
}

inline RecordRef PutOne(PackStore& store, const std::vector<std::byte>& payload) {
  auto ref = store.Put(RecordType::kChunk, HashSha256(payload), payload);
  EXPECT_TRUE(ref) << (ref ? "" : ref.error().message);
  return ref ? *ref : RecordRef{};
}

inline void ExpectReads(const PackStore& store, const RecordRef& ref,
                        const std::vector<std::byte>& payload) {
  auto read = store.Read(ref);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(ToVector(*read), payload);
}

template <class Fixture>
class PackConformance : public Fixture {};
TYPED_TEST_SUITE_P(PackConformance);

TYPED_TEST_P(PackConformance, RecordsAreReadableAtOnce) {
  auto store = this->Open();
  for (size_t size : {0, 1, 63, 64, 65, 5000}) {
    auto payload = Payload(size, size);
    RecordRef ref = PutOne(*store, payload);
    EXPECT_EQ(ref.length, size);
    EXPECT_EQ(ref.offset % 64, 0u);
    EXPECT_FALSE(ref.in_log());
    ExpectReads(*store, ref, payload);
  }
}

TYPED_TEST_P(PackConformance, SyncedRecordsSurvive) {
  std::vector<RecordRef> refs;
  auto store = this->Open();
  for (uint64_t i = 0; i < 100; ++i) refs.push_back(PutOne(*store, Payload(3000, i)));
  ASSERT_TRUE(store->Sync());
  EXPECT_GE(store->stats().packs, 4);
  store = this->Reopen(std::move(store));
  for (uint64_t i = 0; i < 100; ++i) {
    ExpectReads(*store, refs[i], Payload(3000, i));
    auto found = store->Find(refs[i].name);
    ASSERT_TRUE(found) << i;
    EXPECT_EQ(*found, refs[i]);
  }
  EXPECT_FALSE(store->Find(HashSha256(Payload(3000, 100))));
  // What was there is never written to again.
  RecordRef next = PutOne(*store, Payload(10, 7));
  EXPECT_GT(next.file, refs.back().file);
}

// Deduplication within one import.
TYPED_TEST_P(PackConformance, OwnRecordsAreFoundBeforeAndAfterSealing) {
  auto store = this->Open();
  RecordRef first = PutOne(*store, Payload(3000, 1));
  EXPECT_EQ(store->Find(first.name), first);
  for (uint64_t i = 2; i < 60; ++i) PutOne(*store, Payload(3000, i));
  ASSERT_TRUE(store->Sync());
  EXPECT_EQ(store->Find(first.name), first);
}

TYPED_TEST_P(PackConformance, RecordMayBeLargerThanAPack) {
  auto store = this->Open();
  PutOne(*store, Payload(100, 1));
  auto payload = Payload(40 * kSealBytes, 2);
  RecordRef big = PutOne(*store, payload);
  RecordRef after = PutOne(*store, Payload(100, 3));
  EXPECT_GT(after.file, big.file);
  ExpectReads(*store, big, payload);
  ASSERT_TRUE(store->Sync());
  store = this->Reopen(std::move(store));
  ExpectReads(*store, big, payload);
  ExpectReads(*store, after, Payload(100, 3));
}

TYPED_TEST_P(PackConformance, BufferOutlivesTheStore) {
  auto store = this->Open();
  RecordRef ref = PutOne(*store, Payload(3000, 1));
  Buffer kept = *store->Read(ref);
  store.reset();
  EXPECT_EQ(ToVector(kept), Payload(3000, 1));
}

TYPED_TEST_P(PackConformance, DescriptorReadsTheSameBytes) {
  auto store = this->Open();
  auto payload = Payload(3000, 1);
  RecordRef ref = PutOne(*store, payload);
  auto fd = store->Descriptor(ref);
  ASSERT_TRUE(fd) << fd.error().message;
  std::vector<std::byte> bytes(ref.length);
  ASSERT_EQ(::pread(*fd, bytes.data(), bytes.size(), static_cast<off_t>(ref.offset)),
            static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(bytes, payload);
  EXPECT_EQ(store->Descriptor(ref).value(), *fd);
}

TYPED_TEST_P(PackConformance, WrongReferencesAreErrors) {
  auto store = this->Open();
  RecordRef good = PutOne(*store, Payload(1000, 1));
  PutOne(*store, Payload(1000, 2));
  auto code = [&](RecordRef ref) {
    auto read = store->Read(ref);
    return read ? ErrorCode::kInternal : read.error().code;
  };
  RecordRef ref = good;
  ref.offset += 64;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.offset += 8;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.length = UINT32_MAX;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.offset = UINT64_MAX - 63;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.offset = 64;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.name.bytes[0] ^= std::byte{1};
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  ref = good;
  ref.file = 77;
  EXPECT_EQ(code(ref), ErrorCode::kNotFound);
  ref.file = RecordRef::kLogBit | 1;
  EXPECT_EQ(code(ref), ErrorCode::kCorrupt);
  EXPECT_EQ(code(RecordRef{}), ErrorCode::kCorrupt);
  EXPECT_TRUE(store->Read(good));
}

// A reader in another process has the pack mapped from before the record was written.
TYPED_TEST_P(PackConformance, ReaderFollowsAGrowingPack) {
  auto store = this->Open();
  RecordRef first = PutOne(*store, Payload(1000, 1));
  ASSERT_TRUE(store->Sync());
  auto reader = this->OpenReader();
  ExpectReads(*reader, first, Payload(1000, 1));
  for (uint64_t i = 2; i < 50; ++i) {
    RecordRef ref = PutOne(*store, Payload(5000, i));
    ASSERT_TRUE(store->Sync());
    ExpectReads(*reader, ref, Payload(5000, i));
  }
  auto refused = reader->Put(RecordType::kChunk, Sha256{}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kReadOnly);
}

TYPED_TEST_P(PackConformance, ManyThreadsPutSyncAndRead) {
  constexpr uint64_t kThreads = 8, kEach = 60;
  auto store = this->Open();
  std::vector<std::vector<RecordRef>> refs(kThreads);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        auto payload = Payload(500 + 700 * (i % 7), t * 1000 + i);
        refs[t].push_back(PutOne(*store, payload));
        ExpectReads(*store, refs[t].back(), payload);
        EXPECT_TRUE(store->Find(refs[t].back().name));
        if (i % 20 == t) {
          EXPECT_TRUE(store->Sync());
        }
      }
      EXPECT_TRUE(store->Sync());
    });
  }
  for (auto& thread : threads) thread.join();
  store = this->Reopen(std::move(store));
  for (uint64_t t = 0; t < kThreads; ++t) {
    ASSERT_EQ(refs[t].size(), kEach);
    for (uint64_t i = 0; i < kEach; ++i) {
      ExpectReads(*store, refs[t][i], Payload(500 + 700 * (i % 7), t * 1000 + i));
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(PackConformance, RecordsAreReadableAtOnce, SyncedRecordsSurvive,
                            OwnRecordsAreFoundBeforeAndAfterSealing, RecordMayBeLargerThanAPack,
                            BufferOutlivesTheStore, DescriptorReadsTheSameBytes,
                            WrongReferencesAreErrors, ReaderFollowsAGrowingPack,
                            ManyThreadsPutSyncAndRead);

}  // namespace zn::test
