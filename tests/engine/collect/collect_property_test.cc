// Collections among writers and readers, and crashes in their midst: nothing that is alive is ever
// lost, and space comes back.
//
// A collection tells of its progress after every record that it reads or copies; here other changes
// of the store are made right then, on the same thread. So each seed is one interleaving that can
// be run again. ZN_SEEDS sets how many there are.

#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/collect/collect_model.h"
#include "support/temp_dir.h"

namespace zn::collect_test {
namespace {

uint64_t Seeds(uint64_t usual) {
  const char* const given = std::getenv("ZN_SEEDS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : usual;
}

int64_t BytesOn(const MemoryFileSystem& disk, const std::string& directory) {
  int64_t bytes = 0;
  for (const char* part : {"/packs", "/log"}) {
    const auto names = disk.List(directory + part);
    if (!names) continue;
    for (const std::string& name : *names) {
      const auto allocated = disk.AllocatedBytes(directory + part + "/" + name);
      if (allocated) bytes += *allocated;
    }
  }
  return bytes;
}

TEST(Collection, NothingAliveIsLostAmongWritersAndReaders) {
  for (uint64_t seed = 1; seed <= Seeds(40); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TempDir dir;
    const std::string directory = dir.path() + "/s";
    const auto disk = std::make_shared<MemoryFileSystem>();
    auto store = Open(disk, directory);
    ASSERT_TRUE(store) << store.error().message;
    World world(**store, seed);
    model::Random random(seed * 77);
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < 40; ++i) ASSERT_NO_FATAL_FAILURE(world.Step());
      if (model::Pick(random, 3) == 0) {
        world.DropSnapshots();
        store->reset();
        store = Open(disk, directory);
        ASSERT_TRUE(store) << store.error().message;
        world.Reopened(**store);
      }
      world.Collected();  // retention of now; what it is set to meanwhile counts from the next time
                          // on
      const int64_t every = 1 + model::Pick(random, 60);
      int64_t told = 0;
      CollectOptions options;
      options.live_below = model::Pick(random, 2) == 0 ? 0.5 : 1.0;
      const auto collected = (*store)->Collect(options, [&](const CollectProgress&) {
        if (++told % every == 0) world.Step();
      });
      ASSERT_TRUE(collected) << collected.error().message;
      ASSERT_NO_FATAL_FAILURE(world.Check("round " + std::to_string(round)));
    }
    world.DropSnapshots();
    store->reset();
    store = Open(disk, directory);
    ASSERT_TRUE(store) << store.error().message;
    world.Reopened(**store);
    ASSERT_NO_FATAL_FAILURE(world.Check("after reopening"));
  }
}

TEST(Collection, CrashAfterAnyStepLosesNothing) {
  for (uint64_t seed = 1; seed <= Seeds(30); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TempDir dir;
    const std::string directory = dir.path() + "/s";
    auto disk = std::make_shared<MemoryFileSystem>();
    auto store = Open(disk, directory);
    ASSERT_TRUE(store) << store.error().message;
    World world(**store, seed);
    model::Random random(seed * 91);
    for (int i = 0; i < 60; ++i) ASSERT_NO_FATAL_FAILURE(world.Step());
    for (int crash = 0; crash < 6; ++crash) {
      world.DropSnapshots();
      if (model::Pick(random, 2) == 0) {  // packs are sealed by a clean end
        store->reset();
        store = Open(disk, directory);
        ASSERT_TRUE(store) << store.error().message;
        world.Reopened(**store);
      }
      world.Collected();
      disk->FailFrom(model::Pick(random, 40));
      CollectOptions options;
      options.live_below = 1.0;
      (void)(*store)->Collect(options);
      const auto kind = static_cast<MemoryFileSystem::Crash>(model::Pick(random, 4));
      const auto after = disk->AfterCrash(kind, seed * 100 + static_cast<uint64_t>(crash));
      store->reset();
      disk = after;
      store = Open(disk, directory);
      ASSERT_TRUE(store) << "crash " << crash << ": " << store.error().message;
      world.Reopened(**store);
      ASSERT_NO_FATAL_FAILURE(world.Check("crash " + std::to_string(crash)));
      for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(world.Step());
    }
    world.Collected();
    ASSERT_TRUE((*store)->Collect({}));
    ASSERT_NO_FATAL_FAILURE(world.Check("at the end"));
  }
}

TEST(Collection, SpaceComesBack) {
  for (uint64_t seed = 1; seed <= Seeds(8); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TempDir dir;
    const std::string directory = dir.path() + "/s";
    const auto disk = std::make_shared<MemoryFileSystem>();
    auto store = Open(disk, directory);
    ASSERT_TRUE(store) << store.error().message;
    World world(**store, seed);
    for (int i = 0; i < 600; ++i) ASSERT_NO_FATAL_FAILURE(world.Step());
    world.DeleteAllButOne();
    world.KeepOneCommitEverywhere();
    world.Collected();
    store->reset();
    store = Open(disk, directory);
    ASSERT_TRUE(store) << store.error().message;
    world.Reopened(**store);
    const int64_t before = BytesOn(*disk, directory);
    CollectSummary last;
    for (int i = 0; i < 3; ++i) {
      const auto collected = (*store)->Collect({});
      ASSERT_TRUE(collected) << collected.error().message;
      last = *collected;
    }
    ASSERT_NO_FATAL_FAILURE(world.Check("afterwards"));
    // Twice what is needed, and the log's newest files.
    const int64_t after = BytesOn(*disk, directory);
    const int64_t needed = last.pack_live_bytes + last.log_live_bytes;
    EXPECT_LT(after, 3 * needed + (256 << 10)) << "needed " << needed << ", before " << before;
    EXPECT_LT(after, before / 2);
  }
}

}  // namespace
}  // namespace zn::collect_test
