#include "cache/chunk_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <latch>
#include <random>
#include <thread>

namespace zn {
namespace {

using Promotion = ChunkCache::Promotion;

namespace fs = std::filesystem;

const std::string kCodecs = R"([{"name":"bytes","configuration":{"endian":"little"}}])";
const Shape kShape{64, 100, 3};  // 76,800 bytes of float32: worth a file
constexpr size_t kBytes = 64 * 100 * 3 * sizeof(float);
constexpr int64_t kFileBytes = (kBytes + 128 + 4095) / 4096 * 4096;

class ChunkCacheTest : public testing::Test {
 protected:
  ChunkCacheTest() {
    std::string pattern = (fs::temp_directory_path() / "zn-cache-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    options_.directory = root_ + "/cache";
    options_.boot_id = "boot-1";
    options_.background = false;
  }
  ~ChunkCacheTest() override {
    cache_.reset();
    std::error_code error;
    fs::permissions(root_, fs::perms::owner_all, error);
    fs::remove_all(root_, error);
  }

  void Open() {
    cache_.reset();
    auto cache = ChunkCache::Open(options_);
    ASSERT_TRUE(cache);
    cache_ = *std::move(cache);
  }

  static ChunkKey Key(uint64_t number, const Shape& shape = kShape,
                      const std::string& codecs = kCodecs) {
    ChunkKey key{{}, DType::kFloat32, shape, &codecs};
    // As evenly spread as a hash.
    std::mt19937_64 random(number);
    for (std::byte& byte : key.chunk.bytes) byte = static_cast<std::byte>(random());
    return key;
  }

  static ChunkCache::DecodeAll FillWith(float value) {
    return [value](std::span<std::byte> out) -> Result<> {
      for (size_t i = 0; i < out.size(); i += sizeof value)
        std::memcpy(out.data() + i, &value, sizeof value);
      return {};
    };
  }
  static ChunkCache::DecodeAll MustNotRun() {
    return [](std::span<std::byte>) -> Result<> {
      ADD_FAILURE() << "decoded a chunk that was resident";
      return {};
    };
  }

  static bool HoldsOnly(const Buffer& buffer, float value) {
    for (size_t i = 0; i < buffer.size(); i += sizeof value)
      if (std::memcmp(buffer.data() + i, &value, sizeof value) != 0) return false;
    return buffer.size() > 0;
  }

  Buffer Put(uint64_t number) {
    auto chunk = cache_->GetOrDecode(Key(number), kShape, FillWith(static_cast<float>(number)));
    EXPECT_TRUE(chunk) << chunk.error().message;
    return chunk->bytes;
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    std::error_code error;
    for (const auto& entry :
         fs::directory_iterator(options_.directory + "/" + options_.boot_id, error))
      files.push_back(entry.path().string());
    return files;
  }

  std::string root_;
  ChunkCache::Options options_;
  std::unique_ptr<ChunkCache> cache_;
};

TEST_F(ChunkCacheTest, KeepsWhatWasDecoded) {
  Open();
  EXPECT_FALSE(cache_->Find(Key(1)));
  const Buffer made = Put(1);
  EXPECT_TRUE(HoldsOnly(made, 1));
  EXPECT_EQ(made.size(), kBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(made.data()) % 64, 0u);
  const auto found = cache_->Find(Key(1));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes.data(), made.data());
  EXPECT_EQ(found->shape, kShape);
  EXPECT_TRUE(cache_->GetOrDecode(Key(1), kShape, MustNotRun()));
  const auto stats = cache_->stats();
  EXPECT_EQ(stats.files, 1);
  EXPECT_EQ(stats.bytes, kFileBytes);
  EXPECT_EQ(stats.hits, 2);
  EXPECT_EQ(stats.misses, 1);
  EXPECT_EQ(stats.promoted, 1);
  EXPECT_EQ(stats.heap_bytes, 0);
}

// The same encoded bytes mean other values under another dtype, shape or codec.
TEST_F(ChunkCacheTest, TellsKeysApart) {
  Open();
  Put(1);
  ChunkKey key = Key(1);
  key.dtype = DType::kInt32;
  EXPECT_FALSE(cache_->Find(key));
  EXPECT_FALSE(cache_->Find(Key(1, Shape{100, 64, 3})));
  const std::string other = R"([{"name":"bytes","configuration":{"endian":"big"}}])";
  EXPECT_FALSE(cache_->Find(Key(1, kShape, other)));
  const std::string same = kCodecs;  // at another address
  EXPECT_TRUE(cache_->Find(Key(1, kShape, same)));
  ASSERT_TRUE(cache_->GetOrDecode(Key(1, kShape, other), kShape, FillWith(7)));
  EXPECT_TRUE(HoldsOnly(cache_->Find(Key(1))->bytes, 1));
  EXPECT_TRUE(HoldsOnly(cache_->Find(Key(1, kShape, other))->bytes, 7));
  EXPECT_EQ(Files().size(), 2u);
}

// Whoever looks into the folder, or is given a file, can open it.
TEST_F(ChunkCacheTest, FilesOpenInNumpy) {
  if (::access("/usr/bin/python3", X_OK) != 0 ||
      std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0)
    GTEST_SKIP() << "/usr/bin/python3 has no numpy";
  Open();
  Put(5);
  const Shape kept{64, 60, 3};
  ASSERT_TRUE(cache_->GetOrDecode(Key(6), kept, FillWith(6)));
  ChunkKey complex = Key(7);
  complex.dtype = DType::kComplex128;
  ASSERT_TRUE(cache_->GetOrDecode(complex, kShape, FillWith(0)));
  ChunkKey boolean = Key(8, Shape{70000});
  boolean.dtype = DType::kBool;
  ASSERT_TRUE(cache_->GetOrDecode(boolean, Shape{70000}, FillWith(0)));
  std::ofstream(root_ + "/check.py") << R"(
import glob, numpy, sys
seen = set()
for name in glob.glob(sys.argv[1] + "/*.npy"):
    array = numpy.load(name, mmap_mode="r")
    assert array.offset % 64 == 0
    seen.add((array.dtype.str, array.shape, bool((array == array.flat[0]).all()), complex(array.flat[0])))
assert seen == {("<f4", (64, 100, 3), True, 5), ("<f4", (64, 60, 3), True, 6),
                ("<c16", (64, 100, 3), True, 0), ("|b1", (70000,), True, 0)}, seen
)";
  EXPECT_EQ(
      std::system(
          ("/usr/bin/python3 " + root_ + "/check.py " + options_.directory + "/boot-1").c_str()),
      0);
}

TEST_F(ChunkCacheTest, StaysWithinItsBytes) {
  options_.bounds.max_bytes = 5 * kFileBytes;
  Open();
  for (uint64_t i = 0; i < 50; ++i) Put(i);
  const auto stats = cache_->stats();
  EXPECT_EQ(stats.files, 5);
  EXPECT_EQ(stats.bytes, 5 * kFileBytes);
  EXPECT_EQ(stats.evicted, 45);
  EXPECT_EQ(Files().size(), 5u);
}

TEST_F(ChunkCacheTest, StaysWithinItsMaps) {
  options_.bounds.max_maps = 7;
  Open();
  for (uint64_t i = 0; i < 30; ++i) Put(i);
  EXPECT_EQ(cache_->stats().files, 7);
  EXPECT_EQ(Files().size(), 7u);
}

// What is read all the time must not be pushed out by a scan.
TEST_F(ChunkCacheTest, EvictsWhatIsNotUsed) {
  options_.bounds.max_maps = 16;
  Open();
  Put(1000);
  for (uint64_t i = 0; i < 200; ++i) {
    Put(i);
    EXPECT_TRUE(cache_->Find(Key(1000))) << i;
  }
}

// A reply is on its way to a client while its chunk is evicted.
TEST_F(ChunkCacheTest, PinnedChunksStayReadable) {
  options_.bounds.max_maps = 4;
  Open();
  const Buffer pinned = Put(1);
  const Buffer slice = Put(2).Slice(100, 8);
  for (uint64_t i = 10; i < 60; ++i) Put(i);
  EXPECT_TRUE(cache_->Find(Key(1))) << "a pinned chunk was evicted before others";
  EXPECT_TRUE(HoldsOnly(pinned, 1));
  std::vector<Buffer> all;
  for (uint64_t i = 100; i < 120; ++i) all.push_back(Put(i));
  EXPECT_EQ(cache_->stats().files, 4);
  cache_.reset();
  EXPECT_TRUE(HoldsOnly(pinned, 1));
  EXPECT_TRUE(HoldsOnly(slice, 2));
  for (uint64_t i = 0; i < 20; ++i) EXPECT_TRUE(HoldsOnly(all[i], static_cast<float>(100 + i)));
}

// An administrator removes the cache of a running server to free space.
TEST_F(ChunkCacheTest, GoesOnWhenItsDirectoryIsDeleted) {
  Open();
  const Buffer before = Put(1);
  fs::remove_all(options_.directory);
  EXPECT_TRUE(HoldsOnly(cache_->Find(Key(1))->bytes, 1));
  EXPECT_TRUE(HoldsOnly(Put(2), 2));
  EXPECT_EQ(Files().size(), 1u);
  fs::remove_all(options_.directory);
  options_.bounds.max_maps = 2;
  for (uint64_t i = 10; i < 20; ++i) Put(i);
  EXPECT_TRUE(HoldsOnly(before, 1));
  EXPECT_EQ(cache_->stats().file_errors, 0);
}

TEST_F(ChunkCacheTest, FallsBackToTheHeapWithinItsBound) {
  // A file where the directory should be: nothing can be made there, by root either.
  std::ofstream(options_.directory) << "in the way";
  options_.bounds.max_heap_bytes = 3 * kBytes;
  Open();
  std::vector<Buffer> all;
  for (uint64_t i = 0; i < 200; ++i) {
    all.push_back(Put(i));
    ASSERT_TRUE(HoldsOnly(all.back(), static_cast<float>(i)));
    ASSERT_LE(cache_->stats().heap_bytes, static_cast<int64_t>(3 * kBytes));
  }
  EXPECT_TRUE(cache_->Find(Key(199)));
  const auto stats = cache_->stats();
  EXPECT_EQ(stats.files, 0);
  EXPECT_GE(stats.file_errors, 2);
  EXPECT_LT(stats.file_errors, 10) << "every miss tries again to make a file";
  // The disk has room again: files come back by themselves.
  fs::remove(options_.directory);
  for (uint64_t i = 1000; i < 1100; ++i) Put(i);
  EXPECT_GT(cache_->stats().files, 0);
}

TEST_F(ChunkCacheTest, ChunksBeyondTheHeapsBoundAreServedOnce) {
  std::ofstream(options_.directory) << "in the way";
  options_.bounds.max_heap_bytes = kBytes - 1;
  Open();
  EXPECT_TRUE(HoldsOnly(Put(1), 1));
  EXPECT_FALSE(cache_->Find(Key(1)));
  EXPECT_EQ(cache_->stats().heap_bytes, 0);
}

TEST_F(ChunkCacheTest, SmallChunksStayOnTheHeap) {
  Open();
  const Shape small{10, 3};
  ASSERT_TRUE(cache_->GetOrDecode(Key(1, small), small, FillWith(1)));
  EXPECT_TRUE(cache_->Find(Key(1, small)));
  EXPECT_EQ(cache_->stats().files, 0);
  EXPECT_EQ(cache_->stats().heap_bytes, 120);
  const Shape empty{0, 3};
  ASSERT_TRUE(cache_->GetOrDecode(Key(2, empty), empty, FillWith(1)));
  EXPECT_TRUE(cache_->Find(Key(2, empty)));
}

TEST_F(ChunkCacheTest, TextsAreKeptOnTheHeap) {
  options_.bounds.max_heap_bytes = 10000;
  Open();
  ChunkKey key = Key(1, Shape{3});
  key.dtype = DType::kJson;
  const auto decode = [] {
    return Result<std::vector<std::byte>>(std::vector<std::byte>(4000, std::byte{'x'}));
  };
  ASSERT_TRUE(cache_->GetOrDecodeVariable(key, decode));
  EXPECT_EQ(cache_->Find(key)->bytes.size(), 4000u);
  for (uint64_t i = 2; i < 10; ++i) {
    ChunkKey other = Key(i, Shape{3});
    other.dtype = DType::kJson;
    ASSERT_TRUE(cache_->GetOrDecodeVariable(other, decode));
  }
  EXPECT_EQ(cache_->stats().heap_bytes, 8000);
}

// Equal padded bytes can serve frames with more atoms than the first that were read.
TEST_F(ChunkCacheTest, DecodesAgainWhatWasKeptTooShort) {
  Open();
  const Shape shorter{64, 50, 3};
  ASSERT_TRUE(cache_->GetOrDecode(Key(1), shorter, FillWith(1)));
  EXPECT_EQ(cache_->Find(Key(1))->shape, shorter);
  const auto longer = cache_->GetOrDecode(Key(1), kShape, FillWith(1));
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->shape, kShape);
  const auto again = cache_->GetOrDecode(Key(1), shorter, MustNotRun());
  EXPECT_EQ(again->shape, kShape);
  EXPECT_EQ(cache_->stats().files, 1);
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_FALSE(cache_->GetOrDecode(Key(1), Shape{64, 101, 3}, MustNotRun()));
}

