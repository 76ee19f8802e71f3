#include "extxyz/extxyz.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>

#include <nlohmann/json.hpp>
#include <random>

#include "gtest/gtest.h"
#include "tests/formats/support.h"

namespace zn::formats {
namespace {

using nlohmann::json;
using testing::ReadResult;
using testing::TempFolder;

class Extxyz : public ::testing::Test {
 protected:
  ReadResult Read(std::string_view content, const ReadOptions& options = {},
                  const std::string& name = "t.xyz") {
    return testing::ReadAll(ExtxyzFormat(), folder_.Write(name, content), options);
  }
  // The only frame of `content`.
  json One(std::string_view content) {
    ReadResult result = Read(content);
    EXPECT_EQ(result.error, "") << content;
    EXPECT_EQ(result.frames.size(), 1U);
    return result.frames.empty() ? json() : result.frames[0];
  }
  void ExpectError(std::string_view content, std::string_view part) {
    ReadResult result = Read(content);
    EXPECT_NE(result.error.find(part), std::string::npos) << content << "\ngave: " << result.error;
    EXPECT_NE(result.error.find("t.xyz"), std::string::npos) << result.error;
  }
  TempFolder folder_;
};

std::string Frames(int count, int atoms) {
  std::string text;
  for (int f = 0; f < count; ++f) {
    text += std::to_string(atoms) +
            "\nProperties=species:S:1:pos:R:3 energy=" + std::to_string(-f) +
            ".5 id=" + std::to_string(f) + "\n";
    for (int a = 0; a < atoms; ++a)
      text += "H " + std::to_string(f) + ".25 " + std::to_string(a) + " 0.5\n";
  }
  return text;
}

TEST_F(Extxyz, ReadsColumnsAndKeys) {
  json frame =
      One("2\nLattice=\"5 0 0 0 6 0 0 0 7\" "
          "Properties=species:S:1:pos:R:3:forces:R:3:tags:I:1:charge:R:1:site:S:1:q:L:1 "
          "energy=-1 stress=\"1 2 3 2 4 5 3 5 6\" dipole=\"0 0 1\" step=7 note=\"a b\"\n"
          "O 0 0 0 1 2 3 1 -0.5 a T\nH 1 0 0 0 0 0 2 0.5 b F\n");
  EXPECT_EQ(frame["arrays.numbers"], json({8, 1}));
  EXPECT_EQ(frame["cell"], json::parse("[[5,0,0],[0,6,0],[0,0,7]]"));
  EXPECT_EQ(frame["pbc"], json({true, true, true}));
  EXPECT_EQ(frame["calc.forces"], json::parse("[[1,2,3],[0,0,0]]"));
  EXPECT_EQ(frame["arrays.tags"], json({1, 2}));
  EXPECT_EQ(frame["calc.charges"], json({-0.5, 0.5}));
  EXPECT_EQ(frame["arrays.site"], json({"a", "b"}));
  EXPECT_EQ(frame["arrays.q"], json({true, false}));
  EXPECT_EQ(frame["calc.energy"].dump(), "-1.0");  // a float, though written as an integer
  EXPECT_EQ(frame["calc.stress"], json({1, 4, 6, 5, 3, 2}));
  EXPECT_EQ(frame["calc.dipole"], json({0, 0, 1}));
  EXPECT_EQ(frame["info.step"], 7);
  EXPECT_EQ(frame["info.note"], "a b");
}

TEST_F(Extxyz, KeepsAPlainComment) {
  json frame = One("1\nA water molecule, at rest\nHe 1 2 3\n");
  EXPECT_EQ(frame["info.comment"], "A water molecule, at rest");
  EXPECT_EQ(frame["pbc"], json({false, false, false}));
  EXPECT_FALSE(frame.contains("cell"));
  EXPECT_FALSE(One("1\n\nHe 1 2 3\n").contains("info.comment"));
  EXPECT_EQ(One("1\nit's \"open\nHe 1 2 3\n")["info.comment"], "it's \"open");
  EXPECT_EQ(One("1\nenergy=-2.5 n=3\nHe 1 2 3\n")["calc.energy"], -2.5);
}

TEST_F(Extxyz, DefaultsPeriodicity) {
  EXPECT_EQ(One("0\nLattice=\"1 0 0 0 1 0 0 0 1\" Properties=species:S:1:pos:R:3\n")["pbc"],
            json({true, true, true}));
  EXPECT_EQ(One("0\nLattice=\"1 0 0 0 1 0 0 0 1\" pbc=\"T F T\"\n")["pbc"],
            json({true, false, true}));
  EXPECT_EQ(One("0\nProperties=species:S:1:pos:R:3 pbc=\"1 0 0\"\n")["pbc"],
            json({true, false, false}));
  EXPECT_EQ(One("0\nProperties=species:S:1:pos:R:3\n")["pbc"], json({false, false, false}));
  ExpectError("0\nProperties=species:S:1:pos:R:3 pbc=\"sometimes\"\n", "pbc");
}

TEST_F(Extxyz, ReadsSixStressComponentsAsVoigt) {
  EXPECT_EQ(One("0\nProperties=species:S:1:pos:R:3 stress=\"1 2 3 4 5 6\"\n")["calc.stress"],
            json({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(
      One("0\nProperties=species:S:1:pos:R:3 stress=[[1,6,5],[6,2,4],[5,4,3]]\n")["calc.stress"],
      json({1, 2, 3, 4, 5, 6}));
}

// A virial is a stress to whoever trains on it; the sign is the trap.
TEST_F(Extxyz, DerivesStressFromVirial) {
  ReadResult result = Read(
      "0\nLattice=\"2 0 0 0 2 0 0 0 2\" Properties=species:S:1:pos:R:3 virial=\"8 0 0 0 16 0 0 0 "
      "24\"\n");
  ASSERT_EQ(result.frames.size(), 1U);
  EXPECT_EQ(result.frames[0]["calc.stress"], json({-1, -2, -3, 0, 0, 0}));
  EXPECT_EQ(result.frames[0]["info.virial"], json::parse("[[8,0,0],[0,16,0],[0,0,24]]"));
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_NE(result.warnings[0].message.find("virial"), std::string::npos);
  json with_stress =
      One("0\nLattice=\"2 0 0 0 2 0 0 0 2\" virial=\"8 0 0 0 8 0 0 0 8\" stress=\"1 0 0 0 1 0 0 0 "
          "1\"\n");
  EXPECT_EQ(with_stress["calc.stress"], json({1, 1, 1, 0, 0, 0}));
  EXPECT_FALSE(One("0\nProperties=species:S:1:pos:R:3 virial=\"8 0 0 0 8 0 0 0 8\"\n")
                   .contains("calc.stress"));
}

TEST_F(Extxyz, TurnsMoveMaskIntoConstraints) {
  json fixed =
      One("3\nProperties=species:S:1:pos:R:3:move_mask:L:1\nH 0 0 0 F\nH 0 0 0 T\nH 0 0 0 F\n");
  EXPECT_EQ(fixed["constraints"],
            json::parse(R"([{"name":"FixAtoms","kwargs":{"indices":[0,2]}}])"));
  json axes =
      One("2\nProperties=species:S:1:pos:R:3:move_mask:L:3\nH 0 0 0 T T T\nH 0 0 0 T F F\n");
  EXPECT_EQ(axes["constraints"],
            json::parse(R"([{"name":"FixCartesian","kwargs":{"a":1,"mask":[false,true,true]}}])"));
  EXPECT_FALSE(
      One("1\nProperties=species:S:1:pos:R:3:move_mask:L:1\nH 0 0 0 T\n").contains("constraints"));
}

TEST_F(Extxyz, TakesZForSpecies) {
  json frame = One("1\nProperties=Z:I:1:pos:R:3:velo:R:3:mass:R:1\n8 0 0 0 1 2 3 16\n");
  EXPECT_EQ(frame["arrays.numbers"], json({8}));
  EXPECT_EQ(frame["arrays.velocities"], json::parse("[[1,2,3]]"));
  EXPECT_EQ(frame["arrays.masses"], json({16}));
  EXPECT_EQ(One("1\nProperties=species:S:1:pos:R:3:Z:I:1\nH 0 0 0 2\n")["arrays.numbers"],
            json({2}));
  EXPECT_EQ(One("1\nnumbers in the first column\n6 0 0 0\n")["arrays.numbers"], json({6}));
}

// A label must neither be lost nor become an element.
TEST_F(Extxyz, KeepsLabelsThatAreNoElements) {
  ReadResult result = Read(
      "2\nProperties=pos:R:3:species:S:1\n0 0 0 CA1\n0 0 0 h\n1\nProperties=pos:R:3:species:S:1\n0 "
      "0 0 O\n");
  ASSERT_EQ(result.frames.size(), 2U) << result.error;
  EXPECT_EQ(result.frames[0]["arrays.numbers"], json({0, 1}));
  EXPECT_EQ(result.frames[0]["arrays.species_label"], json({"CA1", "h"}));
  EXPECT_FALSE(result.frames[1].contains("arrays.species_label"));
  EXPECT_EQ(result.warnings.size(), 1U);
}

TEST_F(Extxyz, KeepsRaggedListsAndMixtures) {
  ReadResult result = Read(
      "0\nProperties=species:S:1:pos:R:3 v=\"1 2\" m=1 t=3 f=1\n"
      "0\nProperties=species:S:1:pos:R:3 v=\"1 2 3\" m=text t=\"3 4\" f=1.5\n"
      "0\nProperties=species:S:1:pos:R:3 only=1\n");
  ASSERT_EQ(result.frames.size(), 3U);
  EXPECT_EQ(result.frames[0]["info.v"], json({1, 2}));
  EXPECT_EQ(result.frames[1]["info.v"], json({1, 2, 3}));
  EXPECT_EQ(result.frames[0]["info.m"], 1);
  EXPECT_EQ(result.frames[1]["info.m"], "text");
  EXPECT_EQ(result.frames[1]["info.t"], json({3, 4}));
  EXPECT_EQ(result.frames[0]["info.f"].dump(), "1.0");
  EXPECT_FALSE(result.frames[2].contains("info.v"));
  EXPECT_FALSE(result.frames[0].contains("info.only"));
}

// Integers beyond 2^53 would lose their last digits among floats.
TEST_F(Extxyz, KeepsLargeIntegersAmongFloats) {
  ReadResult result = Read(
      "0\nProperties=species:S:1:pos:R:3 a=9007199254740993\n0\nProperties=species:S:1:pos:R:3 "
      "a=0.5\n");
  ASSERT_EQ(result.frames.size(), 2U);
  EXPECT_EQ(result.frames[0]["info.a"].get<int64_t>(), 9007199254740993);
}

TEST_F(Extxyz, BeginsANewBatchWhereAColumnChanges) {
  ReadResult result = Read(
      "1\nProperties=species:S:1:pos:R:3:a:R:1\nH 0 0 0 "
      "1\n1\nProperties=species:S:1:pos:R:3:a:S:1\nH 0 0 0 x\n");
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.batches, 2U);
  ASSERT_EQ(result.frames.size(), 2U);
  EXPECT_EQ(result.frames[0]["arrays.a"], json({1}));
  EXPECT_EQ(result.frames[1]["arrays.a"], json({"x"}));
}

TEST_F(Extxyz, ColumnsMayComeAndGo) {
  ReadResult result = Read(
      "1\nProperties=species:S:1:pos:R:3\nH 0 0 0\n2\nProperties=species:S:1:pos:R:3:forces:R:3\nH "
      "0 0 0 1 2 3\nH 0 0 0 4 5 6\n"
      "1\nProperties=species:S:1:pos:R:3\nH 0 0 0\n");
  ASSERT_EQ(result.frames.size(), 3U);
  EXPECT_EQ(result.batches, 1U);
  EXPECT_FALSE(result.frames[0].contains("calc.forces"));
  EXPECT_EQ(result.frames[1]["calc.forces"], json::parse("[[1,2,3],[4,5,6]]"));
  EXPECT_FALSE(result.frames[2].contains("calc.forces"));
}

TEST_F(Extxyz, TakesBomCrlfBlankLinesAndNoFinalNewline) {
  ReadResult result = Read(
      "\xEF\xBB\xBF"
      "1\r\nProperties=species:S:1:pos:R:3 energy=1.5\r\nH\t1  2\t3\r\n\r\n1\r\nc\r\nHe 4 5 6");
  EXPECT_EQ(result.error, "");
  ASSERT_EQ(result.frames.size(), 2U);
  EXPECT_EQ(result.frames[0]["arrays.positions"], json::parse("[[1,2,3]]"));
  EXPECT_EQ(result.frames[0]["calc.energy"], 1.5);
  EXPECT_EQ(result.frames[1]["arrays.positions"], json::parse("[[4,5,6]]"));
  EXPECT_EQ(result.frames[1]["info.comment"], "c");
  ASSERT_EQ(result.warnings.size(), 1U);
}

TEST_F(Extxyz, WarnsOfWordsBehindTheColumns) {
  ReadResult result = Read("2\nc\nH 0 0 0 0.1 0.2\nH 0 0 1 0.1 0.2\n");
  EXPECT_EQ(result.error, "");
  ASSERT_EQ(result.warnings.size(), 1U);
  EXPECT_NE(result.warnings[0].message.find("ignored"), std::string::npos);
}

// Each message must lead to the line.
TEST_F(Extxyz, NamesFrameAndLineOfWhatIsWrong) {
  const std::string good = "1\nProperties=species:S:1:pos:R:3\nH 0 0 0\n";
  ExpectError(good + "2\nProperties=species:S:1:pos:R:3\nH 0 0 0\nO 1 0\n",
              "frame 1, line 7: the line ends before pos (3 of 3)");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:3\nH 0 zero 0\n",
              "frame 1, line 6: pos (2 of 3): expected a number, found \"zero\"");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:3:n:I:1\nH 0 0 0 1.5\n",
              "n: expected an integer");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:3:n:L:1\nH 0 0 0 yes\n",
              "n: expected T or F");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:3:n:F:1\nH 0 0 0 1\n", "frame 1, line 5");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:3:n:R\nH 0 0 0 1\n", "no number of columns");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:3:pos:R:3\nH 0 0 0 1 1 1\n", "twice");
  ExpectError(good + "1\nProperties=species:S:1:pos:R:2\nH 0 0\n", "three numbers");
  ExpectError(good + "1\nLattice=\"1 0 0 0 1 0 0 0\"\nH 0 0 0\n", "Lattice is not nine numbers");
  ExpectError(good + "1\nLattice=\"1 0 0 0 1 0 0 0 1 Properties=species:S:1\nH 0 0 0\n",
              "never closed");
  ExpectError(good + "2\nc\nH 0 0 0\n", "--stop 1");
  ExpectError("1\nProperties=species:S:1:pos:R:3:x:R:1000000\nH 0 0 0\n", "line 3");
  ExpectError("1\nProperties=species:S:1:pos:R:3000000000\nH 0 0 0\n", "absurd");
  ExpectError("999999999999\nc\nH 0 0 0\n", "line 1");
  ExpectError("", "no frames");
  ExpectError("\n\n\n", "no frames");
}

