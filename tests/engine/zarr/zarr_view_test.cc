// A user who loses these loses data on the way out, or finds another room's rows in an array.
#include "zn/engine/zarr_view.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/hash.h"
#include "engine/zarr/zarr_support.h"

namespace zn {
namespace {

using Json = nlohmann::json;

Column Only(const FrameBatch& batch, const std::string& name) { return *batch.Find(name); }

TEST(ZarrView, HoldsEveryFieldPadded) {
  ZarrRooms rooms;
  const auto room = rooms.Import("md", MixedFrames({2, 5, 0, 3, 3, 9, 1, 1, 4, 4}));
  const auto view = ViewOf(room->Head());
  EXPECT_EQ(view->Find("arrays.positions")->metadata.shape, (Shape{10, 9, 3}));
  EXPECT_EQ(view->Find("arrays.positions")->metadata.chunks, (Shape{4, 4, 3}));
  EXPECT_EQ(view->Find("connectivity")->metadata.shape, (Shape{10, 8, 2}));
  ExpectViewEquals(*view, room->Head());
}

TEST(ZarrView, AnEmptyRoomIsAnEmptyHierarchy) {
  ZarrRooms rooms;
  auto room = rooms.store().CreateRoom("none", {}, {});
  ASSERT_TRUE(room);
  const auto view = ViewOf((*room)->Head());
  EXPECT_NE(view->Document(".zmetadata"), nullptr);
  for (const ZarrArray& array : view->arrays()) EXPECT_EQ(array.metadata.shape[0], 0);
  // And one whose frames are all gone.
  auto full = rooms.Import("gone", MixedFrames({2, 3}));
  const std::vector<FrameId> ids = {0, 1};
  ASSERT_TRUE(full->Delete(ids, {}));
  ExpectViewEquals(*ViewOf(full->Head()), full->Head());
}

TEST(ZarrView, WholeStoredChunksAreServedAsTheyAre) {
  ZarrRooms rooms;
  const auto room = rooms.Import("md", MixedFrames(std::vector<int32_t>(10, 4)));
  const auto view = ViewOf(room->Head());
  for (const char* name :
       {"arrays.positions", "arrays.numbers", "cell", "info.note", "connectivity"}) {
    const ZarrArray& array = *view->Find(name);
    std::vector<int64_t> chunk(array.metadata.shape.rank(), 0);
    for (chunk[0] = 0; chunk[0] < 3; ++chunk[0]) {
      const auto place = view->Locate(array, chunk);
      ASSERT_TRUE(place);
      const auto value = view->ReadChunk(array, chunk);
      ASSERT_TRUE(value && *value);
      EXPECT_EQ((*value)->digest, HashSha256((*value)->bytes.bytes())) << name;
      // The last one holds 2 frames: it is padded to 4, which no stored chunk is.
      EXPECT_EQ(place->kind,
                chunk[0] < 2 ? ZarrChunkPlace::Kind::kStored : ZarrChunkPlace::Kind::kAssembled)
          << name;
      if (chunk[0] == 2) continue;
      EXPECT_EQ(place->digest, (*value)->digest);
      EXPECT_EQ(place->length, (*value)->bytes.size());
      std::ifstream file(rooms.store().directory() + "/" + place->file, std::ios::binary);
      std::string bytes(place->length, '\0');
      file.seekg(static_cast<std::streamoff>(place->offset));
      file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
      ASSERT_TRUE(file) << place->file;
      EXPECT_EQ(std::memcmp(bytes.data(), (*value)->bytes.data(), bytes.size()), 0) << name;
    }
  }
  // Half of the frames lack an energy: their rows of the chunk cannot be told from edited ones.
  EXPECT_EQ(view->Locate(*view->Find("calc.energy"), std::vector<int64_t>{0})->kind,
            ZarrChunkPlace::Kind::kAssembled);
}

TEST(ZarrView, EveryCommitKeepsItsView) {
  ZarrRooms rooms;
  auto room = rooms.Import("md", MixedFrames({2, 5, 0, 3, 3, 9, 1, 1, 4, 4, 6, 6}));
  const auto cache = std::make_shared<ZarrChunkCache>();
  std::vector<Snapshot> history = {room->Head()};
  const auto step = [&](const auto& result) {
    ASSERT_TRUE(result) << result.error().message;
    history.push_back(room->Head());
    ExpectViewEquals(*ViewOf(room->Head(), false, cache), room->Head());
  };
  step(room->Append(MixedFrames({7, 2}, 1), {}));
  step(room->Insert(0, MixedFrames({12}, 2), {}));
  step(room->Insert(5, MixedFrames({1, 1, 1}, 3), {}));
  step(room->Move(1, 6, 8, {}));
  const std::vector<FrameId> gone = {3, 13};
  step(room->Delete(gone, {}));
  FrameBatch change;
  change.n_atoms = {9};
  change.columns = {Only(MixedFrames({9}, 4), "arrays.positions")};
  step(room->Edit(5, change, {}, {}));
  const std::vector<std::string> removed = {"arrays.numbers", "info.note", "connectivity"};
  FrameBatch nothing;
  nothing.n_atoms = {2};
  step(room->Edit(0, nothing, removed, {}));
  step(room->Replace(4, MixedFrames({17}, 5), {}));
  step(room->Undo(4, {}));
  step(room->Compact(1000));
  // What was made for a later commit does not stand in an earlier one.
  for (const Snapshot& snapshot : history) {
    ExpectViewEquals(*ViewOf(snapshot, false, cache), snapshot);
    ExpectViewEquals(*ViewOf(snapshot), snapshot);
  }
}

TEST(ZarrView, RandomEditsAreSeen) {
  std::mt19937 random(7);
  ZarrRooms rooms;
  std::vector<int32_t> sizes(20);
  for (int32_t& size : sizes) size = static_cast<int32_t>(random() % 10);
  auto room = rooms.Import("md", MixedFrames(sizes));
  const auto cache = std::make_shared<ZarrChunkCache>(4096);  // too small for much
  for (int i = 0; i < 40; ++i) {
    const Snapshot head = room->Head();
    const auto at = static_cast<int64_t>(random() % static_cast<uint64_t>(head.frames()));
    const FrameId id = *head.IdAt(at);
    switch (random() % 5) {
      case 0:
        ASSERT_TRUE(room->Insert(at, MixedFrames({static_cast<int32_t>(random() % 12)}, i), {}));
        break;
      case 1:
        ASSERT_TRUE(room->Delete(std::vector<FrameId>{id}, {}));
        break;
      case 2:
        ASSERT_TRUE(room->Append(MixedFrames({3, static_cast<int32_t>(random() % 6)}, i), {}));
        break;
      case 3:
        ASSERT_TRUE(room->Move(at, 1, static_cast<int64_t>(random()) % head.frames(), {}));
        break;
      default:
        ASSERT_TRUE(room->Replace(id, MixedFrames({static_cast<int32_t>(random() % 9)}, i), {}));
    }
    ExpectViewEquals(*ViewOf(room->Head(), false, cache), room->Head());
  }
}

// Fields that changed type keep old chunks in the old one.
TEST(ZarrView, WidenedFieldsAreOfTheirNewType) {
  ZarrRooms rooms;
  FrameBatch batch;
  batch.n_atoms = {2, 3, 4, 2};
  batch.columns.push_back({"arrays.tag", FieldKind::kAtom, DType::kInt32, Shape{},
                           Buffer::Own(std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})});
  batch.columns.push_back({"info.k", FieldKind::kFrame, DType::kInt64, Shape{2},
                           Buffer::Own(std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8})});
  batch.columns.push_back({"info.s", FieldKind::kFrame, DType::kInt64, Shape{},
                           Buffer::Own(std::vector<int64_t>{1, 2, 3, 4})});
  const auto room = rooms.Import("md", batch);
  FrameBatch wider;
  wider.n_atoms = {1};
  wider.columns.push_back({"arrays.tag", FieldKind::kAtom, DType::kFloat64, Shape{},
                           Buffer::Own(std::vector<double>{0.5})});
  Column ragged{"info.k", FieldKind::kRagged, DType::kInt64, Shape{},
                Buffer::Own(std::vector<int64_t>{9, 9, 9})};
  ragged.lengths = {3};
  wider.columns.push_back(ragged);
  Column text{"info.s"};
  text.dtype = DType::kJson;
  text.text = {"\"x\""};
  wider.columns.push_back(text);
  auto appender = room->StartBulkAppend({});
  ASSERT_TRUE(appender);
  ASSERT_TRUE((*appender)->Append(wider));
  auto made = (*appender)->Finish({});
  ASSERT_TRUE(made) << made.error().message;
  const Snapshot head = room->Head();
  EXPECT_EQ(head.fields()[0].dtype, DType::kFloat64);
  EXPECT_EQ(head.fields()[1].kind, FieldKind::kRagged);
  EXPECT_EQ(head.fields()[2].dtype, DType::kJson);
  ExpectViewEquals(*ViewOf(head), head);
}