TEST_F(ChunkCacheTest, AnErrorIsReportedAndNotKept) {
  Open();
  const auto fail = [](std::span<std::byte>) -> Result<> {
    return {ErrorCode::kCorrupt, "damaged"};
  };
  EXPECT_EQ(cache_->GetOrDecode(Key(1), kShape, fail).error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(Files().empty());
  EXPECT_TRUE(HoldsOnly(Put(1), 1));
}

TEST_F(ChunkCacheTest, ConcurrentMissesDecodeOnce) {
  Open();
  constexpr int kThreads = 8;
  std::latch start(kThreads), entered(1);
  std::atomic<int> decoded = 0, right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      start.arrive_and_wait();
      const auto chunk =
          cache_->GetOrDecode(Key(1), kShape, [&](std::span<std::byte> out) -> Result<> {
            ++decoded;
            for (int i = 0; i < 1000; ++i) std::this_thread::yield();
            return FillWith(1)(out);
          });
      right += chunk && HoldsOnly(chunk->bytes, 1);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(decoded, 1);
  EXPECT_EQ(right, kThreads);
}

TEST_F(ChunkCacheTest, WaitersGetTheErrorToo) {
  Open();
  constexpr int kThreads = 6;
  std::atomic<int> inside = 0, failed = 0;
  std::latch start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      start.arrive_and_wait();
      const auto chunk = cache_->GetOrDecode(Key(1), kShape, [&](std::span<std::byte>) -> Result<> {
        EXPECT_EQ(++inside, 1) << "two decodes of one chunk at once";
        for (int i = 0; i < 1000; ++i) std::this_thread::yield();
        --inside;
        return {ErrorCode::kCorrupt, "damaged"};
      });
      failed += !chunk && chunk.error().message == "damaged";
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, kThreads);
}

