#include "column_map.h"

#include <cmath>
#include <cstring>

#include "gtest/gtest.h"
#include "tests/formats/support.h"

namespace zn::formats {
namespace {

using testing::MakeColumn;

ColumnMapper Mapper(std::vector<std::pair<std::string, std::string>> map) {
  ReadOptions options;
  options.map = std::move(map);
  auto mapper = ColumnMapper::Create(options);
  EXPECT_TRUE(mapper) << mapper.error().message;
  return std::move(*mapper);
}

std::string CreateError(std::vector<std::pair<std::string, std::string>> map) {
  ReadOptions options;
  options.map = std::move(map);
  auto mapper = ColumnMapper::Create(options);
  return mapper ? "" : mapper.error().message;
}

TEST(ColumnMapper, NamesBySourceOrCanonicalName) {
  ColumnMapper mapper = Mapper({{"dft_energy", "calc.energy"},
                                {"info.note", "info.comment"},
                                {"junk", ""},
                                {"f", "forces"}});
  EXPECT_EQ(mapper.Name("dft_energy", "info.dft_energy"), "calc.energy");
  EXPECT_EQ(mapper.Name("note", "info.note"), "info.comment");
  EXPECT_EQ(mapper.Name("junk", "info.junk"), "");
  EXPECT_EQ(mapper.Name("f", "arrays.f"), "calc.forces");
  EXPECT_EQ(mapper.Name("other", "info.other"), "info.other");
  EXPECT_TRUE(mapper.Finish());
}

TEST(ColumnMapper, RefusesWhatMakesNoSense) {
  EXPECT_NE(CreateError({{"", "calc.energy"}}), "");
  EXPECT_NE(CreateError({{"a", "enrgy"}}).find("energy"), std::string::npos);
  EXPECT_NE(CreateError({{"a", "calc.energy"}, {"a", "info.x"}}), "");
  EXPECT_NE(CreateError({{"a", "calc.energy"}, {"b", "energy"}}), "");
  EXPECT_EQ(CreateError({{"a", ""}, {"b", ""}}), "");
  ReadOptions options;
  options.float_dtype = DType::kInt32;
  EXPECT_FALSE(ColumnMapper::Create(options));
}

// A typing error must not leave a field under its old name without a word.
TEST(ColumnMapper, NamesSourcesThatWereNotMet) {
  ColumnMapper mapper = Mapper({{"dft_enery", "calc.energy"}});
  mapper.Name("dft_energy", "info.dft_energy");
  auto finished = mapper.Finish();
  ASSERT_FALSE(finished);
  EXPECT_NE(finished.error().message.find("did you mean \"dft_energy\""), std::string::npos)
      << finished.error().message;
}

TEST(ColumnMapper, RefusesKindsAndNamesThatClash) {
  ColumnMapper mapper = Mapper({{"e", "calc.energy"}});
  FrameBatch batch;
  batch.n_atoms = {1};
  batch.columns.push_back(
      MakeColumn("calc.energy", FieldKind::kAtom, DType::kFloat64, {}, Buffer::Own<double>({1})));
  auto applied = mapper.Apply(batch);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code, ErrorCode::kTypeMismatch);
  batch.columns[0].kind = FieldKind::kFrame;
  EXPECT_TRUE(mapper.Apply(batch));
  batch.columns.push_back(batch.columns[0]);
  applied = mapper.Apply(batch);
  ASSERT_FALSE(applied);
  EXPECT_NE(applied.error().message.find("--map"), std::string::npos);
}

template <class T>
std::vector<T> Values(const Column& column) {
  std::vector<T> values(column.data.size() / sizeof(T));
  std::memcpy(values.data(), column.data.data(), column.data.size());
  return values;
}

TEST(ConvertFloats, BetweenAllWidths) {
  Column column = MakeColumn("a", FieldKind::kFrame, DType::kFloat64, {},
                             Buffer::Own<double>({0.1, 1e300, -0.0, std::nan("")}));
  ASSERT_TRUE(ConvertFloats(column, DType::kFloat32));
  auto floats = Values<float>(column);
  EXPECT_EQ(floats[0], 0.1F);
  EXPECT_EQ(floats[1], HUGE_VALF);
  EXPECT_TRUE(std::signbit(floats[2]));
  EXPECT_TRUE(std::isnan(floats[3]));
  ASSERT_TRUE(ConvertFloats(column, DType::kFloat64));
  EXPECT_EQ(Values<double>(column)[0], static_cast<double>(0.1F));
  Column integers =
      MakeColumn("a", FieldKind::kFrame, DType::kInt64, {}, Buffer::Own<int64_t>({3}));
  ASSERT_TRUE(ConvertFloats(integers, DType::kFloat32));
  EXPECT_EQ(integers.dtype, DType::kInt64);
}

// The vectors are IEEE 754's: rounding at the halves, the largest, the smallest, overflow.
TEST(ConvertFloats, RoundsHalvesToEven) {
  const std::pair<double, uint16_t> cases[] = {{0.0, 0x0000},
                                               {-0.0, 0x8000},
                                               {1.0, 0x3C00},
                                               {65504.0, 0x7BFF},
                                               {65519.99, 0x7BFF},
                                               {65520.0, 0x7C00},
                                               {-1e9, 0xFC00},
                                               {HUGE_VAL, 0x7C00},
                                               {std::ldexp(1, -24), 0x0001},
                                               {std::ldexp(1, -25), 0x0000},
                                               {std::ldexp(1.5, -25), 0x0001},
                                               {std::ldexp(3, -25), 0x0002},
                                               {std::ldexp(1, -14), 0x0400},
                                               {std::ldexp(1023, -24), 0x03FF},
                                               {1.00048828125, 0x3C00},
                                               {1.00048828126, 0x3C01},
                                               {1.00146484375, 0x3C02},
                                               {0.333251953125, 0x3555},
                                               {2047.5, 0x6800}};
  for (const auto& [value, bits] : cases) {
    Column column =
        MakeColumn("a", FieldKind::kFrame, DType::kFloat64, {}, Buffer::Own<double>({value}));
    ASSERT_TRUE(ConvertFloats(column, DType::kFloat16));
    EXPECT_EQ(Values<uint16_t>(column)[0], bits) << value;
  }
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {  // every float16 goes through float64 and back
    if ((bits & 0x7C00) == 0x7C00 && (bits & 0x3FF) != 0) continue;
    Column column = MakeColumn("a", FieldKind::kFrame, DType::kFloat16, {},
                               Buffer::Own<uint16_t>({static_cast<uint16_t>(bits)}));
    ASSERT_TRUE(ConvertFloats(column, DType::kFloat64));
    ASSERT_TRUE(ConvertFloats(column, DType::kFloat16));
    ASSERT_EQ(Values<uint16_t>(column)[0], bits);
  }
}

TEST(Wanted, CountsWhatItSelects) {
  for (int64_t start : {0, 1, 5, 20}) {
    for (int64_t stop : {0, 1, 7, 10, 100}) {
      for (int64_t step : {1, 2, 7}) {
        ReadOptions options;
        options.start = start;
        options.stop = stop;
        options.step = step;
        int64_t count = 0;
        for (int64_t frame = 0; frame < 10; ++frame) count += Wanted(options, frame) ? 1 : 0;
        EXPECT_EQ(CountWanted(options, 10), count) << start << ":" << stop << ":" << step;
      }
    }
  }
}

TEST(UnitAttributes, AreJson) {
  EXPECT_EQ(UnitAttributes("arrays.positions"), "{\"unit\":\"Å\"}");
  EXPECT_EQ(UnitAttributes("arrays.positions", "nm"), "{\"unit\":\"Å\",\"source_unit\":\"nm\"}");
  EXPECT_EQ(UnitAttributes("info.x", "a\"b"), "{\"source_unit\":\"a\\\"b\"}");
  EXPECT_EQ(UnitAttributes("pbc"), "{}");
}

}  // namespace
}  // namespace zn::formats
