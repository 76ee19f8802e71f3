// Batches through a pipe: what comes out is what went in, or an error.
#include "zn/formats/batch_stream.h"

#include <gtest/gtest.h>

#include <random>

namespace zn::formats {
namespace {

FrameBatch Sample() {
  FrameBatch batch;
  batch.n_atoms = {2, 0, 1};
  batch.columns.push_back({"arrays.positions", FieldKind::kAtom, DType::kFloat32, Shape{3},
                           Buffer::Own(std::vector<float>(9, 1.5f))});
  Column energy;
  energy.name = "calc.energy";
  energy.present = {1, 0, 1};
  energy.data = Buffer::Own(std::vector<double>{-1, -2});
  energy.attributes = "{\"unit\":\"eV\"}";
  batch.columns.push_back(energy);
  Column text;
  text.name = "info.text";
  text.dtype = DType::kJson;
  text.text = {"\"a\"", "null", "[1,2]"};
  batch.columns.push_back(text);
  Column bonds;
  bonds.name = "connectivity";
  bonds.kind = FieldKind::kRagged;
  bonds.dtype = DType::kInt64;
  bonds.inner = Shape{2};
  bonds.lengths = {1, 0, 2};
  bonds.data = Buffer::Own(std::vector<int64_t>{0, 1, 0, 1, 1, 2});
  batch.columns.push_back(bonds);
  return batch;
}

TEST(BatchStream, RoundTrips) {
  const FrameBatch batch = Sample();
  auto read = DecodeBatch(Buffer::Own(EncodeBatch(batch)));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->n_atoms, batch.n_atoms);
  ASSERT_EQ(read->columns.size(), batch.columns.size());
  EXPECT_EQ(EncodeBatch(*read), EncodeBatch(batch));
  EXPECT_EQ(read->columns[1].attributes, "{\"unit\":\"eV\"}");
}

TEST(BatchStream, EveryCutIsRefused) {
  const std::vector<std::byte> whole = EncodeBatch(Sample());
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(DecodeBatch(Buffer::Copy(std::span(whole).first(size)))) << size;
}

TEST(BatchStream, FlippedBitsGiveAValidBatchOrAnError) {
  const std::vector<std::byte> whole = EncodeBatch(Sample());
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::byte> bytes = whole;
    bytes[random() % bytes.size()] ^= static_cast<std::byte>(1u << random() % 8);
    if (auto read = DecodeBatch(Buffer::Own(std::move(bytes)))) EXPECT_TRUE(ValidateBatch(*read));
  }
}

TEST(BatchStream, HeadersOfOtherKindsAndLengthsAreRefused) {
  std::byte head[kStreamHeader];
  EncodeStreamHeader({StreamMessage::kWarning, 77}, head);
  EXPECT_EQ(DecodeStreamHeader(head)->length, 77u);
  EncodeStreamHeader({StreamMessage::kBatch, kMaxStreamMessage + 1}, head);
  EXPECT_FALSE(DecodeStreamHeader(head));
  EncodeStreamHeader({static_cast<StreamMessage>(6), 1}, head);
  EXPECT_FALSE(DecodeStreamHeader(head));
}

}  // namespace
}  // namespace zn::formats
