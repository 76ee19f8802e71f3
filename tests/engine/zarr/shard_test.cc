#include <gtest/gtest.h>

#include "base/hash.h"
#include "engine/zarr/zarr_support.h"
#include "zarr/encoded_chunks.h"
#include "zarr/shard.h"

namespace zn {
namespace {

std::vector<std::byte> Whole(const ZarrShard& shard) {
  std::vector<Buffer> pieces;
  const auto read = shard.Read(0, shard.size(), UINT64_MAX, &pieces);
  EXPECT_TRUE(read && *read == shard.size());
  std::vector<std::byte> bytes;
  for (const Buffer& piece : pieces)
    bytes.insert(bytes.end(), piece.data(), piece.data() + piece.size());
  return bytes;
}

/// Reads one chunk out of shards as the specification of sharding_indexed says.
std::optional<Buffer> ChunkOfShards(const ZarrView& view, const ZarrArray& array,
                                    std::span<const int64_t> chunk) {
  const ZarrSharding& sharding = *array.metadata.sharding;
  std::vector<int64_t> shard;
  size_t entry = 0, entries = 1;
  for (size_t axis = 0; axis < chunk.size(); ++axis) {
    const int64_t per = sharding.shard[axis] / array.metadata.chunks[axis];
    shard.push_back(chunk[axis] / per);
    entry = entry * static_cast<size_t>(per) + static_cast<size_t>(chunk[axis] % per);
    entries *= static_cast<size_t>(per);
  }
  const auto opened = view.OpenShard(array, shard);
  EXPECT_TRUE(opened) << opened.error().message;
  if (!*opened) return std::nullopt;
  const std::vector<std::byte> bytes = Whole(**opened);
  const std::span<const std::byte> index = std::span(bytes).last(entries * 16 + 4);
  uint32_t crc;
  std::memcpy(&crc, index.data() + entries * 16, 4);
  EXPECT_EQ(crc, Crc32c(index.first(entries * 16)));
  uint64_t place[2];
  std::memcpy(place, index.data() + entry * 16, 16);
  if (place[0] == UINT64_MAX && place[1] == UINT64_MAX) return std::nullopt;
  EXPECT_GT(place[1], 0u);
  EXPECT_LE(place[0] + place[1], bytes.size() - index.size());
  // A range gives the same without the rest.
  std::vector<Buffer> pieces;
  EXPECT_EQ((*opened)->Read(place[0], place[1], UINT64_MAX, &pieces).value(), place[1]);
  EXPECT_EQ(pieces.size(), 1u);
  EXPECT_EQ(std::memcmp(pieces[0].data(), bytes.data() + place[0], place[1]), 0);
  return Buffer::Copy(std::span(bytes).subspan(place[0], place[1]));
}

TEST(ZarrShards, HoldTheChunksOfTheView) {
  ZarrRooms rooms;
  const auto room = rooms.Import("md", MixedFrames({2, 5, 0, 3, 3, 9, 1, 1, 4, 4}));
  ASSERT_TRUE(room->Insert(2, MixedFrames({6}, 1), {}));
  const auto plain = ViewOf(room->Head()), sharded = ViewOf(room->Head(), true);
  EXPECT_EQ(sharded->Document(".zmetadata"), nullptr);
  ASSERT_EQ(plain->arrays().size(), sharded->arrays().size());
  for (const ZarrArray& array : sharded->arrays()) {
    SCOPED_TRACE(array.name);
    ASSERT_TRUE(array.metadata.sharding);
    EXPECT_LE(array.metadata.sharding->shard.Elements() / array.metadata.chunks.Elements(), 512);
    EXPECT_NE(sharded->Document(array.name + "/zarr.json"), nullptr);
    const ReadArray want = ReadZarr(*plain, array.name);
    const ReadArray got = ReadZarr(array, [&](const ZarrArray& a, std::span<const int64_t> chunk) {
      return ChunkOfShards(*sharded, a, chunk);
    });
    EXPECT_EQ(got.shape, want.shape);
    EXPECT_EQ(got.bytes, want.bytes);
    EXPECT_EQ(got.texts, want.texts);
  }
}

TEST(ZarrShards, EveryRangeIsAPartOfTheWhole) {
  ZarrRooms rooms;
  const auto room = rooms.Import("md", MixedFrames(std::vector<int32_t>(30, 4)));
  const auto view = ViewOf(room->Head(), true);
  const ZarrArray& array = *view->Find("arrays.positions");
  const auto shard = *view->OpenShard(array, std::vector<int64_t>{0, 0, 0});
  ASSERT_TRUE(shard);
  const std::vector<std::byte> bytes = Whole(*shard);
  ASSERT_EQ(bytes.size(), shard->size());
  for (uint64_t offset = 0; offset <= bytes.size(); offset += 37) {
    for (const uint64_t count :
         {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{1000}, bytes.size()}) {
      std::vector<std::byte> got;
      uint64_t at = offset;
      const uint64_t end = std::min(offset + count, bytes.size());
      while (at < end) {  // as a stream reads it
        std::vector<Buffer> pieces;
        const auto read = shard->Read(at, end - at, 1, &pieces);
        ASSERT_TRUE(read && *read > 0);
        at += *read;
        for (const Buffer& piece : pieces)
          got.insert(got.end(), piece.data(), piece.data() + piece.size());
      }
      ASSERT_EQ(got.size(), end - std::min<uint64_t>(offset, end));
      EXPECT_TRUE(
          std::equal(got.begin(), got.end(), bytes.begin() + static_cast<ptrdiff_t>(offset)));
    }
  }
}

// Clients keep shards by their tag.
TEST(ZarrShards, TheTagIsThatOfTheContent) {
  ZarrRooms rooms;
  const auto a = rooms.Import("a", MixedFrames({4, 4, 4, 4, 4})),
             b = rooms.Import("b", MixedFrames({4, 4, 4, 4, 4}));
  const std::vector<int64_t> first = {0, 0, 0};
  const auto tag = [&](const std::shared_ptr<Room>& room) {
    const auto view = ViewOf(room->Head(), true);
    return (*view->OpenShard(*view->Find("arrays.positions"), first))->tag();
  };
  EXPECT_EQ(tag(a), tag(b));
  const Sha256 before = tag(a);
  FrameBatch change;
  change.n_atoms = {4};
  change.columns = {*MixedFrames({4}, 1).Find("arrays.positions")};
  ASSERT_TRUE(a->Edit(4, change, {}, {}));
  EXPECT_NE(tag(a), before);
}

TEST(ZarrShards, AnIndexOfMissingChunksOnlyIsNoShard) {
  const std::vector<std::vector<int64_t>> chunks = {{0}, {1}};
  std::vector<internal::ShardChunk> sizes(2);
  EXPECT_TRUE(internal::MakeShardTable(chunks, sizes).parts.empty());
  sizes[1] = {false, {}, 10};
  const internal::ShardTable table = internal::MakeShardTable(chunks, sizes);
  ASSERT_EQ(table.parts.size(), 1u);
  EXPECT_EQ(table.size, 10u + 2 * 16 + 4);
  const auto* entries = reinterpret_cast<const uint64_t*>(table.index.data());
  EXPECT_EQ(entries[0], UINT64_MAX);
  EXPECT_EQ(entries[2], 0u);
  EXPECT_EQ(entries[3], 10u);
}

Sha256 Name(uint8_t n) {
  Sha256 name;
  name.bytes[0] = std::byte{n};
  return name;
}

// A server that forgets this bound fills its memory with edited rooms.
TEST(EncodedChunks, KeepsWhatWasUsedLastWithinItsBounds) {
  internal::EncodedChunks chunks(100, 4);
  const auto put = [&](uint8_t n, size_t size) {
    chunks.Put(Name(n), {false, Name(n), size, Buffer::Own(std::vector<std::byte>(size))});
  };
  put(1, 60);
  put(2, 40);
  EXPECT_EQ(chunks.Find(Name(1))->bytes.size(), 60u);
  put(3, 40);  // 2 makes room, as 1 was used since
  EXPECT_EQ(chunks.Find(Name(2))->bytes.size(), 0u);
  EXPECT_EQ(chunks.Find(Name(2))->size, 40u);
  EXPECT_EQ(chunks.Find(Name(1))->bytes.size(), 60u);
  put(4, 200);  // larger than everything
  EXPECT_EQ(chunks.Find(Name(4))->bytes.size(), 0u);
  EXPECT_EQ(chunks.Find(Name(4))->size, 200u);
  put(5, 10);  // the fifth entry: 3, used longest ago, goes
  EXPECT_FALSE(chunks.Find(Name(3)));
  EXPECT_TRUE(chunks.Find(Name(5)));
  put(5, 20);
  EXPECT_EQ(chunks.Find(Name(5))->bytes.size(), 20u);
}

}  // namespace
}  // namespace zn
