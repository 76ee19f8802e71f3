#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>

#include "api/encode_arrays.h"
#include "api/test_store.h"
#include "zn/engine/npy.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr char kFrames[] = "/api/rooms/md/frames";

json Msgpack(const Reply& reply) { return json::from_msgpack(Flatten(reply.body)); }

template <class T>
std::vector<T> Values(const json& array) {
  const auto& bytes = array["data"].get_binary();
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

TEST_F(ApiTest, MsgpackLeavesAbsentFieldsOutOfTheFrame) {
  json frames = Msgpack(Get(std::string(kFrames) + "?data=energy,positions&array_keys=str"));
  ASSERT_EQ(frames.size(), 4u);
  EXPECT_TRUE(frames[0].contains("calc.energy"));
  EXPECT_FALSE(frames[1].contains("calc.energy"));
  EXPECT_EQ(frames[3]["arrays.positions"]["shape"], (json{5, 3}));
  EXPECT_EQ(frames[2]["arrays.positions"]["shape"], (json{0, 3}));
  EXPECT_EQ(Values<double>(frames[2]["calc.energy"]), std::vector<double>{2.0});
  EXPECT_EQ(frames[2]["calc.energy"]["nd"], false);
  EXPECT_FLOAT_EQ(Values<float>(frames[3]["arrays.positions"])[4], 301.25f);
}

TEST_F(ApiTest, OneFrameIsAMap) {
  json frame = Msgpack(Get(std::string(kFrames) + "/-1?array_keys=str"));
  EXPECT_TRUE(frame.is_object());
  EXPECT_EQ(frame["info.name"], "frame 3");
  EXPECT_EQ(Values<int64_t>(frame["arrays.numbers"]), (std::vector<int64_t>{1, 2, 3, 4, 5}));
}

TEST_F(ApiTest, ColumnsJoinRowsWithoutPadding) {
  json columns = Msgpack(Get(std::string(kFrames) + "?indices=3,0,1&format=columns"));
  EXPECT_EQ(columns["n_frames"], 3);
  EXPECT_EQ(Values<int64_t>(columns["indices"]), (std::vector<int64_t>{3, 0, 1}));
  EXPECT_EQ(Values<int32_t>(columns["n_atoms"]), (std::vector<int32_t>{5, 2, 3}));
  EXPECT_EQ(Values<int64_t>(columns["versions"]), (std::vector<int64_t>{1, 1, 1}));
  const json& positions = columns["fields"]["arrays.positions"];
  EXPECT_EQ(positions["kind"], "atom");
  EXPECT_EQ(positions["dtype"], "<f4");
  EXPECT_EQ(positions["shape"], (json{10, 3}));
  EXPECT_TRUE(positions["present"].is_null());
  EXPECT_FLOAT_EQ(Values<float>(positions)[0], 300);
  const json& energy = columns["fields"]["calc.energy"];
  EXPECT_EQ(energy["shape"], (json{1}));
  const std::vector<uint8_t> present = energy["present"].get_binary();
  EXPECT_EQ(present, (std::vector<uint8_t>{0, 1, 0}));
  EXPECT_EQ(columns["fields"]["info.name"]["data"], (json{"frame 3", "frame 0", "frame 1"}));
}

TEST_F(ApiTest, NpyIsPaddedWithNaNOrJoined) {
  std::string padded = Flatten(Get(std::string(kFrames) + "?data=positions&format=npy").body);
  std::string header = EncodeNpyHeader("<f4", Shape{4, 5, 3});
  ASSERT_EQ(padded.substr(0, header.size()), header);
  ASSERT_EQ(padded.size(), header.size() + 4 * 5 * 3 * 4);
  float value;
  std::memcpy(&value, padded.data() + header.size() + 2 * 12, 4);
  EXPECT_TRUE(std::isnan(value));
  std::string joined =
      Flatten(Get(std::string(kFrames) + "?data=positions&format=npy&pad=false").body);
  header = EncodeNpyHeader("<f4", Shape{10, 3});
  EXPECT_EQ(joined.substr(0, header.size()), header);
  EXPECT_EQ(joined.size(), header.size() + 10 * 12);
}

TEST_F(ApiTest, NpyNamesTheFirstFrameWithoutTheField) {
  Reply reply = Get(std::string(kFrames) + "?indices=2,3&data=energy&format=npy");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(json::parse(Flatten(reply.body))["frame"], 3);
}

TEST(NpyHeader, IsNumPysAndAligned) {
  std::string header = EncodeNpyHeader("<f8", Shape{3});
  EXPECT_EQ(header.size() % 64, 0u);
  EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(header.substr(10, 57), "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }");
  EXPECT_EQ(header.back(), '\n');
  EXPECT_NE(EncodeNpyHeader("<f8", Shape{}).find("'shape': (), }"), std::string::npos);
}

// A zip reader walks the central directory and checks every CRC; a wrong one makes np.load raise.
TEST_F(ApiTest, NpzIsAValidStoredZip) {
  std::string zip = Flatten(Get(std::string(kFrames) + "?format=npz").body);
  auto u32 = [&](size_t at) {
    uint32_t v;
    std::memcpy(&v, zip.data() + at, 4);
    return v;
  };
  auto u16 = [&](size_t at) {
    uint16_t v;
    std::memcpy(&v, zip.data() + at, 2);
    return v;
  };
  size_t end = zip.size() - 22;
  ASSERT_EQ(u32(end), 0x06054b50u);
  size_t entry = u32(end + 16);
  std::vector<std::string> names;
  for (int i = 0; i < u16(end + 10); ++i) {
    ASSERT_EQ(u32(entry), 0x02014b50u);
    uint32_t crc = u32(entry + 16), size = u32(entry + 24);
    size_t name_size = u16(entry + 28), extra = u16(entry + 30), local = u32(entry + 42);
    names.push_back(zip.substr(entry + 46, name_size));
    ASSERT_EQ(u32(local), 0x04034b50u);
    EXPECT_EQ(u32(local + 14), crc);
    size_t data = local + 30 + u16(local + 26) + u16(local + 28);
    EXPECT_EQ(zip.substr(data, 6), "\x93NUMPY");
    EXPECT_EQ(crc32(0, reinterpret_cast<const Bytef*>(zip.data() + data), size), crc)
        << names.back();
    entry += 46 + name_size + extra;
  }
  EXPECT_EQ(entry, end);
  EXPECT_EQ(names, (std::vector<std::string>{
                       "arrays.positions.npy", "arrays.numbers.npy", "cell.npy", "calc.energy.npy",
                       "calc.energy.present.npy", "info.name.npy", "n_atoms.npy"}));
}

TEST_F(ApiTest, SymbolsStandUnderTheCanonicalName) {
  json frame = GetJson(std::string(kFrames) + "/1?data=species:symbol&format=json");
  EXPECT_EQ(frame, (json{{"arrays.numbers", {"H", "He", "Li"}}}));
}

TEST_F(ApiTest, AtomCountsAreAFieldToAsk) {
  EXPECT_EQ(GetJson(std::string(kFrames) + "?data=n_atoms&format=json"),
            (json{{{"n_atoms", 2}}, {{"n_atoms", 3}}, {{"n_atoms", 0}}, {{"n_atoms", 5}}}));
}

TEST_F(ApiTest, AtomsAreCutInEveryFormat) {
  for (const char* atoms : {"1:3", "-2:", "0:9:2"}) {
    json got = GetJson(std::string(kFrames) + "?data=numbers&format=json&atoms=" + atoms);
    std::string text(atoms);
    json want = text == "1:3"   ? json{{2}, {2, 3}, json::array(), {2, 3}}
                : text == "-2:" ? json{{1, 2}, {2, 3}, json::array(), {4, 5}}
                                : json{{1}, {1, 3}, json::array(), {1, 3, 5}};
    for (size_t f = 0; f < 4; ++f) EXPECT_EQ(got[f]["arrays.numbers"], want[f]) << atoms;
  }
}

TEST_F(ApiTest, UnlessNamesWhatAClientHasAlready) {
  Reply reply = Get(std::string(kFrames) + "/1?unless=0&format=json");
  EXPECT_NE(reply.headers.find("Zn-Unchanged: cell\r\n"), std::string::npos) << reply.headers;
  json frame = json::parse(Flatten(reply.body));
  EXPECT_FALSE(frame.contains("cell"));
  EXPECT_TRUE(frame.contains("arrays.positions"));
}

TEST_F(ApiTest, AnEditedFrameIsReadAsOfAnyVersionAndCommit) {
  std::string before = GetJson("/api/rooms/md")["commit"];
  FrameBatch edit = Molecules({3}, 1000);
  edit.columns.resize(1);
  auto done = room_->Edit(1, edit, {}, {"tester", ""});
  ASSERT_TRUE(done) << done.error().message;
  auto first_x = [&](const std::string& query) {
    json frame = GetJson(std::string(kFrames) + query + "format=json&data=positions");
    return frame["arrays.positions"][0][0].get<double>();
  };
  EXPECT_EQ(first_x("/1?"), 1000);
  EXPECT_EQ(first_x("/1?version=1&"), 100);
  EXPECT_EQ(first_x("/id:1?version=2&"), 1000);
  EXPECT_EQ(first_x("/1?at=" + before + "&"), 100);
  EXPECT_EQ(Get(std::string(kFrames) + "/1?version=3").status, 404);

  json versions = GetJson(std::string(kFrames) + "/1/versions");
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[0]["version"], 2);
  EXPECT_EQ(versions[0]["actor"], "tester");
  EXPECT_EQ(versions[0]["fields"], json{"arrays.positions"});

  json changes = GetJson(std::string(kFrames) + "/changes?since=" + before);
  ASSERT_EQ(changes["frames"].size(), 1u);
  EXPECT_EQ(changes["frames"][0]["id"], 1);
  EXPECT_EQ(changes["frames"][0]["fields"], json{"arrays.positions"});
  EXPECT_TRUE(changes["shifts"].empty());
}

