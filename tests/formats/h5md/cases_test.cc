// Small files for what no sample has: other dialects, layouts, types, links, and everything that is
// refused.
#include "formats/h5md/read_support.h"

namespace zn::formats {
namespace {

using nlohmann::json;

class H5mdCases : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!HasH5py()) return;
    folder_ = new TempDir;
    made_ = RunPython(HereScript("make_cases.py") + " " + folder_->path()) == 0;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  void SetUp() override {
    if (!HasH5py()) GTEST_SKIP() << "no h5py to make the files with";
    ASSERT_TRUE(made_);
  }
  static std::string Path(const std::string& name) { return folder_->path() + "/" + name; }
  static ReadFile Read(const std::string& name, const ReadOptions& options = {}) {
    auto file = ReadWhole(Path(name), options);
    EXPECT_TRUE(file) << file.error().message;
    return file ? std::move(*file) : ReadFile{};
  }
  // positions[frame][atom][axis] of every file: 12 frame + 3 atom + axis.
  static json Atom(int frame, int atom, double scale = 1) {
    int first = frame * 12 + atom * 3;
    return {first * scale, (first + 1) * scale, (first + 2) * scale};
  }

  static TempDir* folder_;
  static bool made_;
};
TempDir* H5mdCases::folder_ = nullptr;
bool H5mdCases::made_ = false;

TEST_F(H5mdCases, EspressoPlusPlusEdgesTrailingAxesAndAbsentParticles) {
  ReadFile file = Read("espresso.h5");
  ASSERT_EQ(file.frames.size(), 6u);
  json frame = file.Frame(0);
  EXPECT_EQ(frame["cell"], json::parse("[[4,0,0],[0,5,0],[0,0,6]]"));
  EXPECT_EQ(frame["arrays.id"], json({1, 2, 3}));
  EXPECT_EQ(frame["arrays.type"], json({10, 20, 30}));
  EXPECT_EQ(frame["arrays.positions"], json({Atom(0, 1), Atom(0, 3), Atom(0, 0)}));
  EXPECT_EQ(frame["connectivity"], json::parse("[[0,2]]"))
      << "of bonds to a particle that is not there nothing is kept";
  EXPECT_EQ(file.Frame(1)["connectivity"], json::parse("[[0,2],[1,3]]"));
  EXPECT_EQ(file.batches[0].n_atoms, (std::vector<int32_t>{3, 4, 3, 4, 3, 4}));
  EXPECT_TRUE(file.Warned("connectivity/fpl", "does not have"));
}

TEST_F(H5mdCases, HalmdObservablesAtOtherRates) {
  ReadOptions options;
  options.group = "A";
  ReadFile file = Read("halmd.h5", options);
  ASSERT_EQ(file.frames.size(), 6u);
  for (int i = 0; i < 6; ++i) {
    json frame = file.Frame(static_cast<size_t>(i));
    EXPECT_EQ(frame["step"], 10 * i);
    EXPECT_EQ(frame.contains("info.potential_energy"), i % 2 == 0)
        << "sampled at every second frame only";
    if (i % 2 == 0) {
      EXPECT_EQ(frame["info.potential_energy"], i / 2);
    }
    EXPECT_EQ(frame["info.temperature"], 5 * i)
        << "sampled five times as often: matched by step, not by row";
    EXPECT_EQ(frame["info.msd.r2"], json({2.0 * i, 2.0 * i + 1}));
    EXPECT_EQ(frame["info.dimension"], 3);
    EXPECT_FALSE(frame.contains("calc.energy")) << "HALMD's is per particle";
    EXPECT_FALSE(frame.contains("arrays.numbers"));
  }
}

TEST_F(H5mdCases, UnwrapsWithImagesAndATiltedBox) {
  ReadOptions options;
  ReadFile wrapped = Read("unwrap.h5");
  EXPECT_TRUE(wrapped.Frame(2).contains("arrays.image"));
  options.unwrap = true;
  ReadFile file = Read("unwrap.h5", options);
  EXPECT_FALSE(file.Frame(2).contains("arrays.image"));
  EXPECT_EQ(file.Frame(2)["arrays.positions"][0], Atom(2, 0, 10));
  // + 1 a - 1 b + 2 c of a = (100,0,0), b = (20,100,0), c = (0,0,100) Å.
  EXPECT_EQ(file.Frame(2)["arrays.positions"][1], json({270 + 80.0, 280 - 100.0, 290 + 200.0}));
}

