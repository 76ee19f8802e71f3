#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "zn/engine/zarr_metadata.h"

namespace zn {
namespace {

TEST(ZarrNodeName, LeavesUsualNamesAlone) {
  for (const char* name : {"arrays.positions", "n_atoms", "info.a-b_c", "c", "x._y"}) {
    EXPECT_EQ(ZarrNodeName(name), name);
    EXPECT_EQ(FieldOfZarrNode(name), name);
  }
}

// A field that could be taken for a metadata document, or for another field's presence, would hide
// it.
TEST(ZarrNodeName, EscapesWhatMeansSomethingElse) {
  EXPECT_EQ(ZarrNodeName("info.a b/c"), "info.a~20b~2Fc");
  EXPECT_EQ(ZarrNodeName("~"), "~7E");
  EXPECT_EQ(ZarrNodeName("Å"), "~C3~85");
  EXPECT_EQ(ZarrNodeName(".zattrs"), "~2Ezattrs");
  EXPECT_EQ(ZarrNodeName(".."), "~2E.");
  EXPECT_EQ(ZarrNodeName("zarr.json"), "~7Aarr.json");
  EXPECT_EQ(ZarrNodeName("__x"), "~5F_x");
  EXPECT_EQ(ZarrNodeName("x.__present__"), "x.__present_~5F");
  EXPECT_EQ(ZarrNodeName("x.__lengths__"), "x.__lengths_~5F");
}

TEST(ZarrNodeName, RefusesWhatItWouldNotWrite) {
  for (const char* node : {"a b", "~", "~4", "~zz", "~41", "a~5fb", ".zarray", "x.__present__"})
    EXPECT_EQ(FieldOfZarrNode(node), std::nullopt) << node;
}

RC_GTEST_PROP(ZarrNodeName, ComesBackAndIsPlain, (std::string field)) {
  const std::string node = ZarrNodeName(field);
  RC_ASSERT(FieldOfZarrNode(node) == field);
  RC_ASSERT(node.find_first_not_of(
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~") == node.npos);
}

}  // namespace
}  // namespace zn