TEST_F(ApiTest, ChangesTellWhereFramesMoved) {
  std::string before = GetJson("/api/rooms/md")["commit"];
  ASSERT_TRUE(room_->Insert(1, Molecules({1}), {"tester", ""}));
  json changes = GetJson(std::string(kFrames) + "/changes?since=" + before);
  ASSERT_EQ(changes["frames"].size(), 1u);
  EXPECT_EQ(changes["frames"][0]["change"], "added");
  EXPECT_EQ(changes["frames"][0]["frame"], 1);
  EXPECT_EQ(changes["shifts"], (json{{{"from", 1}, {"to", 2}, {"count", 3}}}));
}

TEST_F(ApiTest, SelectTakesWhatAQueryTakes) {
  auto select = [&](const std::string& body, const std::string& type = "application/json") {
    return Get("/api/rooms/md/frames/select", "Content-Type: " + type + "\r\n", "POST", body);
  };
  Reply by_body = select(R"({"indices":[3,0],"data":["energy","n_atoms"],"format":"json"})");
  EXPECT_EQ(
      Flatten(by_body.body),
      Flatten(Get(std::string(kFrames) + "?indices=3,0&data=energy,n_atoms&format=json").body));
  EXPECT_EQ(Flatten(select(R"({"indices":"::-1","data":"n_atoms","format":"json"})").body),
            R"([{"n_atoms":5},{"n_atoms":0},{"n_atoms":3},{"n_atoms":2}])");
  std::vector<uint8_t> packed =
      json::to_msgpack({{"indices", {1}}, {"format", "json"}, {"data", "n_atoms"}});
  EXPECT_EQ(Flatten(select(std::string(packed.begin(), packed.end()), "application/msgpack").body),
            R"([{"n_atoms":3}])");
  for (const char* body :
       {"", "[]", "{", "7", R"({"indices":[1.5]})", R"({"indices":["x"]})", R"({"indices":7})",
        R"({"indices":{"a":1}})", R"({"data":7})", R"({"nothing":"x"})", R"({"indices":[[1]]})",
        R"({"indices":[99999999999999999999]})"})
    EXPECT_EQ(select(body).status, 400) << body;
  EXPECT_EQ(select("{}", "text/plain").status, 415);
  EXPECT_EQ(select(R"({"indices":[99]})").status, 404);
}