TEST_F(H5mdCases, TwoDimensionsGetAZero) {
  ReadFile file = Read("flat.h5");
  EXPECT_EQ(file.Frame(1)["arrays.positions"][1], json({15.0, 16.0, 0.0}));
  EXPECT_EQ(file.Frame(1)["cell"], json::parse("[[3,0,0],[0,4,0],[0,0,0]]"));
  EXPECT_EQ(file.Frame(1)["pbc"], json({true, false, false}));
}

TEST_F(H5mdCases, EveryLayoutAndFilterHoldsTheSame) {
  for (const char* layout :
       {"contiguous", "big_endian", "chunks", "gzip", "everything", "lzf", "whole_rows",
        "resizable", "big_endian_gzip", "scaleoffset", "compact", "user_block"}) {
    for (int64_t batch_bytes : {1, 100, 1 << 20}) {
      for (int64_t step : {1, 2}) {
        ReadOptions options;
        options.batch_bytes = batch_bytes;
        options.step = step;
        options.start = 1;
        ReadFile file = Read(std::string("layout_") + layout + ".h5", options);
        ASSERT_EQ(file.frames.size(), step == 1 ? 5u : 3u);
        for (size_t i = 0; i < file.frames.size(); ++i) {
          json frame = file.Frame(i);
          for (int a = 0; a < 4; ++a) {
            ASSERT_EQ(frame["arrays.positions"][static_cast<size_t>(a)],
                      Atom(1 + static_cast<int>(i * static_cast<size_t>(step)), a))
                << layout << ", batches of " << batch_bytes;
          }
        }
        ASSERT_EQ(file.batches[0].Find("arrays.positions")->dtype, DType::kFloat32);
      }
    }
  }
}

TEST_F(H5mdCases, ChunksNeverWrittenHoldTheFillValue) {
  ReadFile file = Read("unwritten.h5");
  EXPECT_EQ(file.Frame(1)["arrays.positions"][3], Atom(1, 3));
  EXPECT_EQ(file.Frame(5)["arrays.positions"][3], json({7.0, 7.0, 7.0}));
}

TEST_F(H5mdCases, TypesAreKept) {
  ReadFile file = Read("types.h5");
  json frame = file.Frame(3);
  EXPECT_EQ(frame["arrays.numbers"], json({8, 1, 1, 11})) << "an enumeration of symbols";
  EXPECT_EQ(file.Find("arrays.half")->dtype, DType::kFloat16);
  EXPECT_EQ(file.Find("arrays.small")->dtype, DType::kUInt8);
  EXPECT_EQ(file.Find("arrays.flag")->dtype, DType::kBool);
  EXPECT_EQ(file.Find("arrays.moment")->dtype, DType::kComplex128);
  EXPECT_EQ(frame["arrays.name"], json({"CA", "CB", "", "OX"}));
  EXPECT_EQ(frame["info.extended"], 3.0);
  std::vector<json> comments = {"plain", "12", {{"a", "NaN"}}, json::array({"x"}), "q", ""};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(file.Frame(i)["info.comment"], comments[i]) << i;
  EXPECT_TRUE(file.Warned("particles/all/nothing", "left out"));
  EXPECT_TRUE(file.Warned("extended", "float64"));
}

TEST_F(H5mdCases, LinksWithinTheFileAreFollowedAndCyclesLeft) {
  ReadFile file = Read("links.h5");
  ASSERT_EQ(file.frames.size(), 6u);
  EXPECT_EQ(file.Frame(5)["arrays.positions"][3], Atom(5, 3));
  EXPECT_EQ(file.Frame(5)["info.deep.value_of"], 5.0);
  EXPECT_TRUE(file.Warned("observables/deep/back", "not followed"));
}

TEST_F(H5mdCases, AsebytesCountsConnectivityConstraintsStress) {
  ReadFile file = Read("asebytes.h5md");
  json first = file.Frame(0), second = file.Frame(1);
  EXPECT_EQ(first["arrays.positions"], json({Atom(0, 0), Atom(0, 1)}));
  EXPECT_EQ(first["arrays.tags"], json({0, 1})) << "zeros behind the last atom are padding";
  EXPECT_EQ(first["constraints"], json::parse(R"([{"name":"FixAtoms"}])"));
  EXPECT_FALSE(second.contains("constraints"));
  EXPECT_EQ(first["connectivity"], json::parse("[[0,1,1.5]]"));
  EXPECT_EQ(second["connectivity"], json::parse("[[0,1,1.5],[2,3,1.5]]"));
  EXPECT_EQ(second["calc.stress"], json({1, 2, 3, 4, 5, 6})) << "xx yy zz yz xz xy";
  EXPECT_FALSE(first.contains("calc.forces"));
  EXPECT_TRUE(file.Frame(3).contains("calc.forces"));
}