TEST_F(Extxyz, GivesWholeFramesBeforeTheError) {
  ReadResult result = Read(Frames(5, 2) + "2\nc\nH 0 0 0\n");
  EXPECT_EQ(result.frames.size(), 5U);
  EXPECT_NE(result.error.find("frame 5"), std::string::npos) << result.error;
  EXPECT_EQ(result.code, ErrorCode::kCorrupt);
  ReadResult inside =
      Read(Frames(3, 1) + "1\nProperties=species:S:1:pos:R:3\nH x 0 0\n" + Frames(3, 1));
  EXPECT_EQ(inside.frames.size(), 3U);
}

TEST_F(Extxyz, SelectsFrames) {
  const std::string text = Frames(50, 3);
  for (int64_t start : {0, 7, 49, 60}) {
    for (int64_t stop : {0, 1, 20, 1000}) {
      for (int64_t step : {1, 3, 100}) {
        ReadOptions options;
        options.start = start;
        options.stop = stop;
        options.step = step;
        ReadResult result = Read(text, options);
        std::vector<int64_t> want, got;
        for (int64_t i = start; i < std::min<int64_t>(stop, 50); i += step) want.push_back(i);
        for (const json& frame : result.frames) got.push_back(frame["info.id"]);
        EXPECT_EQ(got, want) << start << ":" << stop << ":" << step;
        EXPECT_EQ(result.error, "");
      }
    }
  }
}