// A restarted server is warm again.
TEST_F(ChunkCacheTest, TakesOverWhatAnEarlierProcessLeft) {
  Open();
  for (uint64_t i = 0; i < 10; ++i) Put(i);
  Open();
  EXPECT_EQ(cache_->stats().files, 10);
  EXPECT_GT(cache_->stats().bytes, 0);
  EXPECT_FALSE(cache_->Find(Key(3)));
  const auto chunk = cache_->GetOrDecode(Key(3), kShape, MustNotRun());
  ASSERT_TRUE(chunk);
  EXPECT_TRUE(HoldsOnly(chunk->bytes, 3));
  EXPECT_EQ(cache_->stats().adopted, 1);
  EXPECT_EQ(cache_->stats().files, 10);
  // What nobody asks for goes first.
  options_.bounds.max_maps = 4;
  Open();
  Put(3);
  EXPECT_EQ(cache_->stats().files, 4);
  EXPECT_EQ(Files().size(), 4u);
  EXPECT_TRUE(cache_->Find(Key(3)));
}

TEST_F(ChunkCacheTest, DoesNotTakeOverWhatDoesNotFit) {
  Open();
  Put(1);
  const std::string file = Files().at(0);
  const auto make_again = [&] {
    Open();
    const auto chunk = cache_->GetOrDecode(Key(1), kShape, FillWith(2));
    ASSERT_TRUE(chunk);
    EXPECT_TRUE(HoldsOnly(chunk->bytes, 2));
    EXPECT_EQ(cache_->stats().adopted, 0);
    EXPECT_EQ(Files(), std::vector<std::string>{file});
    EXPECT_EQ(cache_->stats().files, 1);
  };
  fs::resize_file(file, fs::file_size(file) - 1);
  make_again();
  fs::resize_file(file, 0);
  make_again();
  std::ofstream(file) << "not an array at all, but long enough to be looked at";
  make_again();
  fs::remove(file);
  fs::create_symlink("/nowhere", file);
  make_again();
  // Another dtype, written by NumPy or by hand.
  fs::remove(file);
  ChunkKey key = Key(1);
  key.dtype = DType::kInt32;
  ASSERT_TRUE(cache_->GetOrDecode(key, kShape, FillWith(3)));
  std::string other = Files().at(0) == file ? Files().at(1) : Files().at(0);
  fs::rename(other, file);
  make_again();
}

