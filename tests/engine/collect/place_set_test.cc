#include "collect/place_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace zn {
namespace {

// A record that is alive and not in the set is lost; one that is dead and in it keeps its space for
// ever.
TEST(OffsetSet, HoldsExactlyWhatWasAdded) {
  std::mt19937_64 random(1);
  for (const uint64_t spread : {uint64_t{1} << 14, uint64_t{1} << 22, uint64_t{1} << 30}) {
    OffsetSet set;
    std::set<uint64_t> model;
    for (int i = 0; i < 20000; ++i) {
      const uint64_t offset = random() % spread / 64 * 64;
      EXPECT_EQ(set.Add(offset), model.insert(offset).second);
    }
    for (int i = 0; i < 20000; ++i) {
      const uint64_t offset = random() % spread / 64 * 64;
      ASSERT_EQ(set.Has(offset), model.contains(offset));
    }
    ASSERT_EQ(set.All(), std::vector<uint64_t>(model.begin(), model.end()));
  }
}

TEST(PlaceSet, FilesAreApart) {
  PlaceSet set;
  EXPECT_TRUE(set.Add(1, 64));
  EXPECT_TRUE(set.Add(0x80000001u, 64));
  EXPECT_FALSE(set.Add(1, 64));
  EXPECT_FALSE(set.Has(2, 64));
  EXPECT_EQ(set.In(2), nullptr);
}

}  // namespace
}  // namespace zn
