// Files as the dialects' own programs wrote them, against values that independent readers found in
// them.
#include <cmath>

#include "formats/h5md/read_support.h"

namespace zn::formats {
namespace {

using nlohmann::json;

json Expected() {
  std::ifstream in(SharedData() + "/expected.json");
  return json::parse(in);
}

#define ZN_NEED_SAMPLES() \
  if (!HasSharedData()) GTEST_SKIP() << "no sample data at " << SharedData()

struct Sample {
  const char* file;
  const char* group;
};
constexpr Sample kSamples[] = {
    {"asebytes_eth_meth_200.h5md", "atoms"},   {"id_permuted_subgroups.h5", "A"},
    {"id_permuted_subgroups.h5", "B"},         {"lammps_like_water.h5", "all"},
    {"rmpcdmd_janus_structure.h5", "janus"},   {"zarrtraj_missing_time_dset.h5md", "trajectory"},
    {"zarrtraj_synthetic.h5md", "trajectory"}, {"zarrtraj_varied_steps.h5md", "trajectory"},
    {"znh5md_edge_cases.h5", "atoms"},         {"znh5md_eth_meth.h5", "atoms"},
    {"znh5md_mptrj_200.h5", "atoms"}};

// Å of one of the file's length units.
double Length(const json& element) { return element.value("unit", "") == "nm" ? 10 : 1; }

double Sum(const json& value) {
  if (value.is_array()) {
    double sum = 0;
    for (const json& v : value) sum += Sum(v);
    return sum;
  }
  return value.is_number() ? value.get<double>() : 0;
}

class H5mdSamples : public testing::TestWithParam<Sample> {};

// Wrong counts, lost atoms and wrong units would all show here.
TEST_P(H5mdSamples, AgreeWithIndependentReaders) {
  ZN_NEED_SAMPLES();
  ReadOptions options;
  options.group = GetParam().group;
  auto file = ReadWhole(SharedData() + "/h5md/" + GetParam().file, options);
  ASSERT_TRUE(file) << file.error().message;
  const json expected =
      Expected()["files"][std::string("h5md/") + GetParam().file]["groups"][GetParam().group];
  ASSERT_EQ(file->frames.size(), expected["frames"].get<size_t>());
  int64_t least = INT64_MAX, most = 0, total = 0;
  for (const FrameBatch& batch : file->batches) {
    for (int32_t n : batch.n_atoms) {
      least = std::min<int64_t>(least, n);
      most = std::max<int64_t>(most, n);
      total += n;
    }
  }
  EXPECT_EQ(least, expected["atoms_min"]);
  EXPECT_EQ(most, expected["atoms_max"]);
  EXPECT_EQ(total, expected["atoms_total"]);

  const json& position = expected["elements"]["position"];
  const double unit = Length(position);
  double sum = 0, forces = 0;
  for (size_t i = 0; i < file->frames.size(); ++i) {
    json frame = file->Frame(i);
    sum += Sum(frame["arrays.positions"]);
    if (frame.contains("calc.forces")) forces += Sum(frame["calc.forces"]);
  }
  const bool narrow = position["dtype"] == "float32";
  EXPECT_NEAR(sum, position["sum_finite"].get<double>() * unit,
              (narrow ? 1e-5 : 1e-9) * (std::abs(sum) + 100));
  if (expected["elements"].contains("force") &&
      expected["elements"]["force"]["unit"] == "eV/Angstrom") {
    EXPECT_NEAR(forces, expected["elements"]["force"]["sum_finite"].get<double>(), 1e-9);
  }
  if (!expected["elements"].contains("id")) {  // ids change which atom is first
    json first = file->Frame(0)["arrays.positions"][0],
         last = file->Frame(file->frames.size() - 1)["arrays.positions"].back();
    for (size_t a = 0; a < 3; ++a) {
      EXPECT_NEAR(first[a].get<double>(), expected["first_position"][a].get<double>() * unit, 1e-6);
      EXPECT_NEAR(last[a].get<double>(), expected["last_position"][a].get<double>() * unit, 1e-6);
    }
  }
}

// Every value of every field, read a second time by h5py and a script that knows the dialects.
TEST_P(H5mdSamples, AgreeWithH5pyValueByValue) {
  ZN_NEED_SAMPLES();
  if (!HasH5py()) GTEST_SKIP() << "no h5py";
  TempDir folder;
  for (int64_t batch_bytes : {int64_t{16} << 20, int64_t{1000}}) {
    ReadOptions options;
    options.group = GetParam().group;
    options.batch_bytes = batch_bytes;
    std::string path = SharedData() + "/h5md/" + GetParam().file;
    auto file = ReadWhole(path, options);
    ASSERT_TRUE(file) << file.error().message;
    std::ofstream out(folder.path() + "/frames");
    for (const std::string& frame : file->frames) out << frame << '\n';
    out.close();
    EXPECT_EQ(RunPython(HereScript("compare.py") + " " + path + " " + GetParam().group + " " +
                        folder.path() + "/frames"),
              0);
  }
}

// A slice must be the same frames as the whole, whatever the chunks.
TEST_P(H5mdSamples, SlicesAreTheSameFrames) {
  ZN_NEED_SAMPLES();
  ReadOptions options;
  options.group = GetParam().group;
  std::string path = SharedData() + "/h5md/" + GetParam().file;
  auto whole = ReadWhole(path, options);
  ASSERT_TRUE(whole) << whole.error().message;
  options.start = 1;
  options.stop = 150;
  options.step = 3;
  options.batch_bytes = 20000;
  auto part = ReadWhole(path, options);
  ASSERT_TRUE(part) << part.error().message;
  std::vector<std::string> wanted;
  for (size_t i = 1; i < std::min<size_t>(150, whole->frames.size()); i += 3)
    wanted.push_back(whole->frames[i]);
  EXPECT_EQ(part->frames, wanted);
}

INSTANTIATE_TEST_SUITE_P(All, H5mdSamples, testing::ValuesIn(kSamples), [](const auto& info) {
  std::string name = std::string(info.param.file) + "_" + info.param.group;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

TEST(ZnH5md, KeysThatComeLateOrStopAreAbsentElsewhere) {
  ZN_NEED_SAMPLES();
  auto file = ReadWhole(SharedData() + "/h5md/znh5md_edge_cases.h5");
  ASSERT_TRUE(file) << file.error().message;
  const json logical = Expected()["files"]["h5md/znh5md_edge_cases.h5"]["logical"];
  for (size_t i = 0; i < 5; ++i) {
    json frame = file->Frame(i);
    EXPECT_EQ(frame["arrays.numbers"].size(), logical["natoms"][i]);
    for (auto [field, key] : {std::pair("calc.energy", "energy"),
                              {"info.charge", "info.charge"},
                              {"info.flag", "info.flag"},
                              {"info.spectrum", "info.spectrum"},
                              {"info.meta", "info.meta"},
                              {"info.note", "info.note"},
                              {"info.label", "info.label"},
                              {"arrays.tagname", "arrays.tagname"}}) {
      const json& want = logical[key][i];
      if (want.is_null()) {
        EXPECT_FALSE(frame.contains(field)) << field << " in frame " << i;
      } else {
        EXPECT_EQ(frame.value(field, json()), want) << field << " in frame " << i;
      }
    }
    for (size_t a = 0; a < 3; ++a)
      EXPECT_EQ(frame["pbc"][a].get<bool>(), logical["pbc"][i][a] != 0);
    EXPECT_EQ(frame.contains("arrays.velocities"), i == 2);
    EXPECT_EQ(frame["info.nanval"], "NaN") << "a column of NaN only was meant to be NaN";
    EXPECT_EQ(frame["step"], i + 1) << "steps that store=\"time\" forgot are continued";
  }
  EXPECT_EQ(file->Frame(2)["calc.energy"], -19.5);
  // 0.1 in ASE's units, though the file says Å/fs.
  EXPECT_DOUBLE_EQ(file->Frame(2)["arrays.velocities"][0][1].get<double>(),
                   0.1 * 0.09822694788464065);
}

TEST(H5mdIds, SortAtomsSoThatSpeciesAndBondsFit) {
  ZN_NEED_SAMPLES();
  ReadOptions options;
  options.group = "A";
  auto file = ReadWhole(SharedData() + "/h5md/id_permuted_subgroups.h5", options);
  ASSERT_TRUE(file) << file.error().message;
  for (size_t i = 0; i < file->frames.size(); ++i) {
    json frame = file->Frame(i);
    EXPECT_EQ(frame["connectivity"], json::parse("[[0,1],[0,2]]"));
    EXPECT_EQ(frame["arrays.numbers"][0], 8);
    for (const json& bond : frame["connectivity"]) {
      double squared = 0;
      for (size_t a = 0; a < 3; ++a) {
        double d = frame["arrays.positions"][bond[0].get<size_t>()][a].get<double>() -
                   frame["arrays.positions"][bond[1].get<size_t>()][a].get<double>();
        squared += d * d;
      }
      EXPECT_LT(std::sqrt(squared), 1.1) << "an O-H bond, in Å";
    }
  }
}

TEST(H5mdGroups, SeveralMustBeChosenFrom) {
  ZN_NEED_SAMPLES();
  std::string path = SharedData() + "/h5md/id_permuted_subgroups.h5";
  auto file = ReadWhole(path);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(file.error().message.find("--group: A, B"), std::string::npos) << file.error().message;
  ReadOptions options;
  options.group = "C";
  file = ReadWhole(path, options);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
}

TEST(AsebytesRagged, AgreesWithTheH5mdOfTheSameFrames) {
  ZN_NEED_SAMPLES();
  auto ragged = ReadWhole(SharedData() + "/hdf5/asebytes_ragged_eth_meth_200.h5");
  auto padded = ReadWhole(SharedData() + "/h5md/asebytes_eth_meth_200.h5md");
  ASSERT_TRUE(ragged) << ragged.error().message;
  ASSERT_TRUE(padded) << padded.error().message;
  ASSERT_EQ(ragged->frames.size(), 200u);
  for (size_t i = 0; i < 200; ++i) {
    json a = ragged->Frame(i), b = padded->Frame(i);
    b.erase("step");
    b.erase("time");
    EXPECT_EQ(a, b) << "frame " << i;
  }
  ReadOptions options;
  options.batch_bytes = 3000;
  options.start = 7;
  options.step = 5;
  auto slice = ReadWhole(SharedData() + "/hdf5/asebytes_ragged_eth_meth_200.h5", options);
  ASSERT_TRUE(slice);
  ASSERT_EQ(slice->frames.size(), 39u);
  EXPECT_EQ(slice->frames[38], ragged->frames[7 + 38 * 5]);
}

TEST(H5mdUnits, AreConvertedAndTheirNamesKept) {
  ZN_NEED_SAMPLES();
  auto file = ReadWhole(SharedData() + "/h5md/zarrtraj_synthetic.h5md");
  ASSERT_TRUE(file) << file.error().message;
  const Column* forces = file->Find("calc.forces");
  ASSERT_NE(forces, nullptr);
  EXPECT_EQ(forces->dtype, DType::kFloat32);
  EXPECT_EQ(json::parse(forces->attributes),
            json::parse(R"({"unit":"eV/Å","source_unit":"kJ mol-1 Angstrom-1"})"));
  auto lammps = ReadWhole(SharedData() + "/h5md/lammps_like_water.h5");
  ASSERT_TRUE(lammps);
  EXPECT_EQ(json::parse(lammps->Find("arrays.positions")->attributes),
            json::parse(R"({"unit":null})"));
  EXPECT_TRUE(lammps->Warned("particles/all", "names no units"));
  EXPECT_EQ(lammps->Find("arrays.numbers"), nullptr) << "LAMMPS' types are not atomic numbers";
  EXPECT_EQ(lammps->Frame(19)["arrays.type"][1], 2)
      << "the one row of species holds for all frames";
}

}  // namespace
}  // namespace zn::formats
