// The choice of codecs for a new field: rounded values get zn.rounded, everything else stays plain,
// which Zarr readers are sent as it lies.
#include "chunk/layout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "zn/engine/codec.h"

namespace zn {
namespace {

constexpr size_t kFrames = 40;
constexpr int64_t kAtoms = 30;

/// A walk of positions, to three decimals or to all there are.
template <class T>
std::vector<T> Positions(size_t values, bool rounded) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> step(0, 0.05);
  std::vector<double> at(3 * kAtoms);
  for (double& x : at) x = 20 * std::uniform_real_distribution<double>()(random);
  std::vector<T> out(values);
  for (size_t i = 0; i < values; ++i) {
    double& x = at[i % at.size()];
    x += step(random);
    out[i] = static_cast<T>(rounded ? std::nearbyint(x * 1000) / 1000 : x);
  }
  return out;
}

template <class T>
Column ColumnOf(const std::vector<T>& values, FieldKind kind = FieldKind::kAtom) {
  Column column;
  column.name = "arrays.positions";
  column.kind = kind;
  column.dtype = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;
  column.inner = Shape{3};
  column.data = Buffer::Own(values);
  return column;
}

std::string CodecsFor(const Column& sample, const std::vector<int64_t>& counts,
                      const std::string& asked = {}) {
  LayoutOptions options;
  options.codecs = asked;
  const auto geometry = ChooseGeometry(sample, counts, options);
  EXPECT_TRUE(geometry) << geometry.error().message;
  return geometry ? geometry->codecs : std::string();
}

const std::vector<int64_t> kAlike(kFrames, kAtoms);

template <class T>
class ChooseCodecs : public testing::Test {
 protected:
  static constexpr DType kDType = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;
};
using Floats = testing::Types<float, double>;
TYPED_TEST_SUITE(ChooseCodecs, Floats);

TYPED_TEST(ChooseCodecs, RoundedPositionsArePacked) {
  const auto values = Positions<TypeParam>(kFrames * kAtoms * 3, true);
  EXPECT_EQ(CodecsFor(ColumnOf(values), kAlike), RoundedCodecs());
  EXPECT_EQ(CodecsFor(ColumnOf(values, FieldKind::kRagged), kAlike), RoundedCodecs());
  // Frames of several sizes do not stand beside each other, but are rounded all the same.
  EXPECT_EQ(CodecsFor(ColumnOf(values), {10, 1000, 90, 100}), RoundedCodecs());
  // More atoms than are looked at.
  EXPECT_EQ(CodecsFor(ColumnOf(Positions<TypeParam>(400'000, true)), {400'000 / 3}),
            RoundedCodecs());
}

TYPED_TEST(ChooseCodecs, OtherValuesStayPlain) {
  const auto plain = DefaultCodecs(this->kDType);
  EXPECT_EQ(CodecsFor(ColumnOf(Positions<TypeParam>(kFrames * kAtoms * 3, false)), kAlike), plain);
  EXPECT_EQ(CodecsFor(ColumnOf(std::vector<TypeParam>(kFrames * kAtoms * 3)), kAlike), plain)
      << "zeros are small anyway";
  EXPECT_EQ(CodecsFor(ColumnOf(std::vector<TypeParam>()), {}), plain);
  EXPECT_EQ(CodecsFor(ColumnOf(std::vector<TypeParam>()), {0, 0}), plain);
}

TYPED_TEST(ChooseCodecs, AFewValuesSayTooLittle) {
  const auto values = Positions<TypeParam>(60, true);
  EXPECT_EQ(CodecsFor(ColumnOf(values), {20}), DefaultCodecs(this->kDType));
}

TYPED_TEST(ChooseCodecs, FieldsOfOneValueAFrameStayPlain) {
  const auto values = Positions<TypeParam>(kFrames * kAtoms * 3, true);
  EXPECT_EQ(CodecsFor(ColumnOf(values, FieldKind::kFrame), {}), DefaultCodecs(this->kDType));
}

TYPED_TEST(ChooseCodecs, WhatIsAskedForIsTaken) {
  const auto values = Positions<TypeParam>(kFrames * kAtoms * 3, true);
  EXPECT_EQ(CodecsFor(ColumnOf(values), kAlike, "default"), DefaultCodecs(this->kDType));
  EXPECT_EQ(CodecsFor(ColumnOf(values), kAlike, "zstd"), ParseCodecs("zstd", this->kDType).value());
  Column with_grid = ColumnOf(values);
  auto grid = std::make_shared<Geometry>();
  grid->dtype = with_grid.dtype;
  grid->kind = with_grid.kind;
  grid->inner = with_grid.inner;
  grid->frames_per_chunk = 7;
  grid->atoms_per_chunk = kAtoms;
  grid->codecs = DefaultCodecs(this->kDType);
  with_grid.grid = grid;
  EXPECT_EQ(CodecsFor(with_grid, kAlike), grid->codecs)
      << "a Zarr source's chunks are kept as they are";
}

TEST(ChooseCodecs, WholeNumbersStayPlain) {
  Column column = ColumnOf(Positions<float>(kFrames * kAtoms * 3, true));
  column.dtype = DType::kInt32;
  EXPECT_EQ(CodecsFor(column, kAlike), DefaultCodecs(DType::kInt32));
}

}  // namespace
}  // namespace zn