// What lies behind --stop is not read: it may be what a crash left.
TEST_F(Extxyz, DoesNotLookBehindStop) {
  ReadOptions options;
  options.stop = 5;
  ReadResult result = Read(Frames(5, 2) + "this is no frame\n", options);
  EXPECT_EQ(result.frames.size(), 5U);
  EXPECT_EQ(result.error, "");
}

// Order and content must not depend on how the work is split.
TEST_F(Extxyz, ThreadsAndBatchesDoNotMatter) {
  std::string text;
  std::mt19937 random(7);
  for (int f = 0; f < 3000; ++f) {
    int atoms = static_cast<int>(random() % 12);
    text +=
        std::to_string(atoms) + "\nProperties=species:S:1:pos:R:3 id=" + std::to_string(f) + "\n";
    for (int a = 0; a < atoms; ++a) text += "H " + std::to_string(random() % 1000) + " 2 3\n";
  }
  ReadOptions one;
  one.threads = 1;
  ReadResult want = Read(text, one);
  ASSERT_EQ(want.frames.size(), 3000U);
  for (int threads : {1, 2, 5}) {
    ReadOptions options;
    options.threads = threads;
    options.batch_bytes = 1;
    ReadResult got = Read(text, options);
    EXPECT_GT(got.batches, 1U);
    EXPECT_EQ(got.frames, want.frames);
    EXPECT_EQ(got.error, "");
  }
}