TEST_F(H5mdCases, RaggedColumnsThatStopOrStartLate) {
  ReadFile file = Read("ragged.h5");
  ASSERT_EQ(file.frames.size(), 4u);
  EXPECT_EQ(file.batches[0].n_atoms, (std::vector<int32_t>{2, 0, 3, 1}));
  EXPECT_EQ(file.Frame(2)["arrays.numbers"], json({3, 4, 5}));
  EXPECT_EQ(file.Frame(3)["arrays.positions"], json::parse("[[15,16,17]]"));
  EXPECT_FALSE(file.Frame(0).contains("calc.forces"));
  EXPECT_FALSE(file.Frame(3).contains("calc.forces"));
  EXPECT_EQ(file.Frame(2)["calc.forces"][2], json({1, 1, 1}));
  EXPECT_FALSE(file.Frame(1).contains("calc.energy"));
  EXPECT_FALSE(file.Frame(3).contains("calc.energy")) << "the column is one row short";
  EXPECT_EQ(file.Frame(0)["info.vector"], json({1, 2}));
  EXPECT_FALSE(file.Frame(2).contains("info.vector"));
  EXPECT_EQ(file.Frame(2)["info.words"], "b c");
  EXPECT_FALSE(file.Frame(1).contains("info.words"));
}

TEST_F(H5mdCases, MapRenamesAndLeavesOut) {
  ReadOptions options;
  options.map = {{"comment", "info.note"}, {"moment", ""}};
  ReadFile file = Read("types.h5", options);
  EXPECT_EQ(file.Frame(0)["info.note"], "plain");
  EXPECT_FALSE(file.Frame(0).contains("arrays.moment"));
  options.map = {{"no_such_thing", "info.x"}};
  EXPECT_FALSE(ReadWhole(Path("types.h5"), options));
}

TEST_F(H5mdCases, DtypeConvertsFloats) {
  ReadOptions options;
  options.float_dtype = DType::kFloat64;
  EXPECT_EQ(Read("layout_gzip.h5", options).Find("arrays.positions")->dtype, DType::kFloat64);
}

TEST_F(H5mdCases, RefusesWhatLeavesTheFileOrCannotBeTrue) {
  struct Case {
    const char* file;
    ErrorCode code;
    const char* place;
    const char* part;
  };
  for (const Case& c :
       {Case{"refuse_soft_to_external.h5", ErrorCode::kUnsupported, "out", "external link"},
        Case{"refuse_soft_cycle.h5", ErrorCode::kUnsupported, "particles/all/position",
             "soft links"},
        Case{"refuse_external_storage.h5", ErrorCode::kUnsupported, "particles/all/position/value",
             "another file"},
        Case{"refuse_virtual.h5", ErrorCode::kUnsupported, "particles/all/position/value",
             "virtual"},
        Case{"refuse_giant_contiguous.h5", ErrorCode::kTooLarge, "particles/all/position/value",
             "claims"},
        Case{"refuse_fractional_species.h5", ErrorCode::kTypeMismatch,
             "particles/atoms/species/value", "frames 0 to 5"},
        Case{"refuse_empty_particles.h5", ErrorCode::kUnsupported, "particles",
             "no particle group"},
        Case{"ragged_bad_offset.h5", ErrorCode::kCorrupt, "default/arrays.positions", "frame 3"},
        Case{"ragged_bad_length.h5", ErrorCode::kCorrupt, "default/_offsets", "frame 2"},
        Case{"ragged_bad_beyond.h5", ErrorCode::kCorrupt, "default/arrays.positions", "frame 3"}}) {
    auto file = ReadWhole(Path(c.file));
    ASSERT_FALSE(file) << c.file;
    EXPECT_EQ(file.error().code, c.code) << file.error().message;
    std::string start = Path(c.file) + ": " + c.place + ": ";
    EXPECT_EQ(file.error().message.substr(0, start.size()), start);
    EXPECT_NE(file.error().message.find(c.part), std::string::npos) << file.error().message;
    EXPECT_NE(file.error().message.find("; "), std::string::npos)
        << "no remedy: " << file.error().message;
  }
}

}  // namespace
}  // namespace zn::formats
