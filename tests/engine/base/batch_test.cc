#include "zn/engine/batch.h"

#include <gtest/gtest.h>

namespace zn {
namespace {

Column Positions(size_t atoms) {
  Column column;
  column.name = "arrays.positions";
  column.kind = FieldKind::kAtom;
  column.dtype = DType::kFloat32;
  column.inner = {3};
  column.data = Buffer::Own(std::vector<float>(3 * atoms));
  return column;
}

FrameBatch Valid() {
  FrameBatch batch;
  batch.n_atoms = {2, 0, 5};
  batch.columns.push_back(Positions(7));
  Column energy;
  energy.name = "calc.energy";
  energy.present = {1, 0, 1};
  energy.data = Buffer::Own(std::vector<double>{1, 2});
  batch.columns.push_back(energy);
  Column bonds;
  bonds.name = "connectivity";
  bonds.kind = FieldKind::kRagged;
  bonds.dtype = DType::kInt32;
  bonds.inner = {2};
  bonds.lengths = {1, 0, 3};
  bonds.data = Buffer::Own(std::vector<int32_t>(8));
  batch.columns.push_back(bonds);
  Column note;
  note.name = "info.note";
  note.dtype = DType::kJson;
  note.text = {"\"a\"", "{}", "3"};
  batch.columns.push_back(note);
  return batch;
}

ErrorCode CodeOf(const FrameBatch& batch) { return ValidateBatch(batch).error().code; }

TEST(ValidateBatch, TakesWhatAgrees) {
  const auto result = ValidateBatch(Valid());
  EXPECT_TRUE(result) << result.error().message;
  EXPECT_TRUE(ValidateBatch(FrameBatch{}));
}

// Whatever got past it would be stored under the wrong frame, or read beyond a buffer.
TEST(ValidateBatch, NamesTheColumnWhoseSizesDisagree) {
  FrameBatch batch = Valid();
  batch.columns[0].data = Buffer::Own(std::vector<float>(20));
  const auto result = ValidateBatch(batch);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kTypeMismatch);
  EXPECT_NE(result.error().message.find("arrays.positions"), std::string::npos);

  batch = Valid();
  batch.columns[1].present.pop_back();
  EXPECT_EQ(CodeOf(batch), ErrorCode::kTypeMismatch);
  batch = Valid();
  batch.columns[1].present[0] = 0;
  EXPECT_EQ(CodeOf(batch), ErrorCode::kTypeMismatch);
  batch = Valid();
  batch.columns[2].lengths.push_back(0);
  EXPECT_EQ(CodeOf(batch), ErrorCode::kTypeMismatch);
  batch = Valid();
  batch.columns[2].lengths = {5, -1, 0};
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
  batch = Valid();
  batch.columns[3].text.pop_back();
  EXPECT_EQ(CodeOf(batch), ErrorCode::kTypeMismatch);
  batch = Valid();
  batch.n_atoms[0] = -1;
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
}

TEST(ValidateBatch, RefusesSizesThatOverflow) {
  FrameBatch batch = Valid();
  batch.columns[0].inner = {INT64_MAX / 2, 3};
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
  batch.columns[0].inner = {-3};
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
  batch = Valid();
  batch.columns[2].lengths = {INT64_MAX, INT64_MAX, 0};
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
  batch = Valid();
  batch.columns[0].inner = {1, 1, 1, 1, 1, 1, 3};
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
}

TEST(ValidateBatch, RefusesBadAndRepeatedNames) {
  for (const std::string& name :
       {std::string(), std::string(256, 'a'), std::string("a\nb"), std::string("\xff\xfe"),
        std::string("\xc0\x80"), std::string("\xed\xa0\x80"), std::string("a\0b", 3)}) {
    FrameBatch batch = Valid();
    batch.columns[1].name = name;
    EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument) << name;
  }
  FrameBatch batch = Valid();
  batch.columns[1].name = "info.energía ångström 能量 🧪";
  EXPECT_TRUE(ValidateBatch(batch));
  batch.columns[3].name = batch.columns[0].name;
  EXPECT_EQ(CodeOf(batch), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace zn