TEST_F(Extxyz, MayBeLeftInTheMiddle) {
  std::string path = folder_.Write("t.xyz", Frames(20000, 5));
  ReadOptions options;
  options.batch_bytes = 1;
  auto reader = ExtxyzFormat().open(path, options);
  ASSERT_TRUE(reader);
  ASSERT_TRUE((*reader)->Next());
  EXPECT_LT((*reader)->progress(), 1);
}

TEST_F(Extxyz, RenamesAndConverts) {
  ReadOptions options;
  options.map = {{"dft_energy", "calc.energy"},
                 {"f", "forces"},
                 {"energy", "info.old"},
                 {"junk", ""},
                 {"REF_stress", "calc.stress"}};
  options.float_dtype = DType::kFloat32;
  std::string path =
      folder_.Write("t.xyz",
                    "1\nProperties=species:S:1:pos:R:3:f:R:3:junk:S:1 dft_energy=-3 energy=7 "
                    "REF_stress=\"1 2 3 2 4 5 3 5 6\"\nH 0.1 0 0 1 2 3 x\n");
  auto reader = ExtxyzFormat().open(path, options);
  ASSERT_TRUE(reader);
  auto batch = (*reader)->Next();
  ASSERT_TRUE(batch && *batch);
  const Column* energy = (*batch)->Find("calc.energy");
  ASSERT_NE(energy, nullptr);
  EXPECT_EQ(energy->dtype, DType::kFloat32);
  EXPECT_EQ(energy->attributes, "{\"unit\":\"eV\"}");
  ASSERT_NE((*batch)->Find("calc.forces"), nullptr);
  EXPECT_EQ((*batch)->Find("info.old")->dtype, DType::kInt64);
  EXPECT_EQ((*batch)->Find("calc.stress")->inner, Shape{6});
  EXPECT_EQ((*batch)->Find("arrays.junk"), nullptr);
  EXPECT_EQ((*batch)->Find("arrays.numbers")->dtype, DType::kInt64);
  auto end = (*reader)->Next();
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_FALSE(*end);
}

