// The shared sample files against expected.json, which independent readers made.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "extxyz/extxyz.h"
#include "gtest/gtest.h"
#include "tests/formats/support.h"

namespace zn::formats {
namespace {

using nlohmann::json;
using testing::ReadResult;

const char* FieldOfColumn(const std::string& column) {
  const std::pair<const char*, const char*> names[] = {
      {"pos", "arrays.positions"},   {"forces", "calc.forces"}, {"force", "calc.forces"},
      {"velo", "arrays.velocities"}, {"mass", "arrays.masses"}, {"masses", "arrays.masses"},
      {"momenta", "arrays.momenta"}, {"Z", "arrays.numbers"}};
  for (const auto& [name, field] : names)
    if (column == name) return field;
  return nullptr;
}

std::string FieldOfKey(const std::string& key) {
  if (key == "Lattice") return "cell";
  if (key == "energy" || key == "free_energy") return "calc." + key;
  // expected.json's reader set this key of carbon_gap17 apart from its stress.
  if (key == "calculate_stress_") return "info.calculate_stress";
  return "info." + key;
}

void Flatten(const json& value, std::vector<double>& numbers) {
  if (value.is_array()) {
    for (const json& item : value) Flatten(item, numbers);
  } else if (value.is_number()) {
    numbers.push_back(value.get<double>());
  }
}

// Exact: Neumaier's sum, as far as 1e-9 can tell.
double Sum(const std::vector<double>& numbers) {
  double sum = 0, rest = 0;
  for (double x : numbers) {
    double t = sum + x;
    rest += std::fabs(sum) >= std::fabs(x) ? (sum - t) + x : (x - t) + sum;
    sum = t;
  }
  return sum + rest;
}

void ExpectNear(double got, double want, const std::string& what) {
  EXPECT_LE(std::fabs(got - want), 1e-9 * std::fabs(want) + 1e-7)
      << what << ": " << got << ", not " << want;
}

class Samples : public ::testing::Test {
 protected:
  void SetUp() override {
    shared_ = testing::SharedData();
    if (shared_.empty())
      GTEST_SKIP() << "the shared sample files are not beside the checkout (../shared/data)";
    expected_ = json::parse(std::ifstream(shared_ + "/expected.json"))["files"];
  }
  std::string shared_;
  json expected_;
};

TEST_F(Samples, AgreeWithIndependentReaders) {
  int files = 0;
  for (const auto& [name, want] : expected_.items()) {
    if (!name.starts_with("extxyz/")) continue;
    SCOPED_TRACE(name);
    ++files;
    ReadResult read = testing::ReadAll(ExtxyzFormat(), shared_ + "/" + name);
    ASSERT_EQ(read.error, "");
    ASSERT_EQ(read.frames.size(), want["frames"].get<size_t>());
    EXPECT_EQ(*std::min_element(read.n_atoms.begin(), read.n_atoms.end()), want["atoms_min"]);
    EXPECT_EQ(*std::max_element(read.n_atoms.begin(), read.n_atoms.end()), want["atoms_max"]);
    int64_t atoms = 0;
    for (int32_t n : read.n_atoms) atoms += n;
    EXPECT_EQ(atoms, want["atoms_total"]);
    for (const auto& [column, sum] : want["column_sums"].items()) {
      const char* known = FieldOfColumn(column);
      std::string field = known != nullptr ? known : "arrays." + column;
      if (column == "Z") continue;  // species of other frames are numbers too
      std::vector<double> numbers;
      for (const json& frame : read.frames)
        if (frame.contains(field)) Flatten(frame[field], numbers);
      ExpectNear(Sum(numbers), sum, column);
    }
    for (const auto& [key, count] : want["info_keys"].items()) {
      if (key == "virial" || key == "stress" || key == "pbc")
        continue;  // calc.stress, and every frame has pbc
      size_t found = 0;
      for (const json& frame : read.frames) found += frame.contains(FieldOfKey(key)) ? 1 : 0;
      EXPECT_EQ(found, count.get<size_t>()) << key;
    }
    for (const auto& [key, sum] : want["info_sums"].items()) {
      if (key == "stress") continue;
      std::vector<double> numbers;
      for (const json& frame : read.frames)
        if (frame.contains(FieldOfKey(key))) Flatten(frame[FieldOfKey(key)], numbers);
      ExpectNear(Sum(numbers), sum, key);
    }
    for (const json& frame : read.frames) {
      if (frame["arrays.positions"].empty()) continue;
      EXPECT_EQ(frame["arrays.positions"][0], want["first_position"]);
      break;
    }
    EXPECT_EQ(read.frames.back()["arrays.positions"].back(), want["last_position"]);
    if (want.contains("cell_first")) {
      EXPECT_EQ(read.frames.front()["cell"], want["cell_first"]);
    }
    if (want.contains("cell_last") && read.frames.back().contains("cell")) {
      EXPECT_EQ(read.frames.back()["cell"], want["cell_last"]);
    }
    if (want.contains("pbc_first")) {
      EXPECT_EQ(read.frames.front()["pbc"], want["pbc_first"]);
    }
  }
  EXPECT_GE(files, 23);
}

TEST_F(Samples, EveryKeyValueForm) {
  const json& want = expected_["extxyz/kv_edge_cases.xyz"];
  ReadResult read = testing::ReadAll(ExtxyzFormat(), shared_ + "/extxyz/kv_edge_cases.xyz");
  ASSERT_EQ(read.frames.size(), 4U);
  for (const auto& [key, value] : want["frame0_info_expected"].items()) {
    std::string field = key == "stress_voigt" ? "calc.stress" : FieldOfKey(key);
    ASSERT_TRUE(read.frames[0].contains(field)) << field;
    EXPECT_EQ(read.frames[0][field], value) << field;
    EXPECT_EQ(read.frames[0][field].type(), value.type()) << field;
  }
  EXPECT_EQ(read.frames[0]["arrays.label"], want["frame0_labels"]);
  EXPECT_EQ(read.frames[0]["arrays.numbers"], json({14, 1, 1}));
  EXPECT_EQ(read.frames[1]["info.comment"], want["frame1"]["comment"]);
  EXPECT_EQ(read.n_atoms[2], 0);
  EXPECT_EQ(read.frames[2]["calc.energy"], 0.0);
  EXPECT_EQ(read.frames[3]["arrays.numbers"], want["frame3"]["numbers"]);
  EXPECT_EQ(read.frames[3]["arrays.velocities"], want["frame3"]["velo"]);
  EXPECT_EQ(read.frames[3]["arrays.masses"], want["frame3"]["masses"]);
  EXPECT_EQ(read.frames[3]["calc.free_energy"], want["frame3"]["free_energy"]);
}

// What extended XYZ can say is written so that reading it gives the same.
TEST_F(Samples, WrittenAndReadAgain) {
  testing::TempFolder folder;
  for (const auto& [name, want] : expected_.items()) {
    if (!name.starts_with("extxyz/")) continue;
    SCOPED_TRACE(name);
    auto reader = ExtxyzFormat().open(shared_ + "/" + name, {});
    ASSERT_TRUE(reader);
    std::string text;
    std::vector<json> before;
    while (true) {
      auto batch = (*reader)->Next();
      ASSERT_TRUE(batch);
      if (!*batch) break;
      FrameRows rows(**batch);
      for (size_t f = 0; f < (*batch)->n_atoms.size(); ++f) {
        ASSERT_TRUE(AppendExtxyz(rows, f, text));
        std::string frame;
        AppendJsonFrame(rows, f, frame);
        before.push_back(json::parse(frame));
      }
    }
    ReadResult after = testing::ReadAll(ExtxyzFormat(), folder.Write("again.xyz", text));
    EXPECT_EQ(after.error, "");
    ASSERT_EQ(after.frames.size(), before.size());
    for (size_t f = 0; f < before.size(); ++f)
      ASSERT_EQ(after.frames[f], before[f]) << "frame " << f;
  }
}

TEST_F(Samples, BadFilesAreRefusedWithTheirPlace) {
  int files = 0;
  for (const auto& [name, want] : expected_.items()) {
    if (!name.starts_with("bad/") || name.find(".xyz") == std::string::npos) continue;
    SCOPED_TRACE(name);
    ++files;
    ReadResult read = testing::ReadAll(ExtxyzFormat(), shared_ + "/" + name);
    ASSERT_NE(read.error, "");
    EXPECT_NE(read.error.find(name), std::string::npos) << read.error;
    bool placed = read.error.find("line ") != std::string::npos ||
                  read.error.find("empty") != std::string::npos ||
                  read.error.find("stream") != std::string::npos;
    EXPECT_TRUE(placed) << read.error;
    if (want.contains("readable_frames")) {
      EXPECT_EQ(read.frames.size(), want["readable_frames"].get<size_t>());
    }
  }
  EXPECT_GE(files, 12);
}

}  // namespace
}  // namespace zn::formats