TEST_F(ChunkCacheTest, RemovesOtherBootsAndUnfinishedFiles) {
  const std::string old = options_.directory + "/boot-0", own = options_.directory + "/boot-1";
  fs::create_directories(old);
  fs::create_directories(own);
  std::ofstream(old + "/0123.npy") << "old";
  std::ofstream(own + "/tmp-1-2-3-4") << "unfinished";
  std::ofstream(own + "/README") << "no chunk";
  for (bool background : {false, true}) {
    options_.background = background;
    Open();
    cache_.reset();  // also while the thread is at work
  }
  options_.background = false;
  Open();
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(cache_->stats().files, 0);
}

// Readers in other processes share the directory with the writer and must leave no trace in it.
TEST_F(ChunkCacheTest, UnnamedFilesLeaveNothing) {
  Open();
  Put(1);
  options_.unnamed_files = true;
  auto reader = ChunkCache::Open(options_).value();
  ASSERT_TRUE(reader->GetOrDecode(Key(2), kShape, FillWith(2)));
  EXPECT_TRUE(HoldsOnly(reader->Find(Key(2))->bytes, 2));
  EXPECT_EQ(Files().size(), 1u);
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::recursive_directory_iterator(options_.directory))
    ++entries;
  EXPECT_EQ(entries, 2u);  // the folder and the writer's file
  EXPECT_EQ(reader->stats().files + (reader->stats().heap_bytes > 0), 1);
  reader.reset();
  EXPECT_EQ(Files().size(), 1u);
}