TEST(ZarrView, OtherCodecsThanBothVersionsHaveAreReplaced) {
  ZarrRooms rooms;
  FrameBatch batch = MixedFrames({4, 4, 4, 4});
  batch.columns = {Only(batch, "cell")};
  const auto room = rooms.Import(
      "md", batch,
      R"([{"name":"bytes","configuration":{"endian":"big"}},{"name":"zstd"},{"name":"crc32c"}])");
  const auto view = ViewOf(room->Head());
  EXPECT_EQ(view->Find("cell")->metadata.codecs, DefaultCodecs(DType::kFloat64));
  EXPECT_EQ(view->Locate(*view->Find("cell"), std::vector<int64_t>{0, 0, 0})->kind,
            ZarrChunkPlace::Kind::kAssembled);
  ExpectViewEquals(*view, room->Head());
  const auto portable = rooms.Import(
      "be", batch, R"([{"name":"bytes","configuration":{"endian":"big"}},{"name":"zstd"}])");
  const auto as_it_is = ViewOf(portable->Head());
  EXPECT_EQ(as_it_is->Locate(*as_it_is->Find("cell"), std::vector<int64_t>{0, 0, 0})->kind,
            ZarrChunkPlace::Kind::kStored);
  ExpectViewEquals(*ViewOf(portable->Head()), portable->Head());
}

