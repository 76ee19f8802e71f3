// zn.rounded: whatever is stored comes back bit for bit, whether it was rounded or not; and what
// was rounded gets small.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "codec/bit_packing.h"
#include "codec/rounding.h"
#include "tests/engine/codec/counting_source.h"
#include "zn/engine/codec.h"

namespace zn {
namespace {

using Pipeline = std::shared_ptr<const CodecPipeline>;

template <class T>
constexpr DType kDTypeOf = sizeof(T) == 4 ? DType::kFloat32 : DType::kFloat64;

template <class T>
Pipeline Rounded() {
  return CodecPipeline::Create(R"([{"name":"zn.rounded"}])", kDTypeOf<T>).value();
}

template <class T>
std::span<const std::byte> BytesOf(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

constexpr std::byte kKindRounded{1};

/// What programs make of whole numbers of thousandths.
struct Producer {
  const char* name;
  float (*single)(int32_t);
  double (*wide)(int64_t);
};
constexpr Producer kProducers[] = {
    {"decimal text", [](int32_t k) { return static_cast<float>(k / 1000.0); },
     [](int64_t k) { return static_cast<double>(k) / 1000.0; }},
    {"XTC reader", [](int32_t k) { return static_cast<float>(k) * (1.0f / 1000.0f); },
     [](int64_t k) { return static_cast<double>(static_cast<float>(k) * (1.0f / 1000.0f)); }},
    {"XTC reader in Angstrom",
     [](int32_t k) { return static_cast<float>(k) * (1.0f / 1000.0f) * 10.0f; },
     [](int64_t k) {
       return static_cast<double>(static_cast<float>(k) * (1.0f / 1000.0f)) * 10.0;
     }},
    {"product", [](int32_t k) { return static_cast<float>(k * 0.001); },
     [](int64_t k) { return static_cast<double>(k) * 0.001; }},
    {"in nm from Angstrom", [](int32_t k) { return static_cast<float>(k / 100.0) * 0.1f; },
     [](int64_t k) { return static_cast<double>(k) / 100.0 * 0.1; }},
};

/// A walk: numbers of atoms that move by up to `step` from one frame to the next.
template <class T>
std::vector<T> Walk(int64_t frames, int64_t row, int32_t step, const Producer& producer,
                    uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int32_t> begin(-20000, 20000), move(-step, step);
  std::vector<int32_t> numbers(static_cast<size_t>(row));
  for (int32_t& k : numbers) k = begin(random);
  std::vector<T> values;
  for (int64_t f = 0; f < frames; ++f)
    for (int32_t& k : numbers) {
      k += move(random);
      if constexpr (sizeof(T) == 4)
        values.push_back(producer.single(k));
      else
        values.push_back(producer.wide(k));
    }
  return values;
}

template <class T>
void ExpectGivenBack(const Pipeline& pipeline, const std::vector<T>& values, const Shape& shape) {
  const auto encoded = pipeline->Encode(BytesOf(values), shape);
  ASSERT_TRUE(encoded) << encoded.error().message;
  EXPECT_EQ(*encoded, *pipeline->Encode(BytesOf(values), shape)) << "a chunk must have one name";
  std::vector<T> out(values.size());
  const auto decoded = pipeline->Decode(*encoded, shape, std::as_writable_bytes(std::span(out)));
  ASSERT_TRUE(decoded) << decoded.error().message;
  if (values.empty()) return;
  ASSERT_EQ(std::memcmp(out.data(), values.data(), values.size() * sizeof(T)), 0);
  const size_t row = values.size() / static_cast<size_t>(shape[0]);
  for (int64_t first = 0; first < shape[0]; first += 1 + shape[0] / 20)
    for (const int64_t count : {int64_t{1}, shape[0] - first, (shape[0] - first) / 2}) {
      std::vector<T> rows(static_cast<size_t>(count) * row);
      ASSERT_TRUE(pipeline->DecodeRows(*encoded, shape, first, count,
                                       std::as_writable_bytes(std::span(rows))));
      if (rows.empty()) continue;
      ASSERT_EQ(std::memcmp(rows.data(), values.data() + static_cast<size_t>(first) * row,
                            rows.size() * sizeof(T)),
                0)
          << "rows " << first << " + " << count;
    }
}

template <class T>
class RoundedCodec : public testing::Test {};
using Floats = testing::Types<float, double>;
TYPED_TEST_SUITE(RoundedCodec, Floats);

// Trajectories from each kind of program are stored small; a wrong last bit would send them to
// plain blosc.
TYPED_TEST(RoundedCodec, MakesRoundedValuesSmallWhoeverRoundedThem) {
  for (const Producer& producer : kProducers) {
    const auto values = Walk<TypeParam>(32, 300, 60, producer, 1);
    const Shape shape{32, 100, 3};
    ExpectGivenBack(Rounded<TypeParam>(), values, shape);
    const auto encoded = Rounded<TypeParam>()->Encode(BytesOf(values), shape).value();
    EXPECT_EQ(encoded[0], kKindRounded) << producer.name;
    EXPECT_LT(encoded.size() * 3, values.size() * sizeof(TypeParam)) << producer.name;
  }
}

// Rows of a mapped file may lie anywhere.
TYPED_TEST(RoundedCodec, TakesBytesThatLieUnaligned) {
  const auto values = Walk<TypeParam>(16, 90, 60, kProducers[1], 9);
  const auto aligned = Rounded<TypeParam>()->Encode(BytesOf(values), Shape{16, 90}).value();
  std::vector<std::byte> shifted(values.size() * sizeof(TypeParam) + 1);
  std::memcpy(shifted.data() + 1, values.data(), values.size() * sizeof(TypeParam));
  EXPECT_EQ(Rounded<TypeParam>()->Encode(std::span(shifted).subspan(1), Shape{16, 90}).value(),
            aligned);
  std::vector<std::byte> out(shifted.size());
  ASSERT_TRUE(Rounded<TypeParam>()->Decode(aligned, Shape{16, 90}, std::span(out).subspan(1)));
  EXPECT_TRUE(std::equal(out.begin() + 1, out.end(), shifted.begin() + 1));
}

TYPED_TEST(RoundedCodec, TakesEveryShape) {
  for (const Shape& shape :
       {Shape{1, 1000}, Shape{1000, 1}, Shape{1000}, Shape{7, 33, 3}, Shape{65, 5, 3},
        Shape{3, 4, 5, 6}, Shape{0, 3}, Shape{3, 0}, Shape{1}}) {
    const int64_t row = shape[0] > 0 ? shape.Elements() / shape[0] : 0;
    ExpectGivenBack(Rounded<TypeParam>(), Walk<TypeParam>(shape[0], row, 5, kProducers[0], 2),
                    shape);
  }
  const std::vector<TypeParam> one{TypeParam{1.5}};
  const auto encoded = Rounded<TypeParam>()->Encode(BytesOf(one), Shape{}).value();
  std::vector<TypeParam> out(1);
  ASSERT_TRUE(
      Rounded<TypeParam>()->Decode(encoded, Shape{}, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, one);
}

// Rows of fewer atoms are padded with NaN, which must not cost the codec its effect.
TYPED_TEST(RoundedCodec, PaddedRowsStaySmall) {
  auto values = Walk<TypeParam>(64, 90, 30, kProducers[0], 3);
  TypeParam fill;
  WriteFillValue(kDTypeOf<TypeParam>, reinterpret_cast<std::byte*>(&fill));
  for (size_t f = 0; f < 64; ++f)
    for (size_t i = 90 - 3 * (f / 8 % 8); i < 90; ++i) values[f * 90 + i] = fill;
  ExpectGivenBack(Rounded<TypeParam>(), values, Shape{64, 30, 3});
  const auto encoded = Rounded<TypeParam>()->Encode(BytesOf(values), Shape{64, 30, 3}).value();
  EXPECT_EQ(encoded[0], kKindRounded);
  EXPECT_LT(encoded.size() * 2, values.size() * sizeof(TypeParam));
}

// -0.0 of a text, infinities, other NaNs, values between the steps, and the largest: few of them
// are exceptions.
TYPED_TEST(RoundedCodec, FewSpecialValuesAreExceptions) {
  using Limits = std::numeric_limits<TypeParam>;
  const TypeParam specials[] = {
      TypeParam{-0.0},       Limits::infinity(),
      -Limits::infinity(),   std::copysign(Limits::quiet_NaN(), TypeParam{-1}),
      Limits::max(),         Limits::denorm_min(),
      TypeParam{0.00012345}, static_cast<TypeParam>(-2147483.648)};
  auto values = Walk<TypeParam>(40, 300, 20, kProducers[0], 4);
  for (size_t i = 0; i < std::size(specials); ++i) values[i * 1400 + 17] = specials[i];
  ExpectGivenBack(Rounded<TypeParam>(), values, Shape{40, 100, 3});
  EXPECT_EQ(Rounded<TypeParam>()->Encode(BytesOf(values), Shape{40, 100, 3}).value()[0],
            kKindRounded);
}

TYPED_TEST(RoundedCodec, ManySpecialValuesArePlain) {
  auto values = Walk<TypeParam>(40, 300, 20, kProducers[0], 5);
  for (size_t i = 0; i < values.size(); i += 20) values[i] = TypeParam{-0.0};
  ExpectGivenBack(Rounded<TypeParam>(), values, Shape{40, 100, 3});
  EXPECT_NE(Rounded<TypeParam>()->Encode(BytesOf(values), Shape{40, 100, 3}).value()[0],
            kKindRounded);
}

// Values of a simulation's own precision: plain blosc behind 32 bytes.
TYPED_TEST(RoundedCodec, OtherValuesArePlainBlosc) {
  std::mt19937_64 random(6);
  std::normal_distribution<TypeParam> any(0, 10);
  std::vector<TypeParam> values(9000);
  for (TypeParam& v : values) v = any(random);
  ExpectGivenBack(Rounded<TypeParam>(), values, Shape{30, 100, 3});
  const auto encoded = Rounded<TypeParam>()->Encode(BytesOf(values), Shape{30, 100, 3}).value();
  const auto plain =
      CodecPipeline::Create(DefaultCodecs(kDTypeOf<TypeParam>), kDTypeOf<TypeParam>).value();
  const auto blosc = plain->Encode(BytesOf(values), Shape{30, 100, 3}).value();
  ASSERT_EQ(encoded.size(), blosc.size() + 32);
  EXPECT_TRUE(std::equal(blosc.begin(), blosc.end(), encoded.begin() + 32));
}

template <class T>
T AnyValue(int what) {
  if (what < 90) return static_cast<T>(*rc::gen::inRange(-100000, 100000) / 1000.0);
  if (what < 94) return static_cast<T>(*rc::gen::arbitrary<double>());
  if (what < 97) return T{-0.0};
  return std::numeric_limits<T>::quiet_NaN();
}

template <class T>
void CheckAnything() {
  const Shape shape{*rc::gen::inRange<int64_t>(0, 40), *rc::gen::inRange<int64_t>(0, 30), 3};
  // Chunks of nothing but steps, with a few strangers, with many.
  const int most = *rc::gen::element(90, 94, 100);
  std::vector<T> values(static_cast<size_t>(shape.Elements()));
  std::mt19937_64 random(*rc::gen::arbitrary<uint64_t>());
  const bool rare = *rc::gen::arbitrary<bool>();
  for (T& v : values) v = static_cast<T>(static_cast<int32_t>(random() % 4000000) / 1000.0);
  for (size_t i = 0; i < values.size(); i += rare ? 97 : 5)
    values[i] = AnyValue<T>(static_cast<int>(random() % static_cast<uint64_t>(most)));
  ExpectGivenBack(Rounded<T>(), values, shape);
}
RC_GTEST_PROP(RoundedCodecProperty, GivesBackFloats, ()) { CheckAnything<float>(); }
RC_GTEST_PROP(RoundedCodecProperty, GivesBackDoubles, ()) { CheckAnything<double>(); }

// One frame of a chunk that lies on a disk: its group is read, not all of the chunk, and nothing is looked at that was
// not read.
TYPED_TEST(RoundedCodec, ARowFetchesLittle) {
  const Shape shape{64, 200, 3};
  auto rounded = Walk<TypeParam>(64, 600, 60, kProducers[1], 10);
  std::mt19937_64 random(11);
  auto plain = rounded;
  for (TypeParam& v : plain) v = static_cast<TypeParam>(std::normal_distribution<double>(0, 10)(random));
  rounded[31 * 600 + 5] = rounded[33 * 600] = TypeParam{1e30f};  // exceptions
  for (const auto& values : {rounded, plain}) {
    const auto encoded = Rounded<TypeParam>()->Encode(BytesOf(values), shape).value();
    for (const auto [first, count] : {std::pair{0, 1}, {31, 1}, {33, 1}, {63, 1}, {30, 12}, {0, 64}}) {
      CountingSource source(encoded);
      std::vector<TypeParam> rows(static_cast<size_t>(count) * 600);
      ASSERT_TRUE(Rounded<TypeParam>()->DecodeRows(source, shape, first, count, std::as_writable_bytes(std::span(rows))));
      ASSERT_EQ(std::memcmp(rows.data(), values.data() + first * 600, rows.size() * sizeof(TypeParam)), 0) << first;
      if (count == 1) EXPECT_LT(source.fetched() * 3, encoded.size()) << first;
    }
  }
}

// A damaged chunk gives an error or some values, and never reads or writes beyond its bytes (the
// sanitizers look).
TYPED_TEST(RoundedCodec, SurvivesTruncationAndBitFlips) {
  auto values = Walk<TypeParam>(20, 60, 40, kProducers[1], 7);
  values[100] = std::numeric_limits<TypeParam>::infinity();
  const Shape shape{20, 20, 3};
  const auto encoded = Rounded<TypeParam>()->Encode(BytesOf(values), shape).value();
  ASSERT_EQ(encoded[0], kKindRounded);
  std::vector<TypeParam> out(values.size()), row(60);
  size_t refused = 0;
  for (size_t size = 0; size < encoded.size(); ++size) {
    const std::vector<std::byte> cut(encoded.begin(),
                                     encoded.begin() + static_cast<ptrdiff_t>(size));
    const auto result =
        Rounded<TypeParam>()->Decode(cut, shape, std::as_writable_bytes(std::span(out)));
    ASSERT_FALSE(result) << size;
    EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
    (void)Rounded<TypeParam>()->DecodeRows(cut, shape, 11, 1,
                                           std::as_writable_bytes(std::span(row)));
  }
  for (size_t bit = 0; bit < 8 * encoded.size(); ++bit) {
    std::vector<std::byte> damaged = encoded;
    damaged[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    refused +=
        !Rounded<TypeParam>()->Decode(damaged, shape, std::as_writable_bytes(std::span(out)));
    (void)Rounded<TypeParam>()->DecodeRows(damaged, shape, 11, 2,
                                           std::as_writable_bytes(std::span(out).first(120)));
  }
  EXPECT_GT(refused, 0u);
}

TEST(RoundedCodec, RefusesOtherTypesAndCompany) {
  EXPECT_FALSE(CodecPipeline::Create(R"([{"name":"zn.rounded"}])", DType::kInt32));
  EXPECT_FALSE(
      CodecPipeline::Create(R"([{"name":"zn.rounded"},{"name":"zstd"}])", DType::kFloat32));
  EXPECT_FALSE(CodecPipeline::Create(R"([{"name":"zn.rounded","configuration":{"step":1}}])",
                                     DType::kFloat32));
  EXPECT_EQ(ParseCodecs("rounded", DType::kFloat64).value(), R"([{"name":"zn.rounded"}])");
  EXPECT_EQ(ParseCodecs("rounded", DType::kInt8).value(), DefaultCodecs(DType::kInt8));
}

TEST(FindRounding, WantsMultiplesOfAPowerOfTen) {
  const auto values = Walk<float>(3, 300, 50, kProducers[1], 8);
  const auto rounding = FindRounding<float>(BytesOf(values));
  ASSERT_TRUE(rounding);
  EXPECT_NEAR(NumbersPerUnit(*rounding), 1000, 1e-3);

  EXPECT_FALSE(FindRounding<float>({}));
  EXPECT_FALSE(FindRounding<float>(BytesOf(std::vector<float>(1000, 0.0f)))) << "zeros say nothing";
  EXPECT_FALSE(FindRounding<double>(BytesOf(std::vector<double>(1000, std::nan("")))));
  std::vector<double> thirds;
  for (int i = 1; i < 400; ++i) thirds.push_back(i / 3.0 + 0.01);
  EXPECT_FALSE(FindRounding<double>(BytesOf(thirds)));
}

template <class U>
void CheckPacking(int width, uint64_t seed) {
  std::mt19937_64 random(seed);
  U numbers[kPackedBlock];
  for (U& n : numbers) n = width == 0 ? 0 : static_cast<U>(random() >> (64 - width));
  numbers[seed % kPackedBlock] = width == 0 ? 0 : static_cast<U>(~uint64_t{0} >> (64 - width));
  std::vector<std::byte> packed(kMaxPackedSize<U> + kPackingSlack, std::byte{0xff});
  const size_t size = PackBlock(numbers, packed.data());
  EXPECT_EQ(size, 1 + 4 * static_cast<size_t>(width));
  packed.resize(size + kPackingSlack);
  packed.shrink_to_fit();
  U out[kPackedBlock];
  ASSERT_EQ(UnpackBlock(packed, out), size);
  EXPECT_TRUE(std::equal(std::begin(out), std::end(out), std::begin(numbers))) << width;
  EXPECT_EQ(UnpackBlock(std::span(packed).first(size + kPackingSlack - 1), out), 0u)
      << "beyond the end";
}

TEST(BitPacking, GivesBackEveryWidth) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    for (int width = 0; width <= 32; ++width) CheckPacking<uint32_t>(width, seed);
    for (int width = 0; width <= 64; ++width) CheckPacking<uint64_t>(width, seed);
  }
}

TEST(BitPacking, RefusesAWidthThatIsNone) {
  std::vector<std::byte> packed(1000);
  uint32_t narrow[kPackedBlock];
  uint64_t wide[kPackedBlock];
  packed[0] = std::byte{33};
  EXPECT_EQ(UnpackBlock(packed, narrow), 0u);
  EXPECT_EQ(UnpackBlock(packed, wide), 133u);
  packed[0] = std::byte{65};
  EXPECT_EQ(UnpackBlock(packed, wide), 0u);
  EXPECT_EQ(UnpackBlock(std::span<const std::byte>(), narrow), 0u);
}

}  // namespace
}  // namespace zn