// Random reads of more than memory holds must not write files that are evicted before their next use.
TEST_F(ChunkCacheTest, TouchesFarApartAreNotRepeated) {
  options_.bounds.max_bytes = 64 << 20;
  options_.memory_limit = 32 << 20;  // a touch counts as repeated within a 16th of half of it
  Open();
  const Shape shape{32, 1000, 3};
  const size_t chunk = 32 * 1000 * 3 * ItemSize(Key(1, shape).dtype);
  const size_t recent = (1 << 20) / chunk;
  ASSERT_GE(recent, 2u);
  EXPECT_EQ(cache_->OnMiss(Key(1, shape), 5, 1), Promotion::kRows);
  for (size_t i = 0; i < recent - 1; ++i)
    EXPECT_EQ(cache_->OnMiss(Key(static_cast<int>(10 + i), shape), 5, 1), Promotion::kRows);
  EXPECT_EQ(cache_->OnMiss(Key(1, shape), 5, 1), Promotion::kFile);
  EXPECT_EQ(cache_->OnMiss(Key(2, shape), 5, 1), Promotion::kRows);
  for (size_t i = 0; i < recent + 2; ++i)
    EXPECT_EQ(cache_->OnMiss(Key(static_cast<int>(100 + i), shape), 5, 1), Promotion::kRows);
  EXPECT_EQ(cache_->OnMiss(Key(2, shape), 5, 1), Promotion::kRows);
  EXPECT_EQ(cache_->OnMiss(Key(2, shape), 6, 1), Promotion::kFile) << "the touch before counts";
}