TEST(ZarrView, OnlyKeysOfTheGridAreKeys) {
  ZarrRooms rooms;
  const auto view = ViewOf(rooms.Import("md", MixedFrames({2, 5, 0, 3, 3}))->Head());
  const auto key = view->ParseChunkKey("arrays.positions/1.0.0");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->chunk, (std::vector<int64_t>{1, 0, 0}));
  EXPECT_EQ(key->array->name, "arrays.positions");
  for (const char* none :
       {"arrays.positions", "arrays.positions/", "arrays.positions/0", "arrays.positions/0.0",
        "arrays.positions/0.0.0.0", "arrays.positions/2.0.0", "arrays.positions/0.2.0",
        "arrays.positions/0.0.1", "arrays.positions/00.0.0", "arrays.positions/-1.0.0",
        "arrays.positions/+1.0.0", "arrays.positions/0.0.0.", "arrays.positions/0..0",
        "arrays.positions/99999999999999999999.0.0", "arrays.positions/c/0/0/0", "positions/0.0.0",
        "", "/0.0.0"})
    EXPECT_FALSE(view->ParseChunkKey(none)) << none;
  const ZarrArray& positions = *view->Find("arrays.positions");
  EXPECT_FALSE(view->ReadChunk(positions, std::vector<int64_t>{2, 0, 0}));
  EXPECT_FALSE(view->ReadChunk(positions, std::vector<int64_t>{0}));
  EXPECT_EQ(view->Document("nothing"), nullptr);
  EXPECT_EQ(view->Document("arrays.positions"), nullptr);
}

// xarray turns every element that equals fill_value into a missing one: integers would come back as
// floats.
TEST(ZarrView, OnlyFloatsHaveAFillValueAndMissingChunks) {
  ZarrRooms rooms;
  FrameBatch batch = MixedFrames({4, 4, 4, 4});
  Column late{"late", FieldKind::kFrame, DType::kFloat64, Shape{},
              Buffer::Own(std::vector<double>{})};
  late.present = {0, 0, 0, 0};
  Column later{"later", FieldKind::kFrame, DType::kInt32, Shape{},
               Buffer::Own(std::vector<int32_t>{})};
  later.present = {0, 0, 0, 0};
  batch.columns.push_back(late);
  batch.columns.push_back(later);
  const auto room = rooms.Import("md", batch);
  FrameBatch more;
  more.n_atoms = {1};
  more.columns.push_back(
      {"late", FieldKind::kFrame, DType::kFloat64, Shape{}, Buffer::Own(std::vector<double>{1})});
  more.columns.push_back(
      {"later", FieldKind::kFrame, DType::kInt32, Shape{}, Buffer::Own(std::vector<int32_t>{1})});
  ASSERT_TRUE(room->Append(more, {}));
  ZarrViewOptions options;
  const auto view = ViewOf(room->Head());
  EXPECT_EQ(Json::parse(FormatZarrV2(view->Find("late")->metadata).value())["fill_value"], "NaN");
  EXPECT_TRUE(
      Json::parse(FormatZarrV2(view->Find("later")->metadata).value())["fill_value"].is_null());
  ExpectViewEquals(*view, room->Head());
}