TEST_F(Extxyz, NamesMapSourcesThatAreNotThere) {
  ReadOptions options;
  options.map = {{"dft_enrgy", "calc.energy"}};
  ReadResult result = Read("0\nProperties=species:S:1:pos:R:3 dft_energy=-3\n", options);
  EXPECT_NE(result.error.find("dft_enrgy"), std::string::npos) << result.error;
  EXPECT_NE(result.error.find("did you mean \"dft_energy\""), std::string::npos) << result.error;
  options.map = {{"a", "calc.energy"}};
  ReadResult twice = Read("0\nProperties=species:S:1:pos:R:3 a=1 energy=2\n", options);
  EXPECT_EQ(twice.frames.size(), 1U);  // two keys of one field: the later one counts, as in ASE
}

std::string Gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string Bzip2(std::string_view text) {
  std::string out(text.size() * 2 + 1000, '\0');
  unsigned size = static_cast<unsigned>(out.size());
  BZ2_bzBuffToBuffCompress(out.data(), &size, const_cast<char*>(text.data()),
                           static_cast<unsigned>(text.size()), 9, 0, 0);
  out.resize(size);
  return out;
}
std::string Xz(std::string_view text) {
  std::string out(text.size() * 2 + 1000, '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, nullptr,
                                    reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

TEST_F(Extxyz, ReadsCompressedFilesOfSeveralStreams) {
  const std::string a = Frames(40, 3), b = Frames(30, 2);
  const auto cut = [&](size_t at) { return std::make_pair(a.substr(0, at), a.substr(at)); };
  auto [front, back] = cut(777);  // within a frame
  for (auto compress : {Gzip, Bzip2, Xz}) {
    ReadResult result = Read(compress(front) + compress(back) + compress("") + compress(b));
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.frames.size(), 70U);
  }
  EXPECT_EQ(Read(Gzip(a) + std::string(512, '\0')).frames.size(), 40U);
}

// A download that broke off must not pass for a shorter trajectory.
TEST_F(Extxyz, RefusesCompressedFilesThatWereCutShort) {
  const std::string text = Frames(40, 3);
  for (auto compress : {Gzip, Bzip2, Xz}) {
    const std::string whole = compress(text);
    for (size_t size = 1; size < whole.size(); size += 1 + size / 40) {
      ReadResult result = Read(whole.substr(0, size));
      EXPECT_NE(result.error, "") << size << " of " << whole.size();
    }
  }
}

TEST_F(Extxyz, RefusesDamagedCompressedFiles) {
  const std::string text = Frames(40, 3);
  std::mt19937 random(1);
  for (auto compress : {Gzip, Bzip2, Xz}) {
    const std::string whole = compress(text);
    int refused = 0;
    for (int i = 0; i < 100; ++i) {
      std::string damaged = whole;
      damaged[20 + random() % (damaged.size() - 30)] ^= static_cast<char>(1 << random() % 8);
      refused += Read(damaged).error.empty() ? 0 : 1;
    }
    EXPECT_GE(refused, 98);  // each has a checksum; a few bits are spare
  }
}

// Cut anywhere, a file gives its whole frames, then an error; never another frame.
TEST_F(Extxyz, TruncatedAtEveryByte) {
  const std::string text =
      "2\nLattice=\"5 0 0 0 6 0 0 0 7\" Properties=species:S:1:pos:R:3:l:S:1 energy=-1.5 v=[1, 2] "
      "n=\"_JSON {\\\"a\\\": 1}\"\n"
      "O 0.5 1e-3 0 a\nH 1 0 0 b\n0\nempty\n1\nplain\nHe 1 2 3\n";
  ReadResult whole = Read(text);
  ASSERT_EQ(whole.frames.size(), 3U) << whole.error;
  for (size_t size = 0; size < text.size(); ++size) {
    ReadResult result = Read(text.substr(0, size));
    for (size_t f = 0; f + 1 < result.frames.size(); ++f)
      EXPECT_EQ(result.frames[f], whole.frames[f]) << size;
    if (result.frames.empty()) {
      EXPECT_NE(result.error, "") << size;
    }
  }
}

// Whatever one bit makes of it, there is an answer and no crash.
TEST_F(Extxyz, BitFlips) {
  std::string text =
      "2\nLattice=\"5 0 0 0 6 0 0 0 7\" Properties=species:S:1:pos:R:3:m:L:1:l:S:2:move_mask:L:3 "
      "energy=-1.5 v=[1, 2] "
      "virial=\"1 2 3 4 5 6 7 8 9\" n=\"_JSON [1, {\\\"a\\\": 1}]\"\n"
      "O 0.5 1e-3 0 T a b T F T\nXx 1 0 0 F c d T T T\n1\nplain\nHe 1 2 3\n";
  ReadOptions options;
  options.threads = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      ReadResult result = Read(flipped, options);
      EXPECT_LE(result.frames.size(), 3U);
    }
  }
}