TEST_F(ApiTest, UnknownNamesAreErrorsWithNearMisses) {
  for (const char* target :
       {"/api/rooms/me", "/api/rooms/md/frames?data=postions", "/api/rooms/md/frames/9"})
    EXPECT_EQ(Get(target).status, 404) << target;
  EXPECT_EQ(GetJson("/api/rooms/me")["candidates"], json{"md"});
  EXPECT_NE(
      GetJson("/api/rooms/md/frames?data=postions")["detail"].get<std::string>().find("positions"),
      std::string::npos);
  for (const char* query :
       {"?dat=energy", "?format=pdf", "?indices=x", "?atoms=x", "?pad=maybe", "?version=1",
        "?data=a&data=b", "?data=energy&keys=cell", "?array_keys=int", "?data=%zz", "?at=never"})
    EXPECT_EQ(Get(std::string(kFrames) + query).status, 400) << query;
  EXPECT_EQ(GetJson(std::string(kFrames) + "?dat=energy")["candidates"][0], "data");
}

// requests and httpx encode the commas of a list.
TEST_F(ApiTest, EncodedCommasStillSeparateNames) {
  EXPECT_EQ(GetJson(std::string(kFrames) + "/0?data=n_atoms%2Cenergy&format=json"),
            (json{{"n_atoms", 2}, {"calc.energy", 0.0}}));
}

