// The reader over small stores written here as JSON and raw chunks: grids, chunks as they are,
// batches, damage.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "formats/support.h"
#include "zarr/zarr.h"

namespace zn::formats {
namespace {

using testing::ReadAll;
using testing::TempFolder;

/// A v2 group with `positions` (frames, 2, 3) float32 = 0, 1, 2, ... in raw chunks of (rows, 2, 3).
std::string MakeStore(const TempFolder& folder, int frames, int rows,
                      const std::string& attributes = "{}") {
  std::filesystem::create_directories(folder.path() + "/s.zarr/positions");
  folder.Write("s.zarr/.zgroup", R"({"zarr_format":2})");
  folder.Write("s.zarr/positions/.zattrs", attributes);
  folder.Write(
      "s.zarr/positions/.zarray",
      R"({"zarr_format":2,"shape":[)" + std::to_string(frames) + R"(,2,3],"chunks":[)" +
          std::to_string(rows) +
          R"(,2,3],"dtype":"<f4","compressor":null,"fill_value":0,"order":"C","filters":null})");
  for (int chunk = 0; chunk * rows < frames; ++chunk) {
    std::vector<float> values(static_cast<size_t>(rows) * 6);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(static_cast<size_t>(chunk * rows) * 6 + i);
    folder.Write("s.zarr/positions/" + std::to_string(chunk) + ".0.0",
                 std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4));
  }
  return folder.path() + "/s.zarr";
}

FrameBatch First(const std::string& path, const ReadOptions& options = {}) {
  auto reader = ZarrFormat().open(path, options);
  EXPECT_TRUE(reader) << reader.error().message;
  auto batch = (*reader)->Next();
  EXPECT_TRUE(batch && *batch);
  return std::move(**batch);
}

TEST(ZarrReader, HandsOnTheGridAndWholeChunks) {
  TempFolder folder;
  const std::string path = MakeStore(folder, 10, 4);
  const FrameBatch batch = First(path);
  const Column* positions = batch.Find("arrays.positions");
  ASSERT_NE(positions, nullptr);
  ASSERT_TRUE(positions->grid);
  EXPECT_EQ(positions->grid->frames_per_chunk, 4);
  EXPECT_EQ(positions->grid->atoms_per_chunk, 2);
  EXPECT_EQ(positions->grid->kind, FieldKind::kAtom);
  ASSERT_EQ(positions->encoded.size(), 2u);
  EXPECT_EQ(positions->encoded[1].first, 4);
  // Decoded in place: nothing is held twice.
  EXPECT_EQ(positions->encoded[1].decoded.data(), positions->data.data() + 4 * 24);
}

TEST(ZarrReader, GivesNoChunksOfWhichPartsAreWanted) {
  TempFolder folder;
  const std::string path = MakeStore(folder, 12, 4);
  ReadOptions options;
  options.start = 2;
  options.stop = 11;
  const FrameBatch batch = First(path, options);
  const Column* positions = batch.Find("arrays.positions");
  ASSERT_EQ(batch.frames(), 9);
  ASSERT_EQ(positions->encoded.size(), 1u);  // rows 4 to 7; of the others only parts are wanted
  EXPECT_EQ(positions->encoded[0].first, 2);
  options.start = 0;
  options.step = 2;
  EXPECT_TRUE(First(path, options).Find("arrays.positions")->encoded.empty());
}

TEST(ZarrReader, ConvertedValuesAreNotTheChunksBytes) {
  TempFolder folder;
  const FrameBatch batch = First(MakeStore(folder, 8, 4, R"({"unit":"nm"})"));
  const Column* positions = batch.Find("arrays.positions");
  float second;
  std::memcpy(&second, positions->data.data() + 4, 4);
  EXPECT_EQ(second, 10);
  for (const EncodedChunk& chunk : positions->encoded)
    EXPECT_NE(std::memcmp(chunk.decoded.data(), positions->data.data() + chunk.first * 24,
                          chunk.decoded.size()),
              0);
}

TEST(ZarrReader, ReadsSmallBatches) {
  TempFolder folder;
  const std::string path = MakeStore(folder, 50, 3);
  ReadOptions options;
  options.batch_bytes = 100;
  options.threads = 3;
  const auto read = ReadAll(ZarrFormat(), path, options);
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.frames.size(), 50u);
  EXPECT_GT(read.batches, 10u);
  EXPECT_EQ(read.frames[49]["arrays.positions"][1][2], 299);
}

TEST(ZarrReader, MissingChunksAreTheFillValue) {
  TempFolder folder;
  const std::string path = MakeStore(folder, 8, 4);
  std::filesystem::remove(path + "/positions/1.0.0");
  const auto read = ReadAll(ZarrFormat(), path);
  ASSERT_EQ(read.frames.size(), 8u);
  EXPECT_EQ(read.frames[3]["arrays.positions"][1][2], 23);
  EXPECT_EQ(read.frames[4]["arrays.positions"][0][0], 0);
}

TEST(ZarrReader, IsToldByContent) {
  TempFolder folder;
  const std::string path = MakeStore(folder, 4, 4);
  EXPECT_TRUE(OpenReader(path, {}));
  EXPECT_TRUE(OpenReader(folder.path(), {})) << "the folder that a store lies in alone";
  std::filesystem::create_directory(folder.path() + "/plain");
  const auto plain = OpenReader(folder.path() + "/plain", {});
  ASSERT_FALSE(plain);
  EXPECT_NE(plain.error().message.find("zarr.json"), std::string::npos);
}

TEST(ZarrReader, DamagedChunksAndDocumentsAreErrorsOrSound) {
  TempFolder folder;
  const std::string path = MakeStore(folder, 8, 4);
  std::mt19937 random(5);
  for (const char* file :
       {"positions/.zarray", "positions/.zattrs", ".zgroup", "positions/1.0.0"}) {
    const std::string whole = testing::ReadText(path + "/" + file);
    for (int i = 0; i < 150; ++i) {
      std::string damaged = whole;
      if (i < 30) {
        damaged.resize(whole.size() * static_cast<size_t>(i) / 30);
      } else {
        damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 7);
      }
      folder.Write(std::string("s.zarr/") + file, damaged);
      const auto read = ReadAll(ZarrFormat(), path);  // every batch is checked
      if (!read.error.empty()) {
        EXPECT_NE(read.error.find(path), std::string::npos) << read.error;
      }
    }
    folder.Write(std::string("s.zarr/") + file, whole);
  }
  EXPECT_EQ(ReadAll(ZarrFormat(), path).frames.size(), 8u);
}

}  // namespace
}  // namespace zn::formats