TEST_F(ChunkCacheTest, PromotesAtTheSecondTouch) {
  Open();
  EXPECT_EQ(cache_->OnMiss(Key(1), 5, 1), Promotion::kRows);
  EXPECT_EQ(cache_->OnMiss(Key(2), 5, 1), Promotion::kRows);
  EXPECT_EQ(cache_->OnMiss(Key(1), 6, 1), Promotion::kFile);
  EXPECT_EQ(cache_->OnMiss(Key(3), 0, 1), Promotion::kPassing) << "a sequential reader comes in at row 0";
  EXPECT_EQ(cache_->OnMiss(Key(4, Shape{8, 100000, 3}), 0, 1), Promotion::kRows)
      << "there is too little behind row 0";
  EXPECT_EQ(cache_->OnMiss(Key(5, Shape{8, 3}), 4, 1), Promotion::kFile)
      << "small chunks are decoded whole anyway";
}

// One pass over a field leaves no files; the second one does.
TEST_F(ChunkCacheTest, PassingChunksStayInMemory) {
  options_.bounds.max_heap_bytes = 3 * 64 * 100 * 3 * 4;
  Open();
  constexpr int kChunks = 40;
  const auto pass = [&](int64_t row, int64_t count, Promotion expected) {
    for (int i = 0; i < kChunks; ++i) {
      if (cache_->Find(Key(i))) continue;  // the last of the pass before are there still
      ASSERT_EQ(cache_->OnMiss(Key(i), row, count), expected) << i;
      const auto chunk = cache_->GetOrDecode(Key(i), kShape, FillWith(static_cast<float>(i)), expected);
      ASSERT_TRUE(chunk);
      EXPECT_TRUE(HoldsOnly(chunk->bytes, static_cast<float>(i)));
      EXPECT_TRUE(cache_->Find(Key(i)));
      EXPECT_LE(cache_->stats().heap_bytes, options_.bounds.max_heap_bytes);
    }
  };
  pass(0, 1, Promotion::kPassing);
  EXPECT_TRUE(Files().empty());
  EXPECT_EQ(cache_->stats().promoted, kChunks);
  pass(0, kShape[0], Promotion::kFile);
  EXPECT_GE(Files().size(), size_t{kChunks - 4});
}

// Requests of one reader overtake one another.
TEST_F(ChunkCacheTest, FirstRowSoonAfterAnotherIsStillOnePass) {
  Open();
  EXPECT_EQ(cache_->OnMiss(Key(1), 3, 1), Promotion::kRows);
  EXPECT_EQ(cache_->OnMiss(Key(1), 0, 1), Promotion::kPassing);
  EXPECT_EQ(cache_->OnMiss(Key(1), 5, 1), Promotion::kFile);
}

// Everything at once: hits, misses, evictions of pinned and other chunks, deletion. For the thread
// sanitizer.
TEST_F(ChunkCacheTest, SurvivesManyThreads) {
  options_.bounds.max_maps = 12;
  options_.bounds.max_heap_bytes = 2000;
  options_.background = true;
  Open();
  const Shape small{10, 3};
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      std::vector<std::pair<Buffer, float>> pinned;
      for (int i = 0; i < 600; ++i) {
        const uint64_t number = random() % 40;
        const auto value = static_cast<float>(number);
        const bool is_small = number % 3 == 0;
        const ChunkKey key = is_small ? Key(number, small) : Key(number);
        std::optional<CachedChunk> chunk = cache_->Find(key);
        const auto promotion = chunk ? Promotion::kRows : cache_->OnMiss(key, static_cast<int64_t>(random() % 64), 1);
        if (promotion != Promotion::kRows) {
          auto made = cache_->GetOrDecode(key, key.shape, FillWith(value), promotion);
          if (!made) {
            ++wrong;
            continue;
          }
          chunk = *made;
        }
        if (chunk) {
          if (!HoldsOnly(chunk->bytes, value)) ++wrong;
          if (pinned.size() < 5) pinned.emplace_back(chunk->bytes, value);
        }
        if (i % 50 == 49) {
          for (const auto& [buffer, expected] : pinned)
            if (!HoldsOnly(buffer, expected)) ++wrong;
          pinned.clear();
          (void)cache_->stats();
        }
        if (t == 0 && i % 200 == 199) {
          std::error_code error;
          fs::remove_all(options_.directory, error);
        }
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const auto stats = cache_->stats();
  EXPECT_LE(stats.files, 12);
  EXPECT_LE(stats.heap_bytes, 2000);
  EXPECT_GT(stats.evicted, 0);
}

}  // namespace
}  // namespace zn
