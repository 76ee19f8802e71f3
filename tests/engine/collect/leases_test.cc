#include "collect/leases.h"

#include <gtest/gtest.h>

#include "support/temp_dir.h"

namespace zn {
namespace {

TEST(Leases, HoldFromTheFirstMomentAndMoveOn) {
  TempDir dir;
  const std::string folder = dir.path() + "/leases";
  EXPECT_EQ(LookAtLeases(folder)->readers, 0);
  auto lease = Lease::Take(folder);
  ASSERT_TRUE(lease) << lease.error().message;
  EXPECT_EQ(LookAtLeases(folder)->readers, 1);
  EXPECT_EQ(LookAtLeases(folder)->oldest, 0u);
  (*lease)->Hold(17);
  auto other = Lease::Take(folder);
  ASSERT_TRUE(other);
  (*other)->Hold(23);
  EXPECT_EQ(LookAtLeases(folder)->oldest, 17u);
  lease->reset();
  EXPECT_EQ(LookAtLeases(folder)->oldest, 23u);
}

// A reader that was killed must not keep space for ever.
TEST(Leases, OfDeadProcessesAreRemoved) {
  TempDir dir;
  const std::string folder = dir.path() + "/leases";
  ASSERT_TRUE(MakeDirectory(folder));
  ASSERT_TRUE(WriteFileAtomically(folder + "/0123456789abcdef.lease", std::vector<std::byte>(64)));
  const auto leases = LookAtLeases(folder);
  ASSERT_TRUE(leases);
  EXPECT_EQ(leases->readers, 0);
  EXPECT_EQ(leases->oldest, UINT64_MAX);
  EXPECT_TRUE(ListDirectory(folder)->empty());
}

}  // namespace
}  // namespace zn
