#include "zn/engine/version.h"

#include <gtest/gtest.h>

namespace zn {
namespace {

TEST(CommitId, RoundTrips) {
  const CommitId id{42, 0x00ab12cd34ef5678};
  EXPECT_EQ(id.ToString(), "42-00ab12cd34ef5678");
  EXPECT_EQ(CommitId::Parse(id.ToString()).value(), id);
  const CommitId last{UINT64_MAX, UINT64_MAX};
  EXPECT_EQ(CommitId::Parse(last.ToString()).value(), last);
  EXPECT_EQ(CommitId::Parse("0-0000000000000000").value(), CommitId{});
}

// A commit has one spelling: caches and ETags compare texts.
TEST(CommitId, RefusesOtherSpellings) {
  for (const char* text :
       {"", "-", "1", "1-", "1-abc", "-00ab12cd34ef5678", "1-00AB12CD34EF5678",
        "01-00ab12cd34ef5678", "+1-00ab12cd34ef5678", "1-00ab12cd34ef56789", "1-00ab12cd34ef567g",
        " 1-00ab12cd34ef5678", "18446744073709551616-00ab12cd34ef5678", "1x-00ab12cd34ef5678"}) {
    const auto parsed = CommitId::Parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Names, AreDistinct) {
  std::vector<std::string_view> names;
  for (int i = 1; i <= 13; ++i) names.push_back(OperationName(static_cast<Operation>(i)));
  for (size_t i = 0; i < names.size(); ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_NE(names[i], names[j]);
  EXPECT_EQ(OperationName(Operation::kUndo), "undo");
  EXPECT_EQ(ErrorCodeName(ErrorCode::kTypeMismatch), "type-mismatch");
  EXPECT_EQ(FieldKindName(FieldKind::kRagged), "ragged");
}

TEST(Geometry, RowBytesCountsAtomsAndRefusesToOverflow) {
  Geometry geometry;
  geometry.dtype = DType::kFloat32;
  geometry.inner = {3};
  EXPECT_EQ(geometry.RowBytes(), 12);
  geometry.kind = FieldKind::kAtom;
  geometry.atoms_per_chunk = 100;
  EXPECT_EQ(geometry.RowBytes(), 1200);
  geometry.atoms_per_chunk = INT64_MAX / 2;
  EXPECT_EQ(geometry.RowBytes(), -1);
  geometry.dtype = DType::kJson;
  EXPECT_EQ(geometry.RowBytes(), 0);
}

}  // namespace
}  // namespace zn