TEST(ExtxyzDetect, TellsByContent) {
  auto detect = [](const std::string& path, std::string_view head) {
    return ExtxyzFormat().detect(path, std::as_bytes(std::span(head.data(), head.size())));
  };
  EXPECT_TRUE(detect("x", "3\ncomment\n"));
  EXPECT_TRUE(detect("x", "\xEF\xBB\xBF 12 \r\n"));
  EXPECT_TRUE(detect("x", "\n\n 4\n"));
  EXPECT_TRUE(detect("x.xyz", ""));
  EXPECT_TRUE(detect("x", "-3\nProperties\n"));
  EXPECT_FALSE(detect("x", ""));
  EXPECT_FALSE(detect("x.xyz", "\x89PNG\r\n"));
  EXPECT_FALSE(detect("x.xyz", "ITEM: TIMESTEP\n"));
  EXPECT_FALSE(detect("x", std::string_view("12\n\0\0", 5)));
}

TEST(ExtxyzOpen, RefusesWhatIsNoFile) {
  TempFolder folder;
  EXPECT_EQ(ExtxyzFormat().open(folder.path() + "/none.xyz", {}).error().code,
            ErrorCode::kNotFound);
  EXPECT_EQ(ExtxyzFormat().open(folder.path(), {}).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace zn::formats