TEST_F(ApiTest, EtagsNameTheContentAndNotThePlace) {
  std::string tag = Get(std::string(kFrames) + "/1").etag;
  ASSERT_TRUE(room_->Insert(0, Molecules({1}), {"tester", ""}));
  EXPECT_EQ(Get(std::string(kFrames) + "/2").etag, tag);
  std::string match = "If-None-Match: \"" + tag + "i\"\r\n";
  EXPECT_EQ(Get(std::string(kFrames) + "/2", match).status, 304);
  EXPECT_EQ(Get(std::string(kFrames) + "/2?format=json", match).status, 200);
  FrameBatch edit = Molecules({3}, 1000);
  edit.columns.resize(1);
  ASSERT_TRUE(room_->Edit(1, edit, {}, {"tester", ""}));
  EXPECT_EQ(Get(std::string(kFrames) + "/2", match).status, 200);
}

// What is read in several windows must be what is read at once: the same room, bounded and
// unbounded.
TEST_F(ApiTest, LargeRepliesAreTheSameBytesAsSmallOnes) {
  std::vector<int32_t> sizes;
  for (int i = 0; i < 3000; ++i) sizes.push_back(i % 97);
  MakeRoom("large", Molecules(sizes));
  const std::string base = "/api/rooms/large/frames?data=positions,energy,name";
  for (const char* format : {"columns", "npz", "msgpack", "json"}) {
    const std::string query = base + "&format=" + format;
    Reply whole = Get(query);
    ASSERT_EQ(whole.status, 200);
    if (std::string(format) == "columns" || std::string(format) == "npz") continue;
    // Lists of frames are the concatenation of their windows.
    std::string joined;
    for (int begin = 0; begin < 3000; begin += 500) {
      std::string part = Flatten(
          Get(query + "&indices=" + std::to_string(begin) + ":" + std::to_string(begin + 500))
              .body);
      joined += std::string(format) == "json"
                    ? part.substr(1, part.size() - 2) + (begin == 2500 ? "" : ",")
                    : part.substr(3);
    }
    std::string body = Flatten(whole.body);
    EXPECT_EQ(std::string(format) == "json" ? body.substr(1, body.size() - 2) : body.substr(3),
              joined);
  }
  json columns = Msgpack(Get(base + "&format=columns"));
  std::vector<float> positions = Values<float>(columns["fields"]["arrays.positions"]);
  FrameBatch want = Molecules(sizes);
  ASSERT_EQ(positions.size() * 4, want.columns[0].data.size());
  EXPECT_EQ(std::memcmp(positions.data(), want.columns[0].data.data(), positions.size() * 4), 0);
}

TEST_F(ApiTest, RangesOfNpyAreItsBytes) {
  std::vector<int32_t> sizes(4000, 100);
  MakeRoom("large", Molecules(sizes));
  const std::string target = "/api/rooms/large/frames?data=positions&format=npy";
  std::string whole = Flatten(Get(target).body);
  ASSERT_GT(whole.size(), 4u << 20);
  for (auto [begin, count] : std::vector<std::pair<size_t, size_t>>{
           {0, 10}, {100, 1}, {3 << 20, 1000}, {whole.size() - 5, 5}, {127, 3 << 20}}) {
    Reply part = Get(target, "Range: bytes=" + std::to_string(begin) + "-" +
                                 std::to_string(begin + count - 1) + "\r\n");
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(Flatten(part.body), whole.substr(begin, count)) << begin;
  }
}

TEST_F(ApiTest, RepliesOverTheBoundAreRefusedBeforeTheyStart) {
  service_.options.max_reply = 1000;
  for (const char* format : {"msgpack", "columns", "npz", "json"}) {
    std::string many = "?indices=:,:,:,:,:,:,:,:&format=";
    EXPECT_EQ(Get(kFrames + many + format).status, 400) << format;
  }
  EXPECT_EQ(Get(std::string(kFrames) + "/0?data=energy").status, 200);
}

TEST_F(ApiTest, EmptySelectionsAreEmptyReplies) {
  EXPECT_EQ(Flatten(Get(std::string(kFrames) + "?indices=").body), "\x90");
  EXPECT_EQ(Flatten(Get(std::string(kFrames) + "?indices=&format=json").body), "[]");
  EXPECT_EQ(Msgpack(Get(std::string(kFrames) + "?indices=&format=columns"))["n_frames"], 0);
  EXPECT_EQ(Get(std::string(kFrames) + "?indices=&format=npz").status, 200);
}

}  // namespace
}  // namespace zn::server