TEST(ZarrView, DocumentsDescribeTheHierarchy) {
  ZarrRooms rooms;
  FrameBatch batch = MixedFrames({2, 3});
  batch.columns[0].attributes = R"({"unit":"Å"})";
  batch.columns[3].name = "info.my cell";
  const auto room = rooms.Import("md", batch);
  ZarrViewOptions options;
  options.attributes = R"({"room":"md"})";
  options.aliases = [](std::string_view field) {
    return field == "arrays.positions" ? std::vector<std::string>{"positions", "pos"}
                                       : std::vector<std::string>();
  };
  const auto view = *ZarrView::Create(room->Head(), options);
  const auto json = [&](const char* key) {
    const ZarrValue* value = view->Document(key);
    EXPECT_NE(value, nullptr) << key;
    EXPECT_EQ(value->digest, HashSha256(value->bytes.bytes()));
    return Json::parse(
        std::string_view(reinterpret_cast<const char*>(value->bytes.data()), value->bytes.size()));
  };
  const Json group = json("zarr.json");
  EXPECT_EQ(group["attributes"]["room"], "md");
  EXPECT_EQ(group["attributes"]["znstore"]["commit"], room->Head().commit().ToString());
  EXPECT_EQ(json(".zattrs"), group["attributes"]);
  const Json v2 = json(".zmetadata")["metadata"];
  std::map<std::string, int64_t> sizes;
  for (const ZarrArray& array : view->arrays()) {
    const Json v3 = json((array.name + "/zarr.json").c_str());
    EXPECT_EQ(group["consolidated_metadata"]["metadata"][array.name], v3);
    EXPECT_EQ(v2[array.name + "/.zarray"], json((array.name + "/.zarray").c_str()));
    EXPECT_EQ(v2[array.name + "/.zattrs"], json((array.name + "/.zattrs").c_str()));
    EXPECT_EQ(v2[array.name + "/.zattrs"]["_ARRAY_DIMENSIONS"], v3["dimension_names"]);
    // xarray demands it.
    for (size_t axis = 0; axis < array.metadata.shape.rank(); ++axis) {
      const auto [at, added] =
          sizes.emplace(array.metadata.dimension_names[axis], array.metadata.shape[axis]);
      EXPECT_EQ(at->second, array.metadata.shape[axis]) << at->first;
    }
  }
  const Json positions = json("arrays.positions/.zattrs");
  EXPECT_EQ(positions["unit"], "Å");
  EXPECT_EQ(positions["aliases"], Json::parse(R"(["positions","pos"])"));
  EXPECT_EQ(positions["_ARRAY_DIMENSIONS"], Json::parse(R"(["frame","atom","dim3"])"));
  EXPECT_EQ(json("info.my~20cell/.zattrs")["_ARRAY_DIMENSIONS"],
            Json::parse(R"(["frame","dim3","dim3_2"])"));
  EXPECT_EQ(json("info.my~20cell/.zattrs")["field"], "info.my cell");
  EXPECT_EQ(json("info.note/.zattrs")["encoding"], "json");
}

// The I/O thread must not decode: it gets bytes that someone read before, and the same ones.
TEST(ZarrView, ReadyChunksAreThoseReadBefore) {
  ZarrRooms rooms;
  const auto room = rooms.Import("md", MixedFrames(std::vector<int32_t>(10, 4)));
  const auto view = ViewOf(room->Head());
  const ZarrArray& array = *view->Find("arrays.positions");
  for (int64_t i = 0; i < 3; ++i) {
    const std::vector<int64_t> chunk = {i, 0, 0};
    EXPECT_FALSE(view->ReadyChunk(array, chunk));
    const auto read = view->ReadChunk(array, chunk);
    ASSERT_TRUE(read && *read);
    const auto ready = view->ReadyChunk(array, chunk);
    ASSERT_TRUE(ready);
    EXPECT_EQ(ready->digest, (*read)->digest);
    EXPECT_EQ(HashSha256(ready->bytes.bytes()), ready->digest);
  }
}

}  // namespace
}  // namespace zn
